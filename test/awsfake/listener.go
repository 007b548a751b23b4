package awsfake

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// gate is a listener that can be shut for a while without giving up its port.
type gate struct {
	address net.Addr
	// release gives up the port for good.
	release func()

	mu     sync.Mutex
	inner  net.Listener
	opened chan struct{} // closed when inner can be used again
	reopen *time.Timer
	closed bool
	conns  map[*gateConn]struct{}
}

func newGate(address string) (*gate, error) {
	address, release, err := reserve(address)
	if err != nil {
		return nil, err
	}
	l, err := listen(address)
	if err != nil {
		release()
		return nil, err
	}
	opened := make(chan struct{})
	close(opened)
	return &gate{
		address: l.Addr(),
		release: release,
		inner:   l,
		opened:  opened,
		conns:   map[*gateConn]struct{}{},
	}, nil
}

// Accept waits for a connection, also while the gate is shut.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		l, opened, closed := g.inner, g.opened, g.closed
		g.mu.Unlock()
		if closed {
			return nil, net.ErrClosed
		}
		if l == nil {
			<-opened
			continue
		}
		c, err := l.Accept()
		if err != nil {
			g.mu.Lock()
			shut := g.inner != l
			g.mu.Unlock()
			if shut {
				continue
			}
			return nil, err
		}
		gc := &gateConn{Conn: c, gate: g}
		g.mu.Lock()
		late := g.inner != l
		if !late {
			g.conns[gc] = struct{}{}
		}
		g.mu.Unlock()
		if late {
			reset(c)
			continue
		}
		return gc, nil
	}
}

// Addr returns the address, which stays the same while the gate is shut.
func (g *gate) Addr() net.Addr { return g.address }

// Close stops Accept and gives up the port.
func (g *gate) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return net.ErrClosed
	}
	g.closed = true
	if g.reopen != nil {
		g.reopen.Stop()
	}
	g.release()
	if g.inner == nil {
		close(g.opened)
		return nil
	}
	l := g.inner
	g.inner = nil
	return l.Close()
}

// shut refuses connections for d and resets those that are open. Shutting a
// gate that is shut already begins the wait again. A nil gate stays as it is.
func (g *gate) shut(d time.Duration) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	if g.inner != nil {
		l := g.inner
		g.inner = nil
		g.opened = make(chan struct{})
		l.Close()
	}
	for c := range g.conns {
		reset(c.Conn)
	}
	if g.reopen != nil {
		g.reopen.Stop()
	}
	g.reopen = time.AfterFunc(d, g.open)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.inner != nil {
		return
	}
	l, err := listen(g.address.String())
	if err != nil {
		// Nobody else can have the port, so this passes.
		g.reopen = time.AfterFunc(10*time.Millisecond, g.open)
		return
	}
	g.inner = l
	close(g.opened)
}

// gateConn is a connection that its gate can reset.
type gateConn struct {
	net.Conn
	gate *gate
}

func (c *gateConn) Close() error {
	c.gate.mu.Lock()
	delete(c.gate.conns, c)
	c.gate.mu.Unlock()
	return c.Conn.Close()
}

// reset ends a connection with a TCP reset instead of an orderly close, so
// that the other end gets ECONNRESET.
func reset(c net.Conn) {
	switch c := c.(type) {
	case *tls.Conn:
		// Closing the TLS layer would send an alert.
		reset(c.NetConn())
		return
	case *gateConn:
		reset(c.Conn)
		c.Close()
		return
	case *net.TCPConn:
		c.SetLinger(0)
	}
	c.Close()
}

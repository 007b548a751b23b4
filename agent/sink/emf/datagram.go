package emf

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
)

const (
	// maxDatagram is what a datagram has at most, in bytes, its newline
	// included: below 8 KB, as the EMF documentation asks.
	maxDatagram = 8<<10 - 1
	// refusal is how long a refusal by the receiver's host may take to arrive.
	// That of this host comes before the send returns.
	refusal = 20 * time.Millisecond
)

// Datagram sends documents by UDP, each in a datagram of its own.
//
// A host where nobody listens answers so (ICMP, port unreachable), which counts
// as refused; everything else counts as delivered, though a datagram may get
// lost on its way or in a receiver that is busy. Where lines count, use tcp.
type Datagram struct {
	*packer
	address string
}

func newDatagram(p *packer, o Options) (*Datagram, error) {
	p.most, p.enc.maxEvent = 1, maxDatagram-len("\n")
	if err := p.forAgent(o); err != nil {
		return nil, err
	}
	return &Datagram{packer: p, address: o.Output.Address}, nil
}

// Deliver sends one document. An error is a *sink.Error. Several documents, as
// another output may have left them in the spool, are too large.
func (s *Datagram) Deliver(ctx context.Context, data []byte) error {
	if err := whole(data); err != nil {
		return err
	}
	if bytes.Count(data, []byte("\n")) > 1 {
		return &sink.Error{Kind: sink.TooLarge, Err: errors.New("send EMF by UDP: a datagram has one document")}
	}
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "udp", s.address)
	if err != nil {
		return s.fail(err)
	}
	defer conn.Close()
	if _, err := conn.Write(data); err != nil {
		return s.fail(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(refusal)); err != nil {
		return s.fail(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return s.fail(err)
	}
	return nil
}

func (s *Datagram) fail(err error) *sink.Error {
	e := failure("udp", s.address, err, false)
	if errors.Is(err, syscall.EMSGSIZE) {
		e.Kind, e.Remedy = sink.TooLarge, "use tcp"
	}
	return e
}

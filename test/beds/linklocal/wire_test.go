//go:build beds

package linklocal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/linklocaltest"
)

// wire is what left ens5 for a service, as a packet socket sees it: another
// witness than the programs, with times of its own.
type wire struct {
	fd   int
	stop chan struct{}
	done chan error

	sent []time.Time   // when a packet left, in order
	perf uint64        // of them, those of dnsperf
	ago  time.Duration // the wall clock less the monotonic one
}

const (
	// late is how long after the turn of a second the agent may read it: what is
	// sent in this time may count for either.
	late = 300 * time.Millisecond
	// skew is how far a packet's time here may be from its time in the programs,
	// which see it microseconds before, with nothing but interrupts in between.
	skew = time.Millisecond
)

// listen starts to watch the wire.
func listen(t *testing.T) *wire {
	t.Helper()
	ens5, err := net.InterfaceByName("ens5")
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	limit := unix.Timeval{Usec: 100_000}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ens5.Index}),
	); err != nil {
		t.Fatal(err)
	}
	w := &wire{fd: fd, stop: make(chan struct{}), done: make(chan error, 1), ago: offset()}
	go func() { w.done <- w.read() }()
	return w
}

// offset is the wall clock's time less the monotonic one's.
func offset() time.Duration { return time.Duration(time.Now().UnixNano()) - linklocaltest.Monotonic() }

// end stops watching, and fails if anything was missed or a clock was set.
func (w *wire) end(t *testing.T) {
	t.Helper()
	close(w.stop)
	err := <-w.done
	stats, e := unix.GetsockoptTpacketStats(w.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	unix.Close(w.fd)
	if err := errors.Join(err, e); err != nil || stats.Drops > 0 {
		t.Fatalf("what left the interface was not seen: %v, %d missed", err, stats.Drops)
	}
	if moved := offset() - w.ago; moved.Abs() > skew {
		t.Fatalf("the wall clock was set by %s", moved)
	}
	slices.SortFunc(w.sent, time.Time.Compare)
}

func (w *wire) read() error {
	packet, control := make([]byte, 64), make([]byte, 256)
	for {
		select {
		case <-w.stop:
			return nil
		default:
		}
		n, more, _, from, err := unix.Recvmsg(w.fd, packet, control, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		port, service := parse(packet[:n])
		if !ok || at.Pkttype != unix.PACKET_OUTGOING || !service {
			continue
		}
		if port >= perfPort && port < perfPort+perfPorts {
			w.perf++
		}
		messages, err := unix.ParseSocketControlMessage(control[:more])
		if err != nil || len(messages) != 1 || messages[0].Header.Type != unix.SCM_TIMESTAMPNS {
			return fmt.Errorf("a packet without its time: %v", err)
		}
		stamp := (*unix.Timespec)(unsafe.Pointer(&messages[0].Data[0]))
		w.sent = append(w.sent, time.Unix(stamp.Unix()))
	}
}

// parse reports whether a packet of IP goes to one of serviceAddresses, and from
// which port.
func parse(b []byte) (port uint16, service bool) {
	var to netip.Addr
	switch {
	case len(b) >= 24 && b[0]>>4 == 4:
		to, _ = netip.AddrFromSlice(b[16:20])
		port = binary.BigEndian.Uint16(b[b[0]&15*4:])
	case len(b) >= 42 && b[0]>>4 == 6:
		to, _ = netip.AddrFromSlice(b[24:40])
		port = binary.BigEndian.Uint16(b[40:])
	}
	return port, slices.ContainsFunc(serviceAddresses, func(s string) bool { return netip.MustParsePrefix(s).Addr() == to })
}

// bounds are the least and the most that a count can be; the same if nothing was
// sent in doubtful moments.
type bounds struct{ least, most uint64 }

func (b bounds) hold(v uint64) bool { return b.least <= v && v <= b.most }
func (b bounds) exact() bool        { return b.least == b.most }

func (b bounds) String() string {
	if b.exact() {
		return fmt.Sprint(b.least)
	}
	return fmt.Sprintf("%d to %d", b.least, b.most)
}

// between counts the packets from one time on and before another.
func (w *wire) between(from, to time.Time) uint64 {
	at := func(t time.Time) int {
		n, _ := slices.BinarySearchFunc(w.sent, t, time.Time.Compare)
		return n
	}
	return uint64(max(0, at(to)-at(from)))
}

// second is how many packets the agent's second that ends at t has.
func (w *wire) second(t time.Time) bounds {
	return bounds{w.between(t.Add(late-time.Second), t), w.between(t.Add(-time.Second), t.Add(late))}
}

// peak is how many packets the fullest second has that ended in the agent's
// second which ends at t, in ticks as the programs count.
func (w *wire) peak(t time.Time) (b bounds) {
	number := func(t time.Time) time.Duration { return (time.Duration(t.UnixNano()) - w.ago) / tick }
	for last := number(t.Add(-time.Second)); last < number(t.Add(late)); last++ {
		from, to := time.Unix(0, int64((last-9)*tick+w.ago)), time.Unix(0, int64((last+1)*tick+w.ago))
		b.most = max(b.most, w.between(from.Add(-skew), to.Add(skew)))
		if last >= number(t.Add(late-time.Second)) && last < number(t) {
			b.least = max(b.least, w.between(from.Add(skew), to.Add(-skew)))
		}
	}
	return b
}

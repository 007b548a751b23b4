package emf_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
)

// Each document is a datagram of less than 8 KB.
func TestDatagram(t *testing.T) {
	for name, b := range goldens() {
		r := newReceiver(t, "udp")
		s := newSink(t, r.output())
		requests := pack(t, s, b)
		deliver(t, s, requests...)
		want, _ := join(requests)
		arrived(t, r, len(requests))
		if got := r.text(); !bytes.Equal(got, want) {
			t.Errorf("%s: the receiver has\n%swant\n%s", name, got, want)
		}
		checkExtraction(t, b, r.text(), 60)
		if r.largest >= 8192 || len(r.lines) != len(requests) {
			t.Errorf("%s: %d datagrams for %d requests, one of %d bytes", name, len(r.lines), len(requests), r.largest)
		}
	}
	// The list of interfaces is cut where a datagram is full.
	b := fleet(40)
	r := newReceiver(t, "udp")
	s := newSink(t, r.output())
	requests := pack(t, s, b)
	deliver(t, s, requests...)
	arrived(t, r, len(requests))
	checkExtraction(t, b, r.text(), 60)
	if r.largest >= 8192 || r.largest < 7000 {
		t.Errorf("the largest datagram has %d bytes", r.largest)
	}
}

// arrived waits until a receiver has n datagrams.
func arrived(t *testing.T, r *receiver, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		r.mu.Lock()
		got := len(r.lines)
		r.mu.Unlock()
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d datagrams of %d", got, n)
		}
	}
}

// A host says that nobody listens, and then nothing has arrived.
func TestDatagramRefused(t *testing.T) {
	r := newReceiver(t, "udp")
	s := newSink(t, r.output())
	r.down()
	for range 3 {
		checkError(t, s.Deliver(t.Context(), numbered(1)), sink.Transient, false, "send EMF to udp "+r.address+": read: connection refused")
	}
	r.up(t)
	deliver(t, s, sink.Request{Data: numbered(2)})
	arrived(t, r, 1)
	if got := r.text(); !bytes.Equal(got, numbered(2)) {
		t.Errorf("the receiver has %q", got)
	}
}

// Documents that other outputs have left in the spool are split, and what fits
// no datagram is too large.
func TestDatagramTooLarge(t *testing.T) {
	r := newReceiver(t, "udp")
	s := newSink(t, r.output())
	both := append(numbered(1), numbered(2)...)
	checkError(t, s.Deliver(t.Context(), both), sink.TooLarge, false, "a datagram has one document")
	deliver(t, s, s.Split(both)...)
	arrived(t, r, 2)
	if got := r.text(); !bytes.Equal(got, both) {
		t.Errorf("the receiver has %q", got)
	}
	large := append(bytes.Repeat([]byte("x"), 1<<16), '\n')
	checkError(t, s.Deliver(t.Context(), large), sink.TooLarge, false, "message too long: use tcp")
	if parts := s.Split(large); parts != nil {
		t.Errorf("one document splits into %d", len(parts))
	}
	fits := append(bytes.Repeat([]byte("x"), 60_000), '\n')
	deliver(t, s, sink.Request{Data: fits})
}

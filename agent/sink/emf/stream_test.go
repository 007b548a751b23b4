package emf_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/store"
)

func newStream(t testing.TB, r *receiver, change ...func(*emf.Options)) *emf.Stream {
	t.Helper()
	return newSink(t, r.output(), change...).(*emf.Stream)
}

func TestStream(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			r := newReceiver(t, network)
			s := newStream(t, r)
			var want []byte
			for _, b := range goldens() {
				requests := pack(t, s, b)
				deliver(t, s, requests...)
				text, _ := join(requests)
				want = append(want, text...)
				// Once it is delivered, it is there: nothing is under way.
				got := r.text()
				if !bytes.Equal(got, want) {
					t.Fatalf("the receiver has %d bytes of %d", len(got), len(want))
				}
				checkExtraction(t, b, text, 60)
			}
		})
	}
}

// What a receiver does, and what it comes to.
func TestStreamFaults(t *testing.T) {
	unread := func(c net.Conn) { // a process that ends with something left to read
		c.Read(make([]byte, 10))
		c.Close()
	}
	silent := func(net.Conn) {}
	chatty := func(c net.Conn) { // answers something and then reads
		io.WriteString(c, "hello\n")
		discard(c)
	}
	type outcome struct {
		ambiguous bool
		text      string // of the error, or "" for none
	}
	for name, tt := range map[string]struct {
		serve    func(net.Conn)
		confirms bool // it has closed a connection before
		want     outcome
	}{
		"ends before it has read":     {unread, false, outcome{true, "the receiver went away before it had read the request"}},
		"reads without taking":        {discard, false, outcome{}},
		"answers":                     {chatty, false, outcome{}},
		"never reads":                 {silent, false, outcome{}},
		"stops to read":               {silent, true, outcome{true, "the receiver has not read the request within 100ms"}},
		"ends, having read before it": {unread, true, outcome{true, "the receiver went away before it had read the request"}},
	} {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(name+", "+network, func(t *testing.T) {
				r := newReceiver(t, network)
				var log bytes.Buffer
				s := newStream(t, r, logTo(&log))
				s.SetTimeout(100 * time.Millisecond)
				request := pack(t, s, goldens()["three-interfaces"])[0]
				if tt.confirms {
					deliver(t, s, request)
				}
				r.behave(tt.serve)
				for range 2 {
					err := s.Deliver(t.Context(), request.Data)
					if tt.want.text == "" && err != nil {
						t.Fatal(err)
					} else if tt.want.text != "" {
						checkError(t, err, sink.Transient, tt.want.ambiguous, tt.want.text+": look at the receiver")
					}
				}
				said := strings.Count(log.String(), "keeps connections open")
				if want := name == "never reads"; said > 1 || (said == 1) != want {
					t.Errorf("said %d times: %s", said, &log)
				}
				// It recovers.
				r.behave(nil)
				before := len(r.text())
				deliver(t, s, request)
				if got := r.text()[before:]; !bytes.Equal(got, request.Data) {
					t.Errorf("afterwards it got %q", got)
				}
			})
		}
	}
}

// Where nobody listens, nothing can have arrived.
func TestStreamRefused(t *testing.T) {
	for network, want := range map[string]string{"tcp": "connection refused", "unix": "no such file or directory"} {
		r := newReceiver(t, network)
		s := newStream(t, r)
		request := pack(t, s, dnsBurst())[0]
		deliver(t, s, request)
		r.down()
		checkError(t, s.Deliver(t.Context(), request.Data), sink.Transient, false, "send EMF to "+network+" "+r.address+": connect: "+want+": look at the receiver")
		r.up(t)
		deliver(t, s, request)
		if got := r.text(); !bytes.Equal(got, append(request.Data, request.Data...)) {
			t.Errorf("the receiver has %d bytes", len(got))
		}
	}
}

// A request of which the receiver has a part is in doubt.
func TestStreamIsCutOff(t *testing.T) {
	r := newReceiver(t, "tcp")
	s := newStream(t, r)
	r.behave(func(c net.Conn) {
		io.CopyN(io.Discard, c, 1<<16)
		c.Close()
	})
	large := bytes.Repeat(append(bytes.Repeat([]byte("x"), 1<<20), '\n'), 32)
	checkError(t, s.Deliver(t.Context(), large), sink.Transient, true, "send EMF to tcp ")
	// No line at all is written to who closes at once, and still nobody knows.
	checkError(t, s.Deliver(t.Context(), []byte("x")), sink.Poisoned, false, "1 bytes that are no EMF documents")
}

// The shutdown ends a delivery that waits.
func TestStreamCancelled(t *testing.T) {
	r := newReceiver(t, "tcp")
	ctx, cancel := context.WithCancel(t.Context())
	r.behave(func(c net.Conn) {
		c.Read(make([]byte, 1))
		cancel()
	})
	s := newStream(t, r)
	start := time.Now()
	checkError(t, s.Deliver(ctx, numbered(1)), sink.Transient, true, "context canceled")
	checkError(t, s.Deliver(ctx, numbered(1)), sink.Transient, false, "operation was canceled")
	if wait := time.Since(start); wait > 5*time.Second {
		t.Errorf("it took %v", wait)
	}
}

func TestPoisonedLines(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "udp"} {
		r := newReceiver(t, network)
		for _, data := range []string{"", "{}"} {
			checkError(t, newSink(t, r.output()).Deliver(t.Context(), []byte(data)), sink.Poisoned, false, "that are no EMF documents")
		}
		if got := r.text(); len(got) > 0 {
			t.Errorf("%s: the receiver has %q", network, got)
		}
	}
}

// way is all that a window goes through: spool, delivery and sink.
type way struct {
	store    *store.Store
	spool    *sink.Spool
	delivery *sink.Delivery
}

func newWay(t *testing.T, dir string, s sink.Sink) *way {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	file, err := store.Open(dir, store.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	w := &way{store: file, spool: &sink.Spool{Store: file, Sinks: []sink.Sink{s}}}
	w.delivery = sink.NewDelivery(s, file.Queue(s.Name()), 0, log)
	return w
}

func (w *way) commit(t *testing.T, b *metric.Batch) {
	t.Helper()
	if err := w.spool.Commit(nil, b, nil); err != nil {
		t.Fatal(err)
	}
}

func (w *way) end(t *testing.T) {
	t.Helper()
	w.delivery.Close(t.Context())
	if err := w.store.Close(); err != nil {
		t.Error(err)
	}
}

// self returns the sum of a self-metric over its labels.
func (w *way) self(name string) float64 {
	sum := 0.0
	for _, m := range append(w.delivery.Self(), w.store.Self()...) {
		if m.Name == name {
			sum += m.Value
		}
	}
	return sum
}

// The receiver is down for an hour, returns, and is restarted now and then: what
// it has in the end is every window, and copies only where that was said.
func TestReceiverRestarts(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "udp"} {
		t.Run(network, func(t *testing.T) {
			r := newReceiver(t, network)
			dir := t.TempDir()
			const windows = 130
			var refusals atomic.Int32
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, 2))
				w := newWay(t, dir, newSink(t, r.output()))
				for i, b := range minutes(windows) {
					switch {
					case i == 30, i > 100 && i%10 == 0:
						r.down()
					case i == 90, i > 110 && i%10 == 3:
						r.up(t)
					case network != "udp" && i > 100 && random.IntN(3) == 0:
						// Ends before it has read all of the next one.
						r.behave(func(c net.Conn) {
							refusals.Add(1)
							r.behave(nil)
							c.Read(make([]byte, 100))
							c.Close()
						})
					}
					w.commit(t, b)
					time.Sleep(time.Minute)
				}
				r.behave(nil)
				time.Sleep(time.Hour)
				w.end(t)
				if n := w.self("enawatch_spool_items") + w.self("enawatch_dropped_data_total"); n != 0 {
					t.Errorf("%v left or dropped", n)
				}
				got, copies := sums(t, r.text())
				if diff := cmp.Diff(wantSums(windows), got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if doubt := w.self("enawatch_ambiguous_data_total"); float64(copies) > doubt || network == "udp" && copies > 0 || network != "udp" && doubt == 0 {
					t.Errorf("%d documents arrived twice, %v data in doubt", copies, doubt)
				}
			})
			if network != "udp" && refusals.Load() == 0 {
				t.Error("the receiver never ended in the middle")
			}
		})
	}
}

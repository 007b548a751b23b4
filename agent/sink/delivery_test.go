package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/store"
)

// fakeSink is a destination that takes letters, one a datum, and answers as a
// test says.
type fakeSink struct {
	answer func(text string) error
	asked  []string      // what it was sent, taken or not
	taken  []string      // what it took
	at     []time.Time   // when it was asked
	slow   time.Duration // how long it takes
}

func (*fakeSink) Name() string { return "fake" }

func (*fakeSink) Pack(b *metric.Batch) ([]Request, error) {
	var all []Request
	for _, s := range b.Series {
		all = append(all, Request{Data: []byte(s.Name), Points: len(s.Name)})
	}
	return all, nil
}

func (f *fakeSink) Deliver(ctx context.Context, data []byte) error {
	f.asked, f.at = append(f.asked, string(data)), append(f.at, time.Now())
	select {
	case <-time.After(f.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	if f.answer != nil {
		if err := f.answer(string(data)); err != nil {
			return err
		}
	}
	f.taken = append(f.taken, string(data))
	return nil
}

func (*fakeSink) Split(data []byte) []Request {
	if len(data) < 2 {
		return nil
	}
	half := len(data) / 2
	return []Request{{data[:half], half}, {data[half:], len(data) - half}}
}

func (*fakeSink) Describe(data []byte) string { return string(data) }

// post is a delivery to a fakeSink, with its spool.
type post struct {
	*Delivery
	sink  *fakeSink
	spool *Spool
	log   bytes.Buffer
}

func newPost(t *testing.T, dir string, f *fakeSink, phase time.Duration) *post {
	t.Helper()
	p := &post{sink: f}
	log := slog.New(slog.NewTextHandler(&p.log, nil))
	s, err := store.Open(dir, store.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	p.spool = &Spool{Store: s, Sinks: []Sink{f}}
	p.Delivery = NewDelivery(f, s.Queue(f.Name()), phase, log)
	p.random = func() float64 { return 1 }
	return p
}

// end closes everything in the order in which the agent does.
func (p *post) end(t *testing.T, grace time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), grace)
	defer cancel()
	p.Close(ctx)
	if err := p.spool.Store.Close(); err != nil {
		t.Error(err)
	}
}

func (p *post) commit(t *testing.T, names ...string) {
	t.Helper()
	b := &metric.Batch{Start: time.Now().Add(-time.Minute), Length: time.Minute}
	for _, n := range names {
		b.Series = append(b.Series, metric.Series{Name: n})
	}
	if err := p.spool.Commit(nil, b, nil); err != nil {
		t.Fatal(err)
	}
}

// self returns a self-metric by name and, if it has one, result or reason.
func (p *post) self(name, label string) float64 {
	for _, m := range append(p.Self(), p.spool.Store.Self()...) {
		if m.Name == name && (label == "" || m.Labels[len(m.Labels)-1].Value == label) {
			return m.Value
		}
	}
	return 0
}

func TestDeliveryIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, t.TempDir(), &fakeSink{}, 0)
		p.commit(t, "a", "b")
		p.commit(t, "c")
		synctest.Wait()
		p.end(t, time.Second)
		if diff := cmp.Diff([]string{"a", "b", "c"}, p.sink.taken); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := p.self("enawatch_delivered_data_total", ""); n != 3 {
			t.Errorf("delivered %v, want 3", n)
		}
	})
}

func TestOutageIsSatOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := time.Now().Add(40 * time.Minute)
		f := &fakeSink{answer: func(string) error {
			if time.Now().Before(up) {
				return &Error{Kind: Transient, Err: errors.New("connection refused")}
			}
			return nil
		}}
		p := newPost(t, t.TempDir(), f, 0)
		var want []string
		for i := range 60 {
			name := fmt.Sprintf("%c%d", 'a'+i%26, i)
			want = append(want, name)
			p.commit(t, name)
			time.Sleep(time.Minute)
		}
		p.end(t, time.Second)
		if diff := cmp.Diff(want, f.taken); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		// 1, 2, 4, 8, 16, 32 s, then once a minute.
		if n := len(f.asked) - len(f.taken); n < 40 || n > 50 {
			t.Errorf("asked %d times in vain in 40 minutes, want about one a minute", n)
		}
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 0 {
			t.Errorf("ambiguous %v, want 0: nothing was sent", n)
		}
		if n := strings.Count(p.log.String(), "delivery failed"); n != 1 {
			t.Errorf("the outage was logged %d times, want once", n)
		}
	})
}

func TestPoisonCostsOneDatum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{answer: func(text string) error {
			if strings.Contains(text, "!") {
				return &Error{Kind: Poisoned, Err: errors.New("InvalidParameterValue")}
			}
			return nil
		}}
		p := newPost(t, t.TempDir(), f, 0)
		text := strings.Repeat("x", 614) + "!" + strings.Repeat("y", 385)
		p.commit(t, text, "next")
		p.end(t, time.Second)
		if got := strings.Join(f.taken, ""); got != strings.ReplaceAll(text, "!", "")+"next" {
			t.Errorf("taken, in order: %q", got)
		}
		if n := p.self("enawatch_dropped_data_total", "poisoned"); n != 1 {
			t.Errorf("dropped %v, want 1", n)
		}
		if n := len(f.asked); n > 25 {
			t.Errorf("it took %d requests, want about 2·log2(1000)", n)
		}
		if !strings.Contains(p.log.String(), "what=!") {
			t.Errorf("the log does not name the datum:\n%s", p.log.String())
		}
	})
}

func TestAnswersAndWaits(t *testing.T) {
	tests := []struct {
		name string
		err  *Error
		wait time.Duration // until the second attempt
	}{
		{"transient", &Error{Kind: Transient, Err: errors.New("500")}, time.Second},
		{"throttled", &Error{Kind: Throttled, Err: errors.New("429"), RetryAfter: 17 * time.Second}, 17 * time.Second},
		{"credentials", &Error{Kind: Credentials, Err: errors.New("expired"), Remedy: "renew them"}, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSink{}
				f.answer = func(string) error {
					if len(f.asked) == 1 {
						return tt.err
					}
					return nil
				}
				p := newPost(t, t.TempDir(), f, 0)
				p.commit(t, "a")
				time.Sleep(time.Minute)
				p.end(t, time.Second)
				if len(f.at) != 2 || f.at[1].Sub(f.at[0]) != tt.wait {
					t.Errorf("asked at %v, want twice, %v apart", f.at, tt.wait)
				}
				if !strings.Contains(p.log.String(), tt.err.Error()) {
					t.Errorf("the log does not say %q:\n%s", tt.err, p.log.String())
				}
			})
		})
	}
}

func TestBackoff(t *testing.T) {
	transient, credentials := &Error{Kind: Transient}, &Error{Kind: Credentials}
	for failures, want := range map[int]time.Duration{1: time.Second, 4: 8 * time.Second, 7: time.Minute, 100: time.Minute} {
		if got := backoff(transient, failures, 1, 0); got != want {
			t.Errorf("after %d failures: %v, want %v at most", failures, got, want)
		}
		if got := backoff(transient, failures, 0.5, 0); got != want/2 {
			t.Errorf("after %d failures: %v, want %v", failures, got, want/2)
		}
	}
	if got := backoff(credentials, 100, 1, 0); got != 5*time.Minute {
		t.Errorf("credentials: %v", got)
	}
}

// eager is a destination that is asked soon again, and where what arrives twice
// counts once.
type eager struct{ *fakeSink }

func (eager) Patience() time.Duration { return 15 * time.Second }
func (eager) Idempotent() bool        { return true }

// A destination that says so is in doubt of nothing, and is asked again no later
// than it says.
func TestTimely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		f := &fakeSink{answer: func(string) error {
			if time.Since(start) < 10*time.Minute {
				return errors.New("the answer broke off")
			}
			return nil
		}}
		var log bytes.Buffer
		s, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		d := NewDelivery(eager{f}, s.Queue(f.Name()), 0, slog.New(slog.NewTextHandler(&log, nil)))
		(&Spool{Store: s}).Keep(f, start, []Request{{[]byte("a"), 1}, {[]byte("b"), 1}})
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, f.taken); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		for i := 1; i < len(f.at); i++ {
			if gap := f.at[i].Sub(f.at[i-1]); gap > 15*time.Second {
				t.Errorf("attempt %d came after %v", i, gap)
			}
		}
		for _, m := range d.Self() {
			if m.Name == "enawatch_ambiguous_data_total" && m.Value != 0 || m.Name == "enawatch_delivered_data_total" && m.Value != 2 {
				t.Errorf("%s is %v", m.Name, m.Value)
			}
		}
		if strings.Contains(log.String(), "twice") {
			t.Errorf("%s", log.String())
		}
		d.Close(t.Context())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// The end tries once more, however long the next attempt was to wait.
func TestEndDoesNotWaitForBetterTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := false
		f := &fakeSink{answer: func(string) error {
			if !up {
				return &Error{Kind: Throttled, RetryAfter: time.Hour, Err: errors.New("429")}
			}
			return nil
		}}
		p := newPost(t, t.TempDir(), f, 0)
		p.commit(t, "a", "b", "c")
		time.Sleep(time.Minute)
		synctest.Wait()
		up = true
		p.end(t, time.Second)
		if diff := cmp.Diff([]string{"a", "b", "c"}, f.taken); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// Who is in a hurry sends what waits for its moment, and all that comes.
func TestHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{}
		p := newPost(t, t.TempDir(), f, time.Hour)
		p.commit(t, "a")
		time.Sleep(time.Minute)
		before := len(f.taken)
		p.Hurry()
		p.Hurry()
		synctest.Wait()
		p.commit(t, "b")
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b"}, f.taken); diff != "" || before != 0 {
			t.Errorf("%d taken before (-want +got)\n%s", before, diff)
		}
		p.end(t, time.Second)
	})
}

// A delivery that leaves lets the request end that is under way, begins none, and
// the next one goes on with the queue: nothing is sent twice and nothing is in
// doubt.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, phase := range []time.Duration{0, time.Minute} {
			f := &fakeSink{slow: 5 * time.Second}
			p := newPost(t, t.TempDir(), f, phase)
			p.commit(t, "a", "b", "c")
			time.Sleep(time.Second) // with a phase, it waits for that
			p.Leave(t.Context())
			want := []string{"a"}
			if phase > 0 {
				want = nil
			}
			if diff := cmp.Diff(want, f.taken); diff != "" {
				t.Errorf("phase %v: when it has left (-want +got)\n%s", phase, diff)
			}
			p.Delivery = NewDelivery(f, p.spool.Store.Queue(f.Name()), 0, slog.New(slog.NewTextHandler(&p.log, nil)))
			time.Sleep(time.Minute)
			synctest.Wait()
			if diff := cmp.Diff([]string{"a", "b", "c"}, f.asked); diff != "" {
				t.Errorf("phase %v: in the end (-want +got)\n%s", phase, diff)
			}
			p.end(t, time.Second)
			if text := p.log.String(); text != "" {
				t.Errorf("phase %v: the log says %s", phase, text)
			}
		}
	})
}

// An answer that never came is counted, and the data are sent again.
func TestDoubtIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{}
		f.answer = func(text string) error {
			if len(f.asked) < 3 {
				return errors.New("connection reset by peer")
			}
			return nil
		}
		p := newPost(t, t.TempDir(), f, 0)
		p.commit(t, "abc")
		time.Sleep(time.Minute)
		p.end(t, time.Second)
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 6 {
			t.Errorf("ambiguous %v, want 6: three data, twice", n)
		}
	})
}

// What was being sent when the agent was killed is in doubt; what only waited
// is not.
func TestKillLeavesADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		stuck := &fakeSink{slow: time.Hour}
		p := newPost(t, dir, stuck, 0)
		p.commit(t, "abc", "de")
		synctest.Wait() // it is being sent
		p.end(t, 0)     // no time is left
		if diff := cmp.Diff([]string{"abc"}, stuck.asked); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		f := &fakeSink{}
		p = newPost(t, dir, f, 0)
		synctest.Wait()
		p.end(t, time.Second)
		if diff := cmp.Diff([]string{"abc", "de"}, f.taken); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 3 {
			t.Errorf("ambiguous %v, want 3", n)
		}
	})
}

// A doubt that was counted is not counted again by whoever comes next, as after a
// reload.
func TestDoubtIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := &fakeSink{answer: func(string) error { return &Error{Kind: Transient, Ambiguous: true, Err: errors.New("reset")} }}
		p := newPost(t, dir, f, 0)
		p.commit(t, "abc")
		synctest.Wait() // it waits to try again
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 3 {
			t.Errorf("ambiguous %v, want 3", n)
		}
		p.Leave(t.Context())
		if err := p.spool.Store.Close(); err != nil {
			t.Fatal(err)
		}
		p = newPost(t, dir, &fakeSink{}, 0)
		synctest.Wait()
		p.end(t, time.Second)
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 0 {
			t.Errorf("ambiguous %v, want 0: it was counted", n)
		}
	})
}

// What would be refused alike part by part is given up at once.
func TestAllOfARequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{answer: func(string) error { return &Error{Kind: Poisoned, All: true, Err: errors.New("in the future")} }}
		p := newPost(t, t.TempDir(), f, 0)
		p.commit(t, strings.Repeat("x", 1000))
		synctest.Wait()
		p.end(t, time.Second)
		if n := p.self("enawatch_dropped_data_total", "poisoned"); n != 1000 || len(f.asked) != 1 {
			t.Errorf("dropped %v after %d requests, want 1000 after 1", n, len(f.asked))
		}
	})
}

// Where everything is refused, requests come slowly and the log stays quiet.
func TestAllIsPoisoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{answer: func(string) error { return &Error{Kind: Poisoned, Err: errors.New("no")} }}
		p := newPost(t, t.TempDir(), f, 0)
		p.commit(t, strings.Repeat("x", 1000))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(f.asked); n > 100 {
			t.Errorf("%d requests in a minute", n)
		}
		if n := strings.Count(p.log.String(), "\n"); n > 3 {
			t.Errorf("%d lines in the log:\n%s", n, p.log.String())
		}
		p.end(t, time.Second)
	})
}

// A refused attempt leaves no doubt behind.
func TestRefusalLeavesNoDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := &fakeSink{answer: func(string) error { return &Error{Kind: Transient, Err: errors.New("refused")} }}
		p := newPost(t, dir, f, 0)
		p.commit(t, "abc")
		synctest.Wait()
		p.end(t, time.Second)
		p = newPost(t, dir, &fakeSink{}, 0)
		synctest.Wait()
		p.end(t, time.Second)
		if n := p.self("enawatch_ambiguous_data_total", ""); n != 0 {
			t.Errorf("ambiguous %v, want 0", n)
		}
	})
}

// Hosts do not all send at once; the end waits for no phase.
func TestPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{}
		p := newPost(t, t.TempDir(), f, 17*time.Second)
		start := time.Now()
		p.commit(t, "a", "b")
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(f.at) != 2 || f.at[0].Sub(start) != 17*time.Second {
			t.Errorf("sent at %v, want 17 s after %v", f.at, start)
		}
		p.commit(t, "c")
		before := time.Now()
		p.end(t, time.Minute)
		if len(f.at) != 3 || !f.at[2].Equal(before) {
			t.Errorf("the last was sent at %v, want %v", f.at, before)
		}
	})
}

func TestTooOldIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSink{answer: func(text string) error {
			if text == "old" {
				return &Error{Kind: TooOld, Err: errors.New("too old")}
			}
			return nil
		}}
		p := newPost(t, t.TempDir(), f, 0)
		p.commit(t, "old", "new")
		p.end(t, time.Second)
		if diff := cmp.Diff([]string{"new"}, f.taken); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if n := p.self("enawatch_dropped_data_total", "too_old"); n != 3 {
			t.Errorf("dropped %v, want 3", n)
		}
	})
}

// TestOnRest says that the delivery is at rest once for all that waited.
func TestOnRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, t.TempDir(), &fakeSink{}, 0)
		synctest.Wait()
		rests := 0
		p.OnRest(func() { rests++ })
		p.commit(t, "a", "b", "c")
		synctest.Wait()
		if rests != 1 {
			t.Errorf("at rest %d times, want 1", rests)
		}
		p.end(t, time.Second)
	})
}

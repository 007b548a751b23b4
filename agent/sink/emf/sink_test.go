package emf_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink/emf"
)

func TestSinkWritesWindows(t *testing.T) {
	var out bytes.Buffer
	s := emf.NewSink(&out, newEncoder(t, time.Minute))
	for _, b := range []string{"quiet", "dns-burst", "three-interfaces"} {
		if err := s.Publish(goldens()[b]); err != nil {
			t.Fatal(err)
		}
	}
	var want []byte
	for _, b := range []string{"quiet", "dns-burst", "three-interfaces"} {
		golden, err := os.ReadFile("testdata/" + b + ".jsonl")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, golden...)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// faulty is a writer that takes take bytes of its first call and then fails.
type faulty struct {
	bytes.Buffer
	take  int
	err   error
	calls int
}

func (f *faulty) Write(p []byte) (int, error) {
	f.calls++
	if f.calls == 1 {
		n, _ := f.Buffer.Write(p[:min(f.take, len(p))])
		return n, f.err
	}
	return f.Buffer.Write(p)
}

// After a write that failed half-way, the next line starts on a line of its own.
func TestSinkAfterFailedWrite(t *testing.T) {
	quiet, err := newEncoder(t, time.Minute).Append(nil, batch(2, heartbeat))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		take int
		want string
	}{
		"nothing written":  {0, string(quiet)},
		"half a line":      {20, string(quiet[:20]) + "\n" + string(quiet)},
		"all was written":  {len(quiet), string(quiet) + string(quiet)},
		"all but the last": {len(quiet) - 1, string(quiet) + string(quiet)},
	} {
		t.Run(name, func(t *testing.T) {
			w := &faulty{take: tt.take, err: io.ErrClosedPipe}
			s := emf.NewSink(w, newEncoder(t, time.Minute))
			if err := s.Publish(batch(2, heartbeat)); !errors.Is(err, io.ErrClosedPipe) || !strings.HasPrefix(err.Error(), "write ") {
				t.Errorf("error %v, want that of the writer", err)
			}
			if err := s.Publish(batch(2)); err != nil || w.calls != 1 {
				t.Errorf("a window without series: error %v, %d writes", err, w.calls)
			}
			for range 2 {
				if err := s.Publish(batch(2, heartbeat)); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(tt.want+string(quiet), w.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// What can't be encoded is reported, not written, and the next window is.
func TestSinkRefuses(t *testing.T) {
	var out bytes.Buffer
	s := emf.NewSink(&out, newEncoder(t, time.Minute))
	if err := s.Publish(batch(1, counter("a", math.NaN()))); err == nil || out.Len() > 0 {
		t.Errorf("NaN: error %v, output %q", err, out.String())
	}
	if err := s.Publish(batch(1, heartbeat)); err != nil || out.Len() == 0 {
		t.Errorf("next window: error %v, output %q", err, out.String())
	}
}

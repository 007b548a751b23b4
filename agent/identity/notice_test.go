package identity

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNotices(t *testing.T) {
	f := newFake(t)
	o := options(t, "http://169.254.169.254")
	o.transport = f.pipe()
	r := New(o)
	set := func(path, value string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.values["meta-data/"+path] = value
		if value == "" {
			delete(f.values, "meta-data/"+path)
		}
	}
	steps := []struct {
		path, value string
		want        Notice
		err         string
	}{
		{path: autoScalingPath, value: "InService"},
		{path: spotPath, value: `{"action": "stop", "time": "2026-11-26T08:22:00Z"}`,
			want: Notice{"spot", "stop", time.Date(2026, 11, 26, 8, 22, 0, 0, time.UTC)}},
		{path: spotPath, value: `{"action": "terminate", "time": "2026-11-26T08:22:00Z"}`,
			want: Notice{"spot", "terminate", time.Date(2026, 11, 26, 8, 22, 0, 0, time.UTC)}},
		{path: autoScalingPath, value: "Terminated", want: Notice{By: "autoscaling", Action: "Terminated"}},
		{path: autoScalingPath, value: "Abandoned", err: `"Abandoned" under autoscaling/target-lifecycle-state`},
		{path: spotPath, value: "<html>", err: `"<html>" under spot/instance-action`},
		{path: spotPath, value: `{"action": "dance"}`, err: "no action that is known"},
	}
	ctx, cancel := context.WithCancel(t.Context())
	var got []Notice
	heard := make(chan error)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.WatchNotices(ctx, time.Millisecond, func(n Notice) { got = append(got, n); heard <- nil }, func(err error) { heard <- err })
	}()
	var want []Notice
	for n, s := range steps {
		set(s.path, s.value)
		if s.want == (Notice{}) && s.err == "" {
			continue
		}
		err := <-heard
		switch {
		case s.err == "":
			want = append(want, s.want)
			if err != nil {
				t.Fatalf("step %d: %v", n, err)
			}
		case err == nil || !strings.Contains(err.Error(), s.err):
			t.Fatalf("step %d: error %v, want %q", n, err, s.err)
		}
	}
	cancel()
	<-done
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A host that does not ask IMDS does not ask it for notices either, and says so.
func TestNoticesAreNotAskedFor(t *testing.T) {
	f := newFake(t)
	for name, o := range map[string]Options{
		"static":   {Static: true},
		"disabled": {Getenv: func(name string) string { return map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}[name] }},
	} {
		var got error
		o.transport = f.pipe()
		New(o).WatchNotices(t.Context(), time.Hour, func(n Notice) { t.Errorf("%s: %v", name, n) }, func(err error) { got = err })
		if !errors.Is(got, ErrNotAsked) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if len(f.requests) > 0 {
		t.Errorf("IMDS was asked %v", f.requests)
	}
}

func FuzzNotice(f *testing.F) {
	f.Add(`{"action": "stop", "time": "2026-11-26T08:22:00Z"}`)
	f.Add(`{"action": 7}`)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseSpot(text)
		if err != nil && (n.Action != "" || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 400) {
			t.Errorf("%q: %v, %q", text, n, err)
		}
	})
}

package awsfake_test

import (
	"errors"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
)

// TestRefuse: while the listener is closed the port is refused, taken by nobody
// else, and then serves again.
func TestRefuse(t *testing.T) {
	for _, scripted := range []bool{false, true} {
		s := start(t, awsfake.Options{})
		addr := s.Addr()
		c := cloudWatch(t, s)
		if _, err := c.PutMetricData(t.Context(), input(nil)); err != nil {
			t.Fatal(err)
		}
		if scripted {
			if err := s.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Refuse, Delay: time.Hour}}}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.PutMetricData(t.Context(), input(nil)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the request that closes the listener: %v", err)
			}
		} else {
			s.Refuse(time.Hour)
		}
		// The client's idle connection is gone too.
		if _, err := c.PutMetricData(t.Context(), input(nil)); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("on the old connection: %v", err)
		}
		if _, err := c.PutMetricData(t.Context(), input(nil)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("on a new connection: %v", err)
		}
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			t.Error("another listener got the port")
		}
		s.Refuse(0)
		for {
			_, err := c.PutMetricData(t.Context(), input(nil))
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatalf("while it opens: %v", err)
			}
		}
		if got := len(s.CloudWatch.Data(awsfake.MetricQuery{})); got != 2 {
			t.Errorf("%d data, want 2", got)
		}
	}
}

// TestCloseWhileRefusing gives the port up.
func TestCloseWhileRefusing(t *testing.T) {
	s := start(t, awsfake.Options{})
	addr := s.Addr()
	s.Refuse(time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestListenErrors(t *testing.T) {
	s, err := awsfake.New(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, address := range []string{"localhost:0", "nonsense", "192.0.2.1:0"} {
		if err := s.Listen(address); err == nil {
			t.Errorf("%s: no error", address)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := s.Listen(l.Addr().String()); err == nil {
		t.Error("a port in use: no error")
	}
}

func TestListenIPv6AndUnknownPaths(t *testing.T) {
	s, err := awsfake.New(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("[::1]:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	resp, err := http.Get(s.URL() + "/somewhere")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	q := s.Journal.Requests(awsfake.Unknown, "")
	if resp.StatusCode != http.StatusNotFound || len(q) != 1 || q[0].Operation != "GET /somewhere" {
		t.Errorf("status %d, %d lines in the journal", resp.StatusCode, len(q))
	}
}

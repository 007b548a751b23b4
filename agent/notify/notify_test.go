package notify

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhatSystemdHears(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "7"}
	s, err := Open(func(name string) string { return env[name] }, 7)
	if err != nil {
		t.Fatal(err)
	}
	s.Settled(false, 1*time.Second)
	for now := 2000 * time.Millisecond; now <= 4*time.Second; now += 500 * time.Millisecond {
		s.Settled(true, now)
	}
	s.Stopping()
	want := []string{"READY=1\nSTATUS=Reading every ENA interface", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1\nSTATUS=Handing on the open window"}
	var got []string
	for buffer := make([]byte, 1000); len(got) < len(want); {
		n, err := manager.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(buffer[:n]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestOutsideSystemd(t *testing.T) {
	s, err := Open(func(string) string { return "" }, 7)
	if err != nil {
		t.Fatal(err)
	}
	s.Settled(true, time.Second)
	s.Stopping()
	if _, err := Open(func(string) string { return "/nowhere" }, 7); err == nil {
		t.Error("a socket that is not there is no error")
	}
}

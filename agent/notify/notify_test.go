package notify

import (
	"errors"
	"net"
	"path/filepath"
	"regexp"
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
	// A reload: the old configuration's readings feed the watchdog and make nothing
	// ready, nor do the new one's before they are in.
	s.Reloading()
	s.Settled(true, 5*time.Second)
	s.Reloaded()
	s.Settled(false, 6*time.Second)
	s.Settled(true, 7*time.Second)
	s.Settled(true, 7500*time.Millisecond)
	s.Reloading()
	s.Refused(errors.New("f.yaml:2: zeros: \"never\" is not known\nf.yaml:3: more"))
	s.Stopping()
	const ready, again = "READY=1\nSTATUS=Reading every ENA interface", "RELOADING=1\nMONOTONIC_USEC=N\nSTATUS=Reading the configuration again"
	want := []string{
		ready, "WATCHDOG=1", "WATCHDOG=1",
		again, "WATCHDOG=1", "WATCHDOG=1", ready,
		again, ready + ", by the old configuration: the new one was refused: f.yaml:2: zeros: \"never\" is not known",
		"STOPPING=1\nSTATUS=Handing on the open window",
	}
	var got []string
	usec := regexp.MustCompile(`USEC=[1-9]\d*`)
	for buffer := make([]byte, 1000); len(got) < len(want); {
		n, err := manager.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, usec.ReplaceAllString(string(buffer[:n]), "USEC=N"))
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

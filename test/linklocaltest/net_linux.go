// Package linklocaltest is what tests of link-local traffic share: a network whose
// other end has the services and no way out, cgroups of senders, queries, and
// which BPF objects a process has. All of it takes root, and ends with the test.
package linklocaltest

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Card connects the calling process's network namespace, by its interface ens5,
// with another one, which ends with the process and has the addresses of services.
// peer is the other end of ens5, and is called card there. In it, f is called: it
// starts what answers. The thread that is returned stays there:
// /proc/self/task/THREAD/ns/net.
func Card(t testing.TB, peer string, services []string, f func() error) (thread int) {
	t.Helper()
	tid, moved, ready := make(chan int), make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the namespace ends with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			ready <- err
			return
		}
		tid <- unix.Gettid()
		<-moved
		err := otherEnd(peer, services)
		if err == nil {
			err = f()
		}
		ready <- err
		select {}
	}()
	select {
	case err := <-ready:
		t.Fatal(err)
	case thread = <-tid:
	}
	Run(t, "ip", "link", "set", peer, "netns", strconv.Itoa(thread))
	Run(t, "ip", "addr", "add", "10.9.0.10/24", "dev", "ens5")
	Run(t, "ip", "addr", "add", "fd00:9::10/64", "dev", "ens5", "nodad")
	Run(t, "ip", "link", "set", "ens5", "up")
	close(moved)
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	for _, a := range services {
		if strings.Contains(a, ":") {
			Run(t, "ip", "-6", "route", "add", a, "via", "fd00:9::1", "dev", "ens5")
		} else {
			Run(t, "ip", "route", "add", a, "via", "10.9.0.1", "dev", "ens5")
		}
	}
	return thread
}

// otherEnd sets up the namespace of the calling thread.
func otherEnd(peer string, services []string) error {
	commands := []string{
		"link set lo up", "addr add 10.9.0.1/24 dev card", "addr add fd00:9::1/64 dev card nodad", "link set card up",
	}
	if peer != "card" {
		commands = append([]string{"link set " + peer + " name card"}, commands...)
	}
	for _, a := range services {
		add := "addr add " + a + " dev lo"
		if strings.Contains(a, ":") {
			add += " nodad"
		}
		commands = append(commands, add)
	}
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", c, err, out)
		}
	}
	return nil
}

// Run runs a program, which must succeed.
func Run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// Query encodes a query for a name's IPv4 addresses.
func Query(id uint16, name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, id)
	b = append(b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0, 0, 1, 0, 1)
}

// Monotonic is the clock by which the programs count.
func Monotonic() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // fails for no clock that exists
	return time.Duration(t.Nano())
}

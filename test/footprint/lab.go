package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/awsfake"
)

// lab is a network namespace without a way out: loopback, interfaces ena0,
// ena1, … that are veth with real stats, and a stand-in for AWS.
type lab struct {
	name       string
	dir        string
	interfaces []string
	aws        *awsfake.Server
	relays     []*relay
}

// newLab makes a lab of so many interfaces with so many queues, and pods more
// veth pairs as a container runtime makes them.
func newLab(dir string, interfaces, queues, pods int) (*lab, error) {
	l := &lab{name: "ew-" + strings.ToLower(rand.Text()[:10]), dir: dir}
	if err := command("ip", "netns", "add", l.name); err != nil {
		return nil, err
	}
	var batch strings.Builder
	fmt.Fprintln(&batch, "link set lo up")
	for i := range interfaces {
		name := fmt.Sprintf("ena%d", i)
		l.interfaces = append(l.interfaces, name)
		fmt.Fprintf(&batch, "link add %s numtxqueues %d numrxqueues %[2]d type veth peer name %[1]sp numtxqueues %[2]d numrxqueues %[2]d\n", name, queues)
	}
	for i := range pods {
		fmt.Fprintf(&batch, "link add eni%d type veth peer name pod%[1]d\n", i)
	}
	c := exec.Command("ip", "-n", l.name, "-batch", "-")
	c.Stdin = strings.NewReader(batch.String())
	if out, err := c.CombinedOutput(); err != nil {
		return l, fmt.Errorf("%s: %w\n%s", c, err, out)
	}
	return l, l.inside(l.serve)
}

// serve starts the stand-in for AWS.
func (l *lab) serve() (err error) {
	if l.aws, err = awsfake.Start(awsfake.Options{TLS: true}); err != nil {
		return err
	}
	return os.WriteFile(l.file("ca.pem"), l.aws.CA.PEM, 0o644)
}

func (l *lab) file(name string) string { return filepath.Join(l.dir, l.name+"-"+name) }

// close removes the namespace.
func (l *lab) close() error {
	for _, r := range l.relays {
		r.listener.Close()
	}
	if l.aws != nil {
		l.aws.Close()
	}
	return command("ip", "netns", "del", l.name)
}

// inside calls f in the namespace. Sockets that it opens stay there.
func (l *lab) inside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and end with the thread, which is not of this namespace any more
		ns, err := os.Open("/var/run/netns/" + l.name)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// get asks a program in the namespace for a page, and throws it away.
func (l *lab) get(url string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: l.dial}}
	r, err := client.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	_, err = io.Copy(io.Discard, r.Body)
	return err
}

// dial connects to a program in the namespace.
func (l *lab) dial(_ context.Context, network, address string) (c net.Conn, err error) {
	err = l.inside(func() (err error) {
		c, err = net.Dial(network, address)
		return err
	})
	return c, err
}

// relay passes TCP connections on to the stand-in and counts what it is sent.
type relay struct {
	listener net.Listener
	sent     atomic.Int64
}

func (l *lab) relay() (*relay, error) {
	r := &relay{}
	l.relays = append(l.relays, r)
	return r, l.inside(func() (err error) {
		r.listener, err = net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go r.run(l)
		return nil
	})
}

func (r *relay) run(l *lab) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := l.dial(context.Background(), "tcp", l.aws.Addr())
		if err != nil {
			client.Close()
			continue
		}
		go pass(client, server, nil)
		go pass(server, client, &r.sent)
	}
}

// pass copies until the source ends, then ends the destination.
func pass(to, from net.Conn, counted *atomic.Int64) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if counted != nil {
			counted.Add(int64(n))
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func command(name string, args ...string) error {
	c := exec.Command(name, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", c, err, stderr.String())
	}
	return nil
}

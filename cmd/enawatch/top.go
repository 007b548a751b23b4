package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/top"
	"github.com/enawatch/enawatch/agent/window"
)

func topCommand() *cobra.Command {
	var url string
	var once, asJSON bool
	var source kernelSource
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch every interface in the terminal",
		Long: `Show what every interface's allowances do, second by second: now, the worst
second, since the start, and the last seconds as a line. It asks the agent that
runs here; if none does, it reads the kernel itself.

Keys: up and down choose an interface, s sorts, / filters, p pauses, ? helps,
q leaves. NO_COLOR is heeded.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if asJSON && !once {
				return &exitError{exitUsage, errors.New("--json goes with --once")}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			f, err := openFeed(ctx, url, source)
			if err != nil {
				return err
			}
			defer f.close()
			if once {
				return topOnce(ctx, f, c.OutOrStdout(), asJSON)
			}
			return watchTop(ctx, f)
		},
	}
	c.Flags().StringVar(&url, "url", "", "`URL` of an agent's listener, instead of http://"+defaultListen()+", as in https://user:password@host:9109")
	c.Flags().BoolVar(&once, "once", false, "print every interface once and leave")
	c.Flags().BoolVar(&asJSON, "json", false, "with --once, print JSON")
	source.flag(c)
	return c
}

func defaultListen() string { return config.Default().Sinks.Prometheus.Listen }

// feed is where top's documents come from.
type feed struct {
	name  string
	next  func(context.Context) (*live.Document, error)
	close func()
}

// openFeed asks the agent at url, or the one of this host, or else the kernel.
func openFeed(ctx context.Context, url string, source kernelSource) (*feed, error) {
	if source.simulated() {
		return kernelFeed(ctx, source)
	}
	f := agentFeed(url)
	if _, err := f.next(ctx); err == nil {
		return f, nil
	} else if url != "" || !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, err
	}
	return kernelFeed(ctx, source)
}

// agentFeed asks a running agent.
func agentFeed(url string) *feed {
	if url == "" {
		url = "http://" + defaultListen()
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}}
	address := fmt.Sprintf("%s/api/v1/live?seconds=%d", strings.TrimSuffix(url, "/"), top.Seconds)
	next := func(ctx context.Context) (*live.Document, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--url: %w", err)}
		}
		resp, err := client.Do(r)
		if err != nil {
			return nil, fmt.Errorf("ask the agent: %w", err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("ask the agent at %s: it answers %s: give its address and password by --url", r.URL.Redacted(), resp.Status)
		}
		var d live.Document
		if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<20)).Decode(&d); err != nil {
			return nil, fmt.Errorf("read the agent's answer: %w", err)
		}
		return &d, nil
	}
	shown := url
	if r, err := http.NewRequest(http.MethodGet, url, nil); err == nil {
		shown = r.URL.Redacted()
	}
	return &feed{name: "the agent at " + shown, next: next, close: func() {}}
}

// kernelFeed reads the kernel, or a simulated one.
func kernelFeed(ctx context.Context, source kernelSource) (*feed, error) {
	history := live.New(live.Span, time.Second, time.Now)
	log := slog.New(history.Log(slog.DiscardHandler))
	kernel, err := source.open(log)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	a, err := agent.New(agent.Options{
		Kernel: kernel, Clock: window.SystemClock(), Log: log, Live: history,
		Resource: metric.Resource{Host: host, Simulated: source.simulated()}, Sample: time.Second, Publish: time.Minute,
		Want: func(metric.Interface) bool { return true }, Queues: func(ena.Stat) bool { return false }, Store: &agent.Memory{},
	})
	if err != nil {
		return nil, errors.Join(err, kernel.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.Run(ctx, time.Second)
	}()
	from := &live.Source{History: history, Version: version, Describe: func() (metric.Resource, []metric.SelfMetric) {
		r, _ := a.Describe() // it publishes nothing
		return r, nil
	}}
	name := "the kernel: no agent runs here, so nothing is published"
	if source.simulated() {
		name = "a simulated device"
	}
	return &feed{
		name:  name,
		next:  func(context.Context) (*live.Document, error) { return from.Document(top.Seconds), nil },
		close: func() { stop(); <-ended; kernel.Close() },
	}, nil
}

// topOnce prints one screen that is as long as it needs to be, when there is a
// second to show.
func topOnce(ctx context.Context, f *feed, w io.Writer, asJSON bool) error {
	d, err := f.next(ctx)
	for err == nil && len(d.Times) < 2 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		d, err = f.next(ctx)
	}
	if err != nil {
		return err
	}
	if len(d.Interfaces) == 0 {
		return &exitError{exitNoInterface, errors.New("this host has no ENA interface (try --simulate)")}
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(d)
	}
	_, err = io.WriteString(w, top.Report(d, 100, nil))
	return err
}

// watchTop draws the screen until somebody leaves.
func watchTop(ctx context.Context, f *feed) error {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(out) {
		return &exitError{exitUsage, errors.New("top needs a terminal: use --once in scripts")}
	}
	before, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("prepare the terminal: %w", err)
	}
	const enter, leave = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
	os.Stdout.WriteString(enter)
	defer func() {
		os.Stdout.WriteString(leave)
		_ = term.Restore(in, before) // there is nothing else to do about it
	}()
	screen := &top.Screen{Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", Source: f.name}
	return topLoop(ctx, f, screen, keys(os.Stdin), func() (int, int, error) { return term.GetSize(out) }, os.Stdout)
}

// topLoop draws each second, after each key and whenever the terminal's size
// changes.
func topLoop(ctx context.Context, f *feed, s *top.Screen, keys <-chan string, size func() (width, height int, err error), w io.Writer) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	d := &live.Document{}
	ask := true
	for {
		if ask && !s.Paused {
			newer, err := f.next(ctx)
			s.Trouble = ""
			if err != nil {
				s.Trouble = err.Error()
			} else {
				d = newer
			}
		}
		s.Width, s.Height = 80, 24
		if width, height, err := size(); err == nil && width > 0 && height > 0 {
			s.Width, s.Height = width, height
		}
		if err := paintTop(w, s.Draw(d)); err != nil {
			return err
		}
		ask = false
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if !ok || s.Key(key) {
				return nil
			}
		case <-resized:
		case <-tick.C:
			ask = true
		}
	}
}

// paintTop writes a screen over the one that is there, in one write. Each line is
// erased before it is written: the cursor stays on the last column of a full one,
// which an erasure behind it would take.
func paintTop(w io.Writer, lines []string) error {
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for n, line := range lines {
		if n > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\x1b[K" + line)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// keys reads what keys send, each of them whole: a terminal sends the bytes of
// one key at once.
func keys(r io.Reader) <-chan string {
	ch := make(chan string)
	go func() {
		defer close(ch)
		in := bufio.NewReader(r)
		for {
			c, _, err := in.ReadRune()
			if err != nil {
				return
			}
			key := string(c)
			if c == '\x1b' && in.Buffered() >= 2 {
				rest := make([]byte, 2)
				if _, err := io.ReadFull(in, rest); err != nil {
					return
				}
				key += string(rest)
			}
			ch <- key
		}
	}()
	return ch
}

// Command footprint measures what enawatch takes of a host, beside its peers, on
// the same interfaces in the same minutes: veth interfaces with real stats, in
// network namespaces that it makes. It needs root and Debian's iproute2, ethtool,
// strace and prometheus-node-exporter, and prints docs/footprint.md:
//
//	make bench-host
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/test/awsfake"
)

func main() {
	over := flag.Duration("for", 2*time.Minute, "how long to measure")
	warmUp := flag.Duration("warm-up", 130*time.Second, "how long to run before, so that windows were published")
	only := flag.String("only", "", "measure only programs whose name contains this")
	into := flag.String("write", "", "write the table into this file, between its markers, not to standard output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *warmUp, *over, *only, *into); err != nil {
		fmt.Fprintln(os.Stderr, "footprint:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, warmUp, over time.Duration, only, into string) (err error) {
	dir, err := os.MkdirTemp("", "enawatch-footprint-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		return err
	}
	var labs [3]*lab
	for i, size := range [][3]int{{4, 8, 0}, {64, 32, 0}, {4, 8, 10_000}} {
		l, err := newLab(dir, size[0], size[1], size[2])
		if l != nil {
			defer l.close()
		}
		if err != nil {
			return err
		}
		labs[i] = l
	}
	programs, err := programs(dir, labs[0], labs[1], labs[2])
	if err != nil {
		return err
	}
	began, err := startUp(ctx, at(dir, "enawatch"), labs[0])
	if err != nil {
		return err
	}
	kept := programs[:0]
	for _, p := range programs {
		if strings.Contains(p.name, only) {
			kept = append(kept, p)
		}
	}
	if err := measure(ctx, kept, warmUp, over); err != nil {
		return err
	}
	var text strings.Builder
	if err := write(&text, kept, over, began); err != nil {
		return err
	}
	if into != "" {
		return rewrite(into, text.String())
	}
	_, err = os.Stdout.WriteString(text.String())
	return err
}

// starts is how often the agent is started by itself.
const starts = 5

// startUp starts the agent, with nothing beside it, and returns how long it took
// until it was ready, the middle of several times.
func startUp(ctx context.Context, path string, l *lab) (time.Duration, error) {
	var took []time.Duration
	for i := range starts {
		p, err := enawatch(path, l, "a start", cloudWatch+metrics, 9200+i)
		if err != nil {
			return 0, err
		}
		p.scrape = ""
		if err := p.start(); err != nil {
			return 0, err
		}
		err = wait(ctx, 3*time.Second)
		p.stop()
		if err != nil {
			return 0, err
		}
		took = append(took, p.ready)
	}
	slices.Sort(took)
	return took[starts/2], nil
}

// weighEvery is how often memory is looked at: what agents give back is back by and
// by within a minute.
const weighEvery = 5 * time.Second

// measure runs all programs at once: what disturbs one disturbs all.
func measure(ctx context.Context, programs []*program, warmUp, over time.Duration) error {
	for _, p := range programs {
		defer p.stop()
		if err := p.start(); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	if err := wait(ctx, warmUp); err != nil {
		return err
	}
	began := time.Now()
	for _, p := range programs {
		var err error
		if p.before, err = p.used(); err != nil {
			return err
		}
	}
	for time.Since(began) < over {
		if err := wait(ctx, weighEvery); err != nil {
			return err
		}
		for _, p := range programs {
			if err := p.weigh(); err != nil {
				return err
			}
		}
	}
	for _, p := range programs {
		if err := p.measured(time.Since(began)); err != nil {
			return err
		}
	}
	var tracing sync.WaitGroup
	for _, p := range programs {
		tracing.Go(func() { p.traced(20 * time.Second) })
	}
	tracing.Wait()
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// build builds this module's programs as they are shipped.
func build(dir string) error {
	for pkg, tags := range map[string]string{
		"./cmd/enawatch": "footprint,nethttpomithttp2", "./test/footprint/floor": "none",
		"./test/footprint/sdk": "none", "./test/footprint/safchain": "none",
	} {
		c := exec.Command("go", "build", "-trimpath", "-tags", tags, "-ldflags", "-s -w", "-o", dir, pkg)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", c, err, out)
		}
	}
	return nil
}

// programs lists what is measured: in the base lab, the floors, this agent in four
// configurations and its peers; in the others, how floor and agent grow.
func programs(dir string, base, large, pods *lab) ([]*program, error) {
	list := []*program{
		{name: floorName, args: append([]string{at(dir, "floor")}, base.interfaces...)},
		{name: sdkName, args: append([]string{at(dir, "sdk")}, base.interfaces...), env: cloud(base)},
		{name: "safchain/ethtool loop", args: append([]string{at(dir, "safchain")}, base.interfaces...)},
		{name: "ethtool -S loop", forks: true, args: []string{"sh", "-c",
			"while :; do for i in " + strings.Join(base.interfaces, " ") + "; do ethtool -S $i >/dev/null; done; sleep 1; done"}},
		exporter("node_exporter, scraped every second", "127.0.0.1:9201", time.Second),
		exporter("node_exporter, scraped every 15 s", "127.0.0.1:9202", 15*time.Second),
	}
	for _, p := range list {
		p.lab = base
	}
	for i, a := range []struct {
		name string
		lab  *lab
		yaml string
		look bool
	}{
		{baseName, base, cloudWatch + metrics, false},
		{aloneName, base, cloudWatch, false},
		{fileName, base, "sinks: {emf: {output: \"file://STATE/emf.log\"}}\n", false},
		{"enawatch: CloudWatch, remote write, OTLP, live page looked at", base, cloudWatch + metrics + all, true},
		{fullName, base, "spool: {max_mib: 16}\n" + down, false},
		{largeFloorName, large, "", false},
		{largeName, large, cloudWatch + metrics, false},
		{"floor: ioctl, 10,000 pods", pods, "", false},
		{podsName, pods, cloudWatch + metrics, false},
	} {
		if a.yaml == "" {
			list = append(list, &program{name: a.name, lab: a.lab, args: append([]string{at(dir, "floor")}, a.lab.interfaces...)})
			continue
		}
		p, err := enawatch(at(dir, "enawatch"), a.lab, a.name, a.yaml, 9300+i)
		if err != nil {
			return nil, err
		}
		if a.lab != base {
			p.scrape = "" // thousands of series for one scrape, whoever publishes them
		}
		if a.look {
			p.watch = strings.TrimSuffix(p.scrape, "/metrics") + "/api/v1/stream"
		}
		list = append(list, p)
	}
	return list, nil
}

// unitSlack is the agent's TimerSlackNSec in systemd/enawatch.service.
const unitSlack = 5 * time.Millisecond

// at is where build has put a program.
func at(dir, name string) string { return filepath.Join(dir, name) }

// Names of what targets speak of.
const (
	floorName      = "floor: ioctl"
	sdkName        = "floor: ioctl and AWS SDK"
	baseName       = "**enawatch**: CloudWatch, /metrics scraped every 15 s"
	aloneName      = "enawatch: CloudWatch alone"
	fileName       = "enawatch: EMF to a file"
	fullName       = "enawatch: EMF to a listener that is down, the spool is full"
	largeName      = "enawatch: 64 × 32 queues"
	largeFloorName = "floor: ioctl, 64 × 32 queues"
	podsName       = "enawatch: 10,000 pods"
)

const (
	// A port that nothing listens on refuses at once.
	down       = "sinks: {emf: {output: \"tcp://127.0.0.1:9\"}}\n"
	cloudWatch = "sinks:\n  cloudwatch: {endpoint: \"ENDPOINT\", ca_file: CA, region: us-east-1}\n"
	metrics    = "  prometheus: {listen: \"LISTEN\"}\n"
	all        = "  otlp: {endpoint: \"ENDPOINT\", ca_file: CA, sigv4: true, region: us-east-1}\n" +
		"  remote_write: {url: \"ENDPOINT/workspaces/ws-1/api/v1/remote_write\", ca_file: CA, auth: sigv4, region: us-east-1, protocol: \"1.0\"}\n"
)

// enawatch is this agent with a configuration of its own.
func enawatch(path string, l *lab, name, yaml string, port int) (*program, error) {
	r, err := l.relay()
	if err != nil {
		return nil, err
	}
	state := l.file(fmt.Sprint("state-", port))
	listen := fmt.Sprintf("127.0.0.1:%d", port)
	config := state + ".yaml"
	text := "identity: {mode: static, instance_id: i-0123456789abcdef0, region: us-east-1}\nstate_dir: " + state + "\n" +
		strings.NewReplacer("ENDPOINT", "https://"+r.listener.Addr().String(), "CA", l.file("ca.pem"),
			"LISTEN", listen, "STATE", state).Replace(yaml)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p := &program{name: name, lab: l, relay: r, slack: unitSlack, args: []string{path, "run", "--config", config}, env: credentials()}
	if strings.Contains(yaml, down) {
		if err := fill(state, 16<<20); err != nil {
			return nil, err
		}
	}
	if strings.Contains(yaml, metrics) {
		p.scrape, p.every = "http://"+listen+"/metrics", 15*time.Second
	}
	return p, nil
}

// fill makes a state file in which so many bytes of EMF wait.
func fill(dir string, size int) error {
	s, err := store.Open(dir, store.Options{MaxBytes: int64(size), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	s.Queue("emf")
	const window = 16 << 10
	line := append(bytes.Repeat([]byte(" "), window-3), "{}\n"...)
	for at := range size / window {
		item := store.Item{At: time.Now().Add(time.Duration(at-size/window) * time.Minute), Points: 1, Data: line}
		s.Commit(nil, map[string][]store.Item{"emf": {item}})
	}
	return s.Close()
}

func exporter(name, listen string, every time.Duration) *program {
	return &program{name: name, scrape: "http://" + listen + "/metrics", every: every, args: []string{
		"prometheus-node-exporter", "--collector.disable-defaults", "--collector.ethtool",
		"--collector.ethtool.device-include=^ena[0-9]+$", "--web.listen-address=" + listen, "--log.level=error"}}
}

// cloud is the environment of a program that publishes by the SDK's defaults.
func cloud(l *lab) []string {
	return append(credentials(), "AWS_REGION=us-east-1", "AWS_CA_BUNDLE="+l.file("ca.pem"), "AWS_ENDPOINT_URL="+l.aws.URL())
}

func credentials() []string {
	k := awsfake.DefaultCredential
	return []string{"AWS_ACCESS_KEY_ID=" + k.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + k.SecretAccessKey}
}

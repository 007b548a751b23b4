package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program is what is measured.
type program struct {
	name string
	args []string
	env  []string
	// scrape is a URL to ask for every so often, as Prometheus would.
	scrape string
	every  time.Duration
	// watch is a URL whose answer does not end, as a browser's event stream.
	watch string
	relay *relay
	// slack is its timer slack, or zero for what programs have.
	slack time.Duration
	// forks says that the work is its children's.
	forks bool

	lab    *lab
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ready  time.Duration // until READY=1; 0 if it never says so
	before usage
	result result
	// weighed is how often its memory was looked at.
	weighed int
}

// usage is what a process has used since it began.
type usage struct {
	cpu   time.Duration // on all threads
	waits int64         // times that a thread went to sleep, and so was woken
	sent  int64         // bytes, through the relay
}

// result is what a program took.
type result struct {
	Binary     int64   // bytes on disk
	CPU        float64 // seconds a minute
	RSS        float64 // MiB, as PSS and Anonymous a mean over time
	PSS        float64
	Anonymous  float64
	WakeUps    float64 // a second
	Syscalls   float64 // a second
	Sent       float64 // bytes a minute, what TCP carries; -1 if not measured
	Ready      time.Duration
	Interfaces int
}

// start runs the program in its lab.
func (p *program) start() error {
	notify := p.lab.file("notify-" + rand.Text())
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		return err
	}
	p.cmd = exec.Command("ip", append([]string{"netns", "exec", p.lab.name}, p.args...)...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "NOTIFY_SOCKET=" + notify, "AWS_EC2_METADATA_DISABLED=true"}, p.env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	if err := p.slacken(p.cmd.Start); err != nil {
		return err
	}
	go func() {
		defer manager.Close()
		b := make([]byte, 4096)
		n, _ := manager.Read(b)
		if strings.Contains(string(b[:n]), "READY=1") {
			p.ready = time.Since(began)
		}
	}()
	if p.scrape != "" {
		go func() {
			for range time.Tick(p.every) {
				p.lab.get(p.scrape) // a failure shows in what the page's maker logs
			}
		}()
	}
	if p.watch != "" {
		go func() {
			for p.lab.get(p.watch) != nil { // until it listens
				time.Sleep(100 * time.Millisecond)
			}
		}()
	}
	return nil
}

// slacken calls start, which makes a process, with the timer slack that the
// process is to have: the one of its unit, if it has a unit.
func (p *program) slacken(start func() error) error {
	if p.slack == 0 {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(p.slack), 0, 0, 0); err != nil {
		return err
	}
	defer unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // the thread's own again
	return start()
}

// stop ends the program and its children.
func (p *program) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		p.cmd.Wait()
	}
}

func (p *program) pid() int { return p.cmd.Process.Pid }

// used returns what the process has used so far.
func (p *program) used() (u usage, err error) {
	var t unix.Timespec
	// The CPU clock of another process (clock_getcpuclockid(3)): to the
	// nanosecond, with threads that have ended.
	if err := unix.ClockGettime(int32(^p.pid()<<3|2), &t); err != nil {
		return u, fmt.Errorf("%s has ended: %w\n%s", p.name, err, p.stderr.String())
	}
	u.cpu = time.Duration(t.Nano())
	if p.forks {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
		if err != nil {
			return u, err
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):]))
		for _, f := range fields[14:16] { // cutime, cstime, in hundredths of a second
			n, err := strconv.Atoi(f)
			if err != nil {
				return u, err
			}
			u.cpu += time.Duration(n) * 10 * time.Millisecond
		}
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid()))
	if err != nil {
		return u, err
	}
	for _, path := range threads {
		n, err := field(path, "voluntary_ctxt_switches:")
		if err != nil {
			return u, err
		}
		u.waits += n
	}
	if p.relay != nil {
		u.sent = p.relay.sent.Load()
	}
	return u, nil
}

// measured takes what the program used since before.
func (p *program) measured(over time.Duration) error {
	u, err := p.used()
	if err != nil {
		return err
	}
	r := &p.result
	minutes := over.Minutes()
	r.CPU = (u.cpu - p.before.cpu).Seconds() / minutes
	r.WakeUps = float64(u.waits-p.before.waits) / over.Seconds()
	r.Sent = -1
	if p.relay != nil {
		r.Sent = float64(u.sent-p.before.sent) / minutes
	}
	r.Ready, r.Interfaces = p.ready, len(p.lab.interfaces)
	binary, err := os.Stat(fmt.Sprintf("/proc/%d/exe", p.pid()))
	if err != nil {
		return err
	}
	r.Binary = binary.Size()
	return nil
}

// weigh looks at the program's memory, which results have the mean of.
func (p *program) weigh() error {
	p.weighed++
	rollup := fmt.Sprintf("/proc/%d/smaps_rollup", p.pid())
	for name, mean := range map[string]*float64{"Rss:": &p.result.RSS, "Pss:": &p.result.PSS, "Anonymous:": &p.result.Anonymous} {
		n, err := field(rollup, name)
		if err != nil {
			return fmt.Errorf("%s has ended: %w\n%s", p.name, err, p.stderr.String())
		}
		*mean += (float64(n)/1024 - *mean) / float64(p.weighed)
	}
	return nil
}

// traced counts the program's system calls for a while. It costs so much that it
// comes after everything else.
func (p *program) traced(over time.Duration) {
	c := exec.Command("timeout", "--signal=INT", strconv.Itoa(int(over.Seconds())),
		"strace", "-f", "-c", "-U", "calls", "-p", strconv.Itoa(p.pid()))
	var out bytes.Buffer
	c.Stderr = &out
	c.Run() // timeout ends it
	lines := bufio.NewScanner(&out)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 {
			continue
		}
		if n, err := strconv.Atoi(f[0]); err == nil {
			p.result.Syscalls = float64(n) / over.Seconds() // the last number is the total
		}
	}
}

// field reads the number after a name, at the start of a line of a file of /proc.
func field(path, name string) (int64, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no line %s", path, name)
}

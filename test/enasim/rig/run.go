//go:build linux

package rig

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/agent/simulate"
)

// Config says what to run.
type Config struct {
	Scenario *simulate.Scenario
	// Program is the program's name or path, and its arguments.
	Program []string
	// UID is the user and group whom the program runs as, without any
	// capability; -1 for the one who runs the supervisor. Only root can choose.
	UID int
	// Adds is where lines "DEVICE STAT N" are read from while the program runs: that
	// counter grows by N. Nil is nowhere.
	Adds io.Reader
	// StopWhenDone sends SIGTERM to the program when the script is done.
	StopWhenDone bool
}

// Result is how a run ended.
type Result struct {
	// ExitCode is the program's, or 128 and the number of the signal that
	// ended it, as a shell says it.
	ExitCode int
	// Ledger is the truth that the program was to find out.
	Ledger simulate.Ledger
}

// Run runs the program with the scenario's devices until it ends, and passes on
// SIGINT and SIGTERM. What the program leaves behind is killed. Run must have
// its process to itself: it takes every child for a descendant of the program,
// and its descriptors stay open until the process ends, because an answer that
// takes long may still need them.
func Run(c Config) (Result, error) {
	// The program dies with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return Result{}, fmt.Errorf("adopt orphans: %w", err)
	}
	r := run{config: c, ended: make(chan struct{}), read: make(chan struct{}, 1), signals: make(chan os.Signal, 8)}
	signal.Notify(r.signals, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(r.signals)
	if err := r.startStage(); err != nil {
		return Result{}, err
	}
	r.fail(r.supervise())
	<-r.ended
	killOrphans()
	r.background.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return Result{}, r.failure
	}
	return Result{ExitCode: exitCode(r.stage.ProcessState), Ledger: r.machine.Ledger()}, nil
}

// run is a run under way.
type run struct {
	config  Config
	stage   *exec.Cmd
	ended   chan struct{} // closed when the stage, or program, has ended
	socket  int           // to the stage
	links   links
	machine *simulate.Machine

	signals    chan os.Signal
	read       chan struct{} // holds one if there may have been a reading
	background sync.WaitGroup

	mu      sync.Mutex
	failure error
}

// startStage starts the stage in namespaces of its own.
func (r *run) startStage() error {
	path, err := exec.LookPath(r.config.Program[0])
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket pair: %w", err)
	}
	r.socket = pair[0]
	theirs := os.NewFile(uintptr(pair[1]), "stage")
	defer theirs.Close()
	r.stage = &exec.Cmd{
		Path:   "/proc/self/exe",
		Args:   append([]string{StageName, strconv.Itoa(r.config.UID), path}, r.config.Program...),
		Stdin:  os.Stdin,
		Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS},
	}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		// In a user namespace of its own, anyone may make network devices.
		a := r.stage.SysProcAttr
		a.Cloneflags |= unix.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		a.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	if err := r.stage.Start(); err != nil {
		return fmt.Errorf("make namespaces for the program: %w: run as root, or allow user namespaces", err)
	}
	go func() {
		r.stage.Wait() // what it returns, is in the ProcessState
		close(r.ended)
	}()
	return nil
}

// supervise takes the program from its start to its end.
func (r *run) supervise() error {
	defer unix.Close(r.socket)
	fd, err := receiveDescriptor(r.socket)
	if err != nil {
		return r.notStarted(err)
	}
	r.links.fd = fd
	r.machine = simulate.New(r.config.Scenario, simulate.SystemClock{})
	if err := r.buildLinks(); err != nil {
		return err
	}
	if err := sendGo(r.socket); err != nil {
		return r.notStarted(err)
	}
	fd, err = receiveDescriptor(r.socket)
	if err != nil {
		return r.notStarted(err)
	}
	l, err := newListener(fd)
	if err != nil {
		return err
	}
	r.background.Go(func() { r.serve(l) })
	if r.config.Adds != nil {
		go func() { r.fail(r.addAll()) }() // nobody may ever write there
	}
	if err := sendGo(r.socket); err != nil {
		return r.notStarted(err)
	}
	// The end of the stage's socket is the beginning of the program.
	if _, err := receiveDescriptor(r.socket); !errors.Is(err, io.EOF) {
		return r.notStarted(err)
	}
	return r.wait()
}

func (r *run) notStarted(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) {
		err = errors.New("its process ended too early")
	}
	return fmt.Errorf("start the program: %w", err)
}

// buildLinks makes the devices that are there at the start, and has those that
// come, leave and change names do so for real.
func (r *run) buildLinks() error {
	present, err := r.machine.Links()
	if err != nil {
		return err
	}
	r.machine.OnLink(func(c simulate.LinkChange) { r.fail(r.links.apply(c)) })
	if err := r.links.loopbackUp(); err != nil {
		return err
	}
	for _, l := range present {
		if err := r.links.apply(simulate.LinkChange{New: l.Name, MAC: l.MAC}); err != nil {
			return err
		}
	}
	return nil
}

// serve answers the program until nobody is left.
func (r *run) serve(l *listener) {
	s := &server{machine: r.machine}
	r.fail(l.serve(func(n *notification) {
		r.fail(l.send(n, s.answer(l, n)))
		select {
		case r.read <- struct{}{}:
		default:
		}
	}))
}

// addAll has counters grow as they are told to.
func (r *run) addAll() error {
	lines := bufio.NewScanner(r.config.Adds)
	for lines.Scan() {
		var device, stat string
		var n uint64
		if _, err := fmt.Sscan(lines.Text(), &device, &stat, &n); err != nil {
			return fmt.Errorf("%q is not DEVICE STAT N: %w", lines.Text(), err)
		}
		if err := r.machine.Add(device, stat, n); err != nil {
			return err
		}
	}
	return lines.Err()
}

// wait plays what the script has by time, passes on signals, and stops the
// program when the script is done; until the program ends.
func (r *run) wait() error {
	timer := time.NewTimer(0)
	stopped := false
	for {
		select {
		case <-r.ended:
			return nil
		case s := <-r.signals:
			// A terminal has sent its SIGINT to the program, too.
			if s != unix.SIGINT || !isTerminal(unix.Stdin) {
				r.stage.Process.Signal(s)
			}
			continue
		case <-r.read:
		case <-timer.C:
		}
		next, ok := r.machine.Advance()
		if r.config.StopWhenDone && !stopped && r.machine.Done() {
			stopped = true
			r.stage.Process.Signal(unix.SIGTERM)
		}
		timer.Stop()
		if ok {
			timer.Reset(time.Until(next))
		}
	}
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// fail remembers the first error and ends the program for it.
func (r *run) fail(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.failure = err
		r.stage.Process.Kill()
	}
}

// killOrphans ends what the program has started and left behind. The kernel has
// given these processes to us, and gives us theirs as they end.
func killOrphans() {
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case errors.Is(err, unix.EINTR), pid > 0:
			continue
		case err != nil: // ECHILD
			return
		}
		for _, pid := range children() {
			unix.Kill(pid, unix.SIGKILL)
		}
		unix.Wait4(-1, nil, 0, nil)
	}
}

// children returns the processes whose parent is this one.
func children() (pids []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // ended meanwhile
		}
		// pid (name) state parent …; the name may hold anything.
		var pid, parent int
		var state string
		fmt.Sscan(string(stat), &pid)
		fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent)
		if parent == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

func exitCode(s *os.ProcessState) int {
	if w := s.Sys().(syscall.WaitStatus); w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

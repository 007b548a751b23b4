package linklocal

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// BenchmarkPacket is what a packet costs that goes elsewhere, over a veth pair: at
// 100 000 packets a second, at 500 000, and as many as can be. Each pace has rounds
// with the programs attached and without, in turn, of which the medians count.
//
//   - ns-without, ns-with: processor time of the sending thread within its system
//     calls, a packet; ratio: the second to the first. Other work on the machine
//     does not count as it would by the clock.
//   - bpf-interface-ns, bpf-cgroup-ns, bpf-sendmsg-ns: the time in each program, by
//     the kernel's run statistics, in rounds of their own: to keep them takes time.
//
// Numbers of docs/linklocal.md come from make bench-linklocal.
func BenchmarkPacket(b *testing.B) {
	if os.Getenv(rigVariable) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^$", "-test.bench=^BenchmarkPacket$", "-test.benchtime=200000x")
		c.Env = append(os.Environ(), rigVariable+"=benchmark")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		if err := c.Run(); err != nil {
			b.Fatal(err)
		}
		b.SkipNow() // its lines are above
	}
	index := wire(b)
	// To a station that the other end is not: it drops what comes.
	run(b, "ip", "neigh", "add", "10.9.0.77", "lladdr", "02:00:00:00:00:77", "dev", "ens5")
	for _, pace := range []int{100_000, 500_000, 0} {
		b.Run(fmt.Sprintf("pps=%d", pace), func(b *testing.B) { sendElsewhere(b, index, pace) })
	}
}

func sendElsewhere(b *testing.B, index, pace int) {
	const rounds = 5
	var without, with []float64
	inPrograms := make([][]float64, 3)
	for range rounds {
		f := newFlood(b, pace)
		without = append(without, f.send(b))
		m, err := Open(Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		watch(b, m, index)
		with = append(with, f.send(b))
		for i, ns := range f.inPrograms(b, m.egress, m.collection.Programs[programsProgLinklocalSent], m.collection.Programs[programsProgLinklocalMsg4]) {
			inPrograms[i] = append(inPrograms[i], ns)
		}
		if err := errors.Join(m.Close(), f.Close()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op") // of all rounds together it says nothing
	b.ReportMetric(median(without), "ns-without")
	b.ReportMetric(median(with), "ns-with")
	b.ReportMetric(median(with)/median(without), "ratio")
	for i, name := range []string{"bpf-interface-ns", "bpf-cgroup-ns", "bpf-sendmsg-ns"} {
		b.ReportMetric(median(inPrograms[i]), name)
	}
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

// flood sends UDP packets of 64 bytes from a socket that is not connected.
type flood struct {
	*net.UDPConn
	messages []ipv4.Message
	pace     int // packets a second, or 0
}

func newFlood(b *testing.B, pace int) *flood {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		b.Fatal(err)
	}
	f := &flood{c, make([]ipv4.Message, 64), pace}
	to := &net.UDPAddr{IP: net.IPv4(10, 9, 0, 77), Port: 9}
	for i := range f.messages {
		f.messages[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 64)}, Addr: to}
	}
	return f
}

// send sends b.N packets at its pace, and returns the nanoseconds of processor time
// that each took in system calls.
func (f *flood) send(b *testing.B) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	conn := ipv4.NewPacketConn(f)
	var spent time.Duration
	begin := monotonic()
	for sent := 0; sent < b.N; {
		for f.pace > 0 && monotonic()-begin < time.Duration(sent)*time.Second/time.Duration(f.pace) {
		}
		before := threadTime()
		k, err := conn.WriteBatch(f.messages[:min(len(f.messages), b.N-sent)], 0)
		if err != nil {
			b.Fatal(err)
		}
		spent += threadTime() - before
		sent += k
	}
	return float64(spent.Nanoseconds()) / float64(b.N)
}

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails for no clock that exists
	return time.Duration(t.Nano())
}

// inPrograms sends once more, and returns the nanoseconds that a packet was in each
// program.
func (f *flood) inPrograms(b *testing.B, programs ...*ebpf.Program) (ns []float64) {
	statistics, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer statistics.Close()
	f.send(b)
	for _, p := range programs {
		s, err := p.Stats()
		if err != nil || s.RunCount < uint64(b.N) {
			b.Fatalf("%s ran %d times, want %d: %v", p, s.RunCount, b.N, err)
		}
		ns = append(ns, float64(s.Runtime.Nanoseconds())/float64(s.RunCount))
	}
	return ns
}

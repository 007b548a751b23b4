package linklocal

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// BenchmarkPacket is what a packet costs that goes elsewhere, over a veth pair,
// with the programs attached and without, in one run: at 100 000 packets a
// second, at 500 000, and as many as can be. bpf-ns/op is the time in the programs at
// the interface and at the cgroups, as the kernel counts it while it keeps run statistics,
// which cost time themselves; ns/op is without them.
//
// Numbers of docs/linklocal.md come from
//
//	go test -run '^$' -bench Packet -benchtime 1000000x ./agent/linklocal
func BenchmarkPacket(b *testing.B) {
	if os.Getenv(rigVariable) == "" {
		c := exec.Command("/proc/self/exe", "-test.run=^$", "-test.bench=^BenchmarkPacket$", "-test.benchtime=1000000x")
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
		for _, attached := range []bool{false, true, false, true} {
			b.Run(fmt.Sprintf("pps=%d/attached=%t", pace, attached), func(b *testing.B) { sendElsewhere(b, index, pace, attached) })
		}
	}
}

func sendElsewhere(b *testing.B, index, pace int, attached bool) {
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var programs []*ebpf.Program
	if attached {
		m, err := Open(Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		watch(b, m, index)
		programs = []*ebpf.Program{m.egress, m.collection.Programs[programsProgLinklocalSent]}
	}
	const batch = 64
	messages := make([]ipv4.Message, batch)
	to := &net.UDPAddr{IP: net.IPv4(10, 9, 0, 77), Port: 9}
	for i := range messages {
		messages[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 64)}, Addr: to}
	}
	conn := ipv4.NewPacketConn(c)
	flood := func(n int) {
		begin := monotonic()
		for sent := 0; sent < n; {
			for pace > 0 && monotonic()-begin < time.Duration(sent)*time.Second/time.Duration(pace) {
			}
			k, err := conn.WriteBatch(messages[:min(batch, n-sent)], 0)
			if err != nil {
				b.Fatal(err)
			}
			sent += k
		}
	}
	b.ResetTimer()
	flood(b.N)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "packets/s")
	if !attached {
		return
	}
	statistics, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		b.Fatal(err)
	}
	defer statistics.Close()
	flood(b.N)
	for i, p := range programs {
		s, err := p.Stats()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(s.Runtime.Nanoseconds())/float64(s.RunCount), [...]string{"bpf-interface-ns/op", "bpf-cgroup-ns/op"}[i])
	}
}

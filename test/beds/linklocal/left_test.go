//go:build beds

package linklocal

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/linklocaltest"
)

// Of the programs, maps and links of the agent, by their numbers in the kernel, a
// rename changes none, an interface that goes takes its two links along, and
// after kill -9 and after an end in order there are none. The program of somebody else at
// the same cgroup stays, and that at the same interface as long as the interface.
func TestNothingIsLeft(t *testing.T) {
	dir := os.Getenv(insideVariable)
	if dir == "" {
		underRig(t, "left.yaml")
		return
	}
	root := makeCgroups(t)
	others := foreign(t, root)
	agent := startAgent(t, dir, root, ",+bpf,+net_admin,+perfmon", `enawatch_linklocal_packets_total{interface="ens5"`)
	held := linklocaltest.Held(t, agent.cmd.Process.Pid)
	if programs, links := linklocaltest.Count(held, "prog"), linklocaltest.Count(held, "link"); programs != 7 || links != 7 {
		t.Fatalf("%d programs and %d links, want 7 and 7: %v", programs, links, held)
	}
	bed.Eventually(t, "the interface is counted under its new name", func() bool {
		return strings.Contains(agent.scrape(), `enawatch_linklocal_packets_total{interface="ens9"`)
	})
	if diff := cmp.Diff(held, linklocaltest.Held(t, agent.cmd.Process.Pid)); diff != "" {
		t.Errorf("a rename changes objects (-before +after)\n%s", diff)
	}
	if left := linklocaltest.Left(t, others); len(left) != len(others) {
		t.Errorf("of %v of somebody else, %v are left", others, left)
	}
	var without []linklocaltest.Object
	bed.Eventually(t, "the interface's links go with it", func() bool {
		without = linklocaltest.Held(t, agent.cmd.Process.Pid)
		return linklocaltest.Count(without, "link") == 5
	})
	if diff := cmp.Diff(slices.DeleteFunc(slices.Clone(held), func(o linklocaltest.Object) bool {
		return o.Kind == "link" && !slices.Contains(without, o)
	}), without); diff != "" {
		t.Errorf("an interface that goes changes more than its links (-want +got)\n%s", diff)
	}
	bed.Eventually(t, "the interface that came back is counted", func() bool {
		held = linklocaltest.Held(t, agent.cmd.Process.Pid)
		return linklocaltest.Count(held, "link") == 7
	})
	others = linklocaltest.Left(t, others) // that at the interface went with it
	gone := func(what string) {
		t.Helper()
		bed.Eventually(t, what+" leaves nothing", func() bool { return len(linklocaltest.Left(t, held)) == 0 })
		if left := linklocaltest.Left(t, others); len(left) != len(others) || len(left) == 0 {
			t.Errorf("after %s, of %v of somebody else %v are left", what, others, left)
		}
	}
	if err := agent.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = agent.cmd.Wait() // it was killed: that is what it says
	gone("kill -9")
	agent = startAgent(t, dir, root, ",+bpf,+net_admin,+perfmon", `enawatch_linklocal_packets_total{interface="ens5"`)
	held = linklocaltest.Held(t, agent.cmd.Process.Pid)
	agent.stop(t)
	gone("an agent that ends")
}

// foreign attaches programs of somebody else at a cgroup and at ens5, and returns
// them. Their links are this process's.
func foreign(t *testing.T, root string) []linklocaltest.Object {
	t.Helper()
	program := func(kind ebpf.ProgramType, at ebpf.AttachType, result int32) *ebpf.Program {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "foreign", Type: kind, AttachType: at, License: "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, result), asm.Return()},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	ens5, err := net.InterfaceByName("ens5")
	if err != nil {
		t.Fatal(err)
	}
	before := linklocaltest.Held(t, os.Getpid())
	onCgroup, err := link.AttachCgroup(link.CgroupOptions{Path: root, Attach: ebpf.AttachCGroupInetEgress, Program: program(ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, 1)})
	if err != nil {
		t.Fatal(err)
	}
	onInterface, err := link.AttachTCX(link.TCXOptions{Interface: ens5.Index, Program: program(ebpf.SchedCLS, 0, -1), Attach: ebpf.AttachTCXEgress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		onCgroup.Close()
		onInterface.Close()
	})
	return slices.DeleteFunc(linklocaltest.Held(t, os.Getpid()), func(o linklocaltest.Object) bool { return slices.Contains(before, o) })
}

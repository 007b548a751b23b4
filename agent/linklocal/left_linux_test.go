package linklocal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/test/linklocaltest"
)

// Of all programs, maps and links of an agent, by their numbers in the kernel, none
// stays when it is killed, but the two filters of clsact with the maps that they
// use; these go when the next agent puts its own in their place. Nothing at all stays of
// an agent that ends in order.
func TestNothingIsLeft(t *testing.T) {
	if !inside(t) {
		return
	}
	index := wire(t)
	root := linklocaltest.Cgroup(t)
	// What is gone, the kernel takes apart a moment later.
	leftOf := func(what string, objects []linklocaltest.Object, holds func([]linklocaltest.Object) bool) {
		t.Helper()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		deadline := time.Now().Add(30 * time.Second)
		for {
			left := linklocaltest.Left(t, objects)
			if holds(left) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s leaves %v of %v", what, left, objects)
			}
			<-ticker.C
		}
	}
	none := func(left []linklocaltest.Object) bool { return len(left) == 0 }
	for _, clsact := range []bool{false, true} {
		what := fmt.Sprintf("with clsact=%t, ", clsact)
		links := 7 // five at the root of the cgroups, two of tcx
		if clsact {
			links = 5
		}
		killed := startHolder(t, index, root, clsact)
		held := linklocaltest.Held(t, killed.Process.Pid)
		if linklocaltest.Count(held, "prog") != 7 || linklocaltest.Count(held, "map") != len(mapsOfPrograms(t)) || linklocaltest.Count(held, "link") != links {
			t.Fatalf("%san agent holds %v", what, held)
		}
		_ = killed.Process.Kill()
		_ = killed.Wait() // it was killed: that is what it says
		leftOf(what+"kill -9", held, func(left []linklocaltest.Object) bool {
			if !clsact {
				return none(left)
			}
			return linklocaltest.Count(left, "prog") == 2 && linklocaltest.Count(left, "link") == 0 && linklocaltest.Count(left, "map") < linklocaltest.Count(held, "map")
		})
		next := startHolder(t, index, root, clsact)
		leftOf(what+"kill -9, and another agent's start,", held, none)
		again := linklocaltest.Held(t, next.Process.Pid)
		if len(again) != len(held) || slices.Equal(again, held) {
			t.Errorf("%sthe next agent holds %v, the one before held %v", what, again, held)
		}
		if err := next.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := next.Wait(); err != nil {
			t.Errorf("%sthe end of an agent: %v", what, err)
		}
		leftOf(what+"the end of an agent", again, none)
	}
}

// mapsOfPrograms are the names of the maps that programs come with.
func mapsOfPrograms(t *testing.T) (names []string) {
	t.Helper()
	spec, err := loadPrograms()
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Maps {
		names = append(names, name)
	}
	return names
}

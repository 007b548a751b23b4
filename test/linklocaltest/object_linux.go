package linklocaltest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Object is a BPF program, map or link in the kernel.
type Object struct {
	Kind string // "prog", "map" or "link"
	ID   uint32
}

func (o Object) String() string { return fmt.Sprintf("%s %d", o.Kind, o.ID) }

// Held returns the BPF objects that a process has file descriptors of, in order.
func Held(t testing.TB, pid int) (all []Object) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		for _, kind := range []string{"link", "map", "prog"} { // a link says its program's too
			if _, after, ok := strings.Cut(string(text), "\n"+kind+"_id:\t"); ok {
				o := Object{Kind: kind}
				if _, err := fmt.Sscan(after, &o.ID); err != nil {
					t.Fatalf("%s: %v\n%s", file, err, text)
				}
				all = append(all, o)
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(all)
}

// Left returns those of objects that the kernel still has.
func Left(t testing.TB, objects []Object) (left []Object) {
	t.Helper()
	for _, o := range objects {
		var c io.Closer
		var err error
		switch o.Kind {
		case "prog":
			c, err = ebpf.NewProgramFromID(ebpf.ProgramID(o.ID))
		case "map":
			c, err = ebpf.NewMapFromID(ebpf.MapID(o.ID))
		case "link":
			c, err = link.NewFromID(link.ID(o.ID))
		}
		switch {
		case errors.Is(err, os.ErrNotExist):
			continue
		case err != nil:
			t.Fatalf("%s: %v", o, err)
		}
		c.Close()
		left = append(left, o)
	}
	return left
}

// Count returns how many of objects are of a kind.
func Count(objects []Object, kind string) (n int) {
	for _, o := range objects {
		if o.Kind == kind {
			n++
		}
	}
	return n
}

// Package resident keeps small what this process holds of a host's memory, most
// of which it needs only while it starts and for some seconds of each minute.
package resident

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// gcPercent is how much may be allocated, in percent of what is in use, until the
// garbage collector runs. In one run of the agent with CloudWatch and /metrics, 25
// held 7.7 MiB of anonymous memory, Go's own 100 8.5.
const gcPercent = 25

// limit sets what the Go runtime takes from the end of the start on, which goes
// faster without. Variables that say otherwise win (GOGC, GOMAXPROCS: package
// runtime).
func limit(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMAXPROCS") == "" {
		// There is never more to do than one processor does, and each that is
		// allowed has its caches, its collector and threads that look for work.
		runtime.GOMAXPROCS(1)
	}
}

// giveBackAll returns to the kernel what is free in the heap, and the pages of the
// program: its code and constants. The kernel has them in its cache and maps those
// that are used again, a few of twenty MiB. It returns the mappings that it found
// clean. Those of other files may be gone, and others in their place, by the time
// that they are dropped.
func giveBackAll(program string) (mappings []span, err error) {
	defer debug.FreeOSMemory()                    // what the lines below leave, too
	smaps, err := os.ReadFile("/proc/self/smaps") // in which the kernel counts every page
	if err != nil {
		return nil, fmt.Errorf("give back memory: %w", err)
	}
	mappings = clean(string(smaps), program)
	return mappings, dropAll(mappings)
}

func dropAll(mappings []span) error {
	for _, s := range mappings {
		if err := Drop(s.from, s.to); err != nil {
			return fmt.Errorf("give back memory: madvise: %w", err)
		}
	}
	return nil
}

// span is a range of addresses.
type span struct{ from, to uintptr }

// clean lists the program's mappings whose every page is as in its file: this process
// can't write to them, and none of their pages is its own (proc_pid_smaps(5)). What
// the dynamic linker wrote to before it protected it, in a program that is not
// static, would be lost.
func clean(smaps, program string) (list []span) {
	var mapping string
	for line := range strings.Lines(smaps) {
		switch {
		case line[0] < 'A' || line[0] > 'Z': // as keys begin
			mapping = line
		case strings.HasPrefix(line, "Anonymous:"):
			if s, ok := of(program, mapping); ok && strings.Fields(line)[1] == "0" {
				list = append(list, s)
			}
		}
	}
	return list
}

// of returns the addresses of a mapping if it is of the file, not to be written to.
func of(path, mapping string) (s span, ok bool) {
	fields := strings.Fields(mapping)
	if len(fields) != 6 || fields[5] != path || strings.Contains(fields[1], "w") {
		return s, false
	}
	_, err := fmt.Sscanf(fields[0], "%x-%x", &s.from, &s.to)
	return s, err == nil
}

// Memory is given back when work is done, calm after it, as what belongs together
// ends together: for the first time after the start, then after the first delivery,
// since each leaves what is not needed again, and then seldom: done every minute it
// took a third of the agent's processor time. The program's pages are given back
// after every pause.
const (
	calm   = time.Second
	pause  = 50 * time.Second
	seldom = 10 * time.Minute
)

// Keeper gives memory back when work is done, not too often, and from the first
// time on keeps the runtime small. The zero Keeper is ready.
type Keeper struct {
	mu      sync.Mutex
	pending bool
	limited sync.Once
	last    time.Time // of any time
	all     time.Time // of the last time that everything was given back
	times   int
	// Report is told what went wrong, once.
	Report func(error)
	give   func(all bool) error // giveBack of the keeper if nil
	clean  []span               // the program's mappings that were found so

	program string // the path of the program's file if not empty
}

// Done says that some work is done, which may have left garbage.
func (k *Keeper) Done() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.pending {
		return
	}
	k.pending = true
	time.AfterFunc(max(calm, pause-time.Since(k.last)), k.due)
}

func (k *Keeper) due() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pending, k.last, k.times = false, time.Now(), k.times+1
	all := k.times <= 2 || time.Since(k.all) >= seldom
	if all {
		k.all = k.last
	}
	k.limited.Do(func() { limit(os.Getenv) })
	give := k.give
	if give == nil {
		give = k.giveBack
	}
	if err := give(all); err != nil && k.Report != nil {
		k.Report(err)
		k.Report = nil
	}
}

func (k *Keeper) giveBack(all bool) (err error) {
	if !all {
		return dropAll(k.clean)
	}
	program := k.program
	if program == "" {
		if program, err = os.Readlink("/proc/self/exe"); err != nil {
			return fmt.Errorf("give back memory: %w", err)
		}
	}
	k.clean, err = giveBackAll(program)
	return err
}

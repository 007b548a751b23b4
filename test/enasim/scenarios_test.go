//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/simulate"
)

const (
	mostSeconds  = 20 // that a scenario takes, at one reading a second
	cleanBetween = 3  // clean readings before, between and after disturbances
)

// TestScenariosAreFair plays each scenario of the conservation tests to an ideal
// reader, who is told which readings are true. What that reader sums up must be
// what the script added: else no agent could pass.
func TestScenariosAreFair(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			s, err := simulate.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				r := newIdealReader(t, simulate.New(s, simulate.SystemClock{}))
				start := time.Now()
				for !r.m.Done() {
					if time.Since(start) > mostSeconds*time.Second {
						t.Fatalf("not done after %d s", mostSeconds)
					}
					r.readAll()
					time.Sleep(time.Second)
				}
				r.check()
			})
		})
	}
}

// idealReader reads every device once a second, and a new one twice at first.
type idealReader struct {
	t       *testing.T
	m       *simulate.Machine
	buf     *ena.Buffer
	started bool
	devices map[string]*account // by MAC
}

// account is what an idealReader makes of one device.
type account struct {
	index      int               // of the network device
	last       map[string]uint64 // nil: the next reading is a baseline
	sum        map[string]uint64
	cleanInRow int
}

func newIdealReader(t *testing.T, m *simulate.Machine) *idealReader {
	b, err := ena.NewBuffer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return &idealReader{t: t, m: m, buf: b, devices: map[string]*account{}}
}

func (r *idealReader) readAll() {
	links, err := r.m.Links()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range links {
		a := r.devices[l.MAC]
		if a == nil {
			a = &account{sum: map[string]uint64{}}
			r.devices[l.MAC] = a
		}
		if a.index != l.Index {
			a.index = l.Index
			if r.started { // it was attached just now: all that it shows is new
				a.last = map[string]uint64{}
			}
			r.read(l)
		}
		now, clean := r.read(l)
		if clean {
			a.take(r.t, l, now)
			continue
		}
		if a.cleanInRow > 0 && a.cleanInRow < cleanBetween {
			r.t.Errorf("%s: only %d clean readings before a disturbance", l.Name, a.cleanInRow)
		}
		a.cleanInRow = 0
	}
	r.started = true
}

// read takes a reading and reports whether it is clean: the names fit and every
// command was answered.
func (r *idealReader) read(l ena.Link) (now map[string]uint64, clean bool) {
	names, err := r.m.StatNames(l.Name)
	if err != nil {
		return nil, false
	}
	failed := r.ledger(l.MAC).Failed
	n, err := r.m.Stats(l.Name, len(names), r.buf)
	if err != nil || n != len(names) || r.ledger(l.MAC).Failed != failed {
		return nil, false
	}
	now = map[string]uint64{}
	for i, v := range r.buf.Values(n) {
		now[names[i]] = v
	}
	return now, true
}

func (a *account) take(t *testing.T, l ena.Link, now map[string]uint64) {
	a.cleanInRow++
	if a.last != nil {
		reset := now["interface_up"] != a.last["interface_up"]
		for name, v := range now {
			switch was := a.last[name]; {
			case !kept(name):
			case v >= was:
				a.sum[name] += v - was
			case reset:
				a.sum[name] += v
			default:
				t.Errorf("%s: %s fell from %d to %d in a clean reading without a reset", l.Name, name, was, v)
			}
		}
	}
	a.last = now
}

// kept reports whether the card keeps this counter.
func kept(name string) bool {
	return strings.HasSuffix(name, "_allowance_exceeded") || strings.HasPrefix(name, "ena_srd_") && strings.HasSuffix(name, "_pkts")
}

func (r *idealReader) ledger(mac string) simulate.DeviceLedger {
	for _, d := range r.m.Ledger().Devices {
		if d.MAC == mac {
			return d
		}
	}
	r.t.Fatalf("no device %s in the ledger", mac)
	return simulate.DeviceLedger{}
}

func (r *idealReader) check() {
	var added uint64
	for _, d := range r.m.Ledger().Devices {
		a := r.devices[d.MAC]
		if a == nil {
			r.t.Errorf("%s was never read", d.Name)
			continue
		}
		for name, s := range d.Stats {
			if kept(name) && a.sum[name] != s.Added {
				r.t.Errorf("%s: %s: an ideal reader finds %d, the script added %d", d.Name, name, a.sum[name], s.Added)
			}
			if kept(name) {
				added += s.Added
			}
		}
		if a.cleanInRow < cleanBetween {
			r.t.Errorf("%s: only %d clean readings at the end", d.Name, a.cleanInRow)
		}
	}
	if added == 0 {
		r.t.Error("the script added nothing")
	}
}

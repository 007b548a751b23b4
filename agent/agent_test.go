package agent

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/agent/window"
)

// collector keeps what an agent publishes.
type collector struct{ batches []*metric.Batch }

func (c *collector) Publish(b *metric.Batch) { c.batches = append(c.batches, b) }

// sum adds up a metric by interface ("" for the host) over all windows.
func (c *collector) sum(name string) map[string]uint64 {
	sums := map[string]uint64{}
	for _, b := range c.batches {
		for _, s := range b.Series {
			if s.Name != name {
				continue
			}
			mac := ""
			if s.Interface >= 0 {
				mac = b.Interfaces[s.Interface].MAC
			}
			sums[mac] += uint64(s.Sum())
		}
	}
	return sums
}

// host is an agent on a simulated host.
type host struct {
	machine *simulate.Machine
	agent   *Agent
	out     collector
	log     bytes.Buffer
}

func scenario(t *testing.T, text string) *simulate.Scenario {
	t.Helper()
	s, err := simulate.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// on returns a host in which s happens. It belongs into a bubble.
func on(t *testing.T, s *simulate.Scenario, change func(*Options)) *host {
	t.Helper()
	h := &host{machine: simulate.New(s, simulate.SystemClock{})}
	o := Options{
		Kernel: h.machine, Clock: window.SystemClock(), Log: slog.New(slog.NewTextHandler(&h.log, nil)),
		Resource: metric.Resource{Host: "test"}, Sample: time.Second, Publish: 10 * time.Second, Sparse: true,
		Want: func(metric.Interface) bool { return true }, Queues: func(ena.Stat) bool { return false },
		Store: &Memory{}, Outputs: []Output{&h.out},
	}
	if change != nil {
		change(&o)
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.agent = a
	return h
}

// run lets the agent run for d and returns when it has stopped.
func (h *host) run(t *testing.T, d time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	h.agent.Run(ctx, time.Second)
	time.Sleep(5 * time.Second) // a device that is stuck lets go
	synctest.Wait()
}

// conserved checks the equation: what was published is what happened, by
// interface and counter.
func (h *host) conserved(t *testing.T) {
	t.Helper()
	for _, d := range h.machine.Ledger().Devices {
		for _, stat := range []string{"bw_in_allowance_exceeded", "pps_allowance_exceeded", "linklocal_allowance_exceeded"} {
			if got, want := h.out.sum(stat)[d.MAC], d.Stats[stat].Added; got != want {
				t.Errorf("%s of %s: published %d, happened %d", stat, d.Name, got, want)
			}
		}
	}
}

func TestEveryDeltaIsPublishedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 11072}}
steps:
- {at: 3s, add: {bw_in_allowance_exceeded: 70, linklocal_allowance_exceeded: 5}}
- {at: 9500ms, add: {bw_in_allowance_exceeded: 1}}
- {at: 12s, rate: {pps_allowance_exceeded: 100}, for: 20s}
- {at: 44700ms, add: {linklocal_allowance_exceeded: 9}}
`), nil)
		h.run(t, 45*time.Second+500*time.Millisecond)
		h.conserved(t)
		if n := len(h.out.batches); n != 5 {
			t.Errorf("%d windows, want 5: four of ten seconds and the one that the end cut short", n)
		}
		var start time.Time
		for _, b := range h.out.batches {
			if !start.IsZero() && !b.Start.Equal(start) {
				t.Errorf("a window starts at %v, the one before ended at %v", b.Start, start)
			}
			start = b.Start.Add(b.Length)
		}
	})
}

// A device that holds the kernel for 3 s holds up nobody else.
func TestBlockedDeviceDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
- {name: ens6, driver: 2.17.0}
steps:
- {at: 1500ms, device: ens6, rate: {pps_allowance_exceeded: 7}, for: 15s}
- {at: 1500ms, device: ens5, rate: {pps_allowance_exceeded: 3}, for: 15s}
- {at: 4500ms, device: ens5, fault: {delay: 2900ms}}
- {at: 5500ms, device: ens5, fault: none}
`), nil)
		h.run(t, 29*time.Second+100*time.Millisecond)
		h.conserved(t)
		for _, s := range h.out.batches[0].Series {
			if s.Name == "pps_allowance_exceeded" && s.Interface >= 0 {
				if s.Interface == 1 && (len(s.Samples) != 10 || s.Max() > 8) {
					t.Errorf("ens6 was not read every second: %v", s.Samples)
				}
			}
		}
		if !strings.Contains(h.log.String(), "waiting_for=ens5") {
			t.Errorf("the log does not name the device:\n%s", h.log.String())
		}
		if got := h.out.sum("missed_seconds")[""]; got != 3 {
			t.Errorf("missed_seconds %d, want 3", got)
		}
	})
}

// While a device fails it is asked less and less often, and again every second
// when it answers.
func TestFailingDeviceIsSparedAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 500}}
steps:
- {at: 2500ms, fault: {admin: stopped}}
- {at: 20s, add: {bw_in_allowance_exceeded: 70}}
- {at: 90s, fault: none}
- {at: 200s, add: {bw_in_allowance_exceeded: 6}}
`), nil)
		h.run(t, 210*time.Second+100*time.Millisecond)
		h.conserved(t)
		d := h.machine.Ledger().Devices[0]
		// 2+2 good ones, 3 bad ones every second, 3 every ten, 1 a minute later,
		// then one a second.
		if d.Failed < 6 || d.Failed > 8 {
			t.Errorf("%d readings failed while the queue was stopped for 88 s, want about 7", d.Failed)
		}
		if got := h.out.sum("suspect_readings")[""]; got != uint64(d.Failed) {
			t.Errorf("suspect_readings %d, want %d", got, d.Failed)
		}
		for _, want := range []string{"every=10s", "every=1m0s", "every=1s", "the admin queue is stopped"} {
			if !strings.Contains(h.log.String(), want) {
				t.Errorf("the log does not say %q:\n%s", want, h.log.String())
			}
		}
	})
}

func TestInterfacesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 100}}
- {name: ens6, driver: upstream-6.12, attached: false}
steps:
- {at: 3500ms, device: ens6, attach: true}
- {at: 3600ms, device: ens6, add: {linklocal_allowance_exceeded: 41}}
- {at: 6500ms, device: ens6, rename: eth1}
- {at: 6600ms, device: ens6, add: {linklocal_allowance_exceeded: 1}}
- {at: 9500ms, device: ens5, detach: true}
- {at: 12500ms, device: ens5, attach: true}
- {at: 12600ms, device: ens5, add: {bw_in_allowance_exceeded: 30}}
`), nil)
		h.run(t, 20*time.Second+100*time.Millisecond)
		h.conserved(t)
		names := map[string]bool{}
		for _, b := range h.out.batches {
			for _, i := range b.Interfaces {
				names[i.Name] = true
			}
		}
		if diff := cmp.Diff(map[string]bool{"ens5": true, "eth1": true}, names); diff != "" {
			t.Errorf("interfaces (-want +got)\n%s", diff)
		}
	})
}

// A driver that is loaded anew between two readings: by the old name, another
// device is read before its arrival is known, and what it counted is counted once.
func TestDeviceTakesAnothersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
steps:
- {at: 1500ms, add: {pps_allowance_exceeded: 2}}
- {at: 5300ms, detach: true}
- {at: 5400ms, attach: true}
- {at: 5500ms, add: {pps_allowance_exceeded: 4}}
- {at: 9s, add: {pps_allowance_exceeded: 1}}
`), nil)
		h.run(t, 15*time.Second)
		h.conserved(t)
	})
}

// heldKernel is one that holds up whoever asks for link events.
type heldKernel struct {
	ena.Kernel
	hold func() time.Duration
}

func (k *heldKernel) Events(f func(ena.LinkEvent)) (bool, error) {
	time.Sleep(k.hold())
	return k.Kernel.Events(f)
}

// A kernel that holds up the last look for devices doubles no second and no window,
// and what it says when the agent has ended changes nothing.
func TestKernelHoldsUpTheEnd(t *testing.T) {
	for _, held := range []time.Duration{300 * time.Millisecond, 30 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
- {name: ens6, driver: 2.17.0, attached: false}
- {name: ens7, driver: 2.17.0}
steps:
- {at: 1500ms, rate: {pps_allowance_exceeded: 3}, for: 15s, device: ens5}
- {at: 25s, attach: true, device: ens6}
`), func(o *Options) {
				o.Want = func(i metric.Interface) bool { return i.Name != "ens7" || time.Since(began) > 22*time.Second }
				o.Kernel = &heldKernel{o.Kernel, func() time.Duration {
					if time.Since(began) > 20*time.Second {
						return held
					}
					return 0
				}}
			})
			time.AfterFunc(20*time.Second+5*time.Millisecond, func() {
				h.agent.mu.Lock()
				defer h.agent.mu.Unlock()
				h.agent.loop.rescan = 0 // as if it were time to list all devices
			})
			h.run(t, 20*time.Second+10*time.Millisecond) // a window has just ended
			time.Sleep(time.Minute)
			synctest.Wait()
			h.conserved(t)
			seconds, last := uint64(0), time.Time{}
			for _, b := range h.out.batches {
				if b.Start.Before(last) {
					t.Errorf("held for %v: a window from %v follows one to %v", held, b.Start, last)
				}
				last = b.Start.Add(b.Length)
			}
			for _, n := range h.out.sum("heartbeat") {
				seconds += n
			}
			if missed := h.out.sum("missed_seconds")[""]; seconds > 21 || missed > 0 {
				t.Errorf("held for %v: %d seconds were read, %d missed", held, seconds, missed)
			}
			if strings.Count(h.log.String(), "reading an ENA interface") != 1 || len(h.agent.interfaces) > 0 {
				t.Errorf("held for %v: an agent that has ended reads:\n%s", held, h.log.String())
			}
		})
	}
}

func TestHostWithoutENASaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, attached: false}
steps:
- {at: 30500ms, attach: true}
`), nil)
		go func() {
			time.Sleep(time.Second)
			if err := h.agent.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
		}()
		h.run(t, 40*time.Second)
		if n := strings.Count(h.log.String(), "no ENA interface"); n != 1 {
			t.Errorf("said %d times, want once:\n%s", n, h.log.String())
		}
		if got := h.out.sum("heartbeat")[""]; got < 5 || got > 10 {
			t.Errorf("heartbeats add up to %d, want the seconds since the attach", got)
		}
	})
}

// A restart of the agent neither repeats nor loses what happened meanwhile.
func TestBaselinesCarryOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 9000}}
steps:
- {at: 1500ms, rate: {bw_in_allowance_exceeded: 3}, for: 60s}
`)
		h := on(t, s, nil)
		h.run(t, 15*time.Second)
		time.Sleep(20 * time.Second)
		a, err := New(h.agent.Options)
		if err != nil {
			t.Fatal(err)
		}
		h.agent = a
		h.run(t, 40*time.Second)
		h.conserved(t)
	})
}

// A window that is to end early does, with the next reading, and the one after it
// ends where it would have.
func TestEndWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
`), nil)
		h.agent.EndWindow() // before the first one: nothing
		time.AfterFunc(3500*time.Millisecond, h.agent.EndWindow)
		h.run(t, 11500*time.Millisecond)
		var got []time.Duration
		for _, b := range h.out.batches {
			got = append(got, b.Length.Round(time.Second))
		}
		if diff := cmp.Diff([]time.Duration{4 * time.Second, 6 * time.Second, 2 * time.Second}, got); diff != "" {
			t.Errorf("lengths (-want +got)\n%s", diff)
		}
	})
}

// An agent that goes on where another one ended in the same process has all that
// it had, whatever the store holds; an interface that came meanwhile was attached.
func TestAgentAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 100}}
- {name: ens6, driver: 2.17.0, attached: false}
steps:
- {at: 1500ms, device: ens5, add: {bw_in_allowance_exceeded: 7}}
- {at: 4s, device: ens5, add: {bw_in_allowance_exceeded: 20}}
- {at: 4s, device: ens6, attach: true}
- {at: 4s, device: ens6, add: {bw_in_allowance_exceeded: 3000}}
`), nil)
		h.run(t, 2200*time.Millisecond)
		first := h.agent
		o := first.Options
		o.Before, o.Store = first, &Memory{}
		second, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		h.agent = second
		h.run(t, 2*time.Second)
		h.conserved(t)
		if second.Options.Before != nil {
			t.Error("it does not forget the one before")
		}
	})
}

func TestStoreThatFailsStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
steps:
- {at: 3s, add: {bw_in_allowance_exceeded: 70}}
`), func(o *Options) { o.Store = fullDisk{} })
		h.run(t, 12*time.Second)
		h.conserved(t)
		if !strings.Contains(h.log.String(), "too large") {
			t.Errorf("the log does not say so:\n%s", h.log.String())
		}
	})
}

type fullDisk struct{}

func (fullDisk) Load() ([]delta.Baseline, error) { return nil, nil }
func (fullDisk) Commit([]delta.Baseline, *metric.Batch, []store.Record) error {
	return bytes.ErrTooLarge
}

func TestSnapshotHoldsTheLastBelievedValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 500}}
steps:
- {at: 3500ms, add: {bw_in_allowance_exceeded: 4}}
- {at: 5500ms, fault: {admin: error}}
`), nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { h.agent.Run(ctx, time.Second); close(done) }()
		time.Sleep(8 * time.Second)
		s := h.agent.Snapshot()
		cancel()
		<-done
		i := s.Interfaces[0]
		if i.Verdict != "suspect" || i.Reason == "" {
			t.Errorf("verdict %q, reason %q", i.Verdict, i.Reason)
		}
		for _, r := range i.Raw {
			if r.Name == "bw_in_allowance_exceeded" && r.Value != 504 {
				t.Errorf("raw %d, want 504", r.Value)
			}
		}
		for _, total := range i.Totals {
			if total.Name == "bw_in_allowance_exceeded" && total.Value != 504 {
				t.Errorf("total %d, want 504", total.Value)
			}
		}
		if err := h.agent.Healthy(); err != nil {
			t.Error(err)
		}
	})
}

// A clock that jumps neither loses nor doubles a delta.
func TestClockSteps(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := window.SystemClock()
				wall, off := clock.Wall, time.Duration(0)
				jump := time.Now().Add(14500 * time.Millisecond)
				clock.Wall = func() time.Time {
					if time.Now().After(jump) {
						off = step
					}
					return wall().Add(off)
				}
				h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 9}}
steps:
- {at: 1500ms, rate: {bw_in_allowance_exceeded: 3}, for: 40s}
`), func(o *Options) { o.Clock = clock })
				h.run(t, 50*time.Second)
				h.conserved(t)
				var length time.Duration
				for _, b := range h.out.batches {
					length += b.Length
				}
				if length < 49*time.Second || length > 51*time.Second {
					t.Errorf("windows of %v together, want 50 s", length)
				}
				last := h.out.batches[len(h.out.batches)-1]
				if off := last.Start.Add(last.Length).Sub(clock.Wall().Add(-5 * time.Second)).Abs(); off > time.Second {
					t.Errorf("the last window ends %v off the clock", off)
				}
			})
		})
	}
}

// A device that is always slower than the limit is read all the same, without a
// line in the log for each reading.
func TestSteadilySlowDevice(t *testing.T) {
	for _, delay := range []string{"150ms", "950ms", "1500ms"} {
		t.Run(delay, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
steps:
- {at: 2500ms, fault: {delay: `+delay+`}}
- {at: 5s, rate: {pps_allowance_exceeded: 7}, for: 60s}
`), nil)
				h.run(t, 200*time.Second)
				h.conserved(t)
				if n := strings.Count(h.log.String(), "in time"); n != 1 {
					t.Errorf("said %d times, want once", n)
				}
				if got := h.out.sum("heartbeat")[""]; delay == "150ms" && got < 90 {
					t.Errorf("only %d seconds were observed", got)
				}
				if spared := strings.Contains(h.log.String(), "every=10s"); spared != (delay == "1500ms") {
					t.Errorf("spared: %v", spared)
				}
			})
		})
	}
}

// An interface that is wanted by its ENI's id is looked up although it is not
// wanted yet, and its first drops count.
func TestHotAttachIsWantedByENI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h *host
		h = on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0, attached: false}
steps:
- {at: 2500ms, attach: true}
- {at: 2600ms, add: {pps_allowance_exceeded: 41}}
- {at: 9500ms, add: {pps_allowance_exceeded: 1}}
`), func(o *Options) {
			o.Want = func(i metric.Interface) bool { return i.ENI == "eni-1" }
			o.Attached = func(mac string) {
				time.AfterFunc(4*time.Second, func() { h.agent.NameENI(mac, "eni-1", "subnet-1") })
			}
		})
		h.run(t, 15*time.Second)
		h.conserved(t)
		if last := h.out.batches[len(h.out.batches)-1]; len(last.Interfaces) != 1 || last.Interfaces[0].Subnet != "subnet-1" {
			t.Errorf("the last window's interfaces are %+v, want one in subnet-1", last.Interfaces)
		}
	})
}

// slowList is a kernel that takes its time to list its devices.
type slowList struct{ ena.Kernel }

func (k slowList) Links() ([]ena.Link, error) {
	time.Sleep(300 * time.Millisecond)
	return k.Kernel.Links()
}

func TestNotReadyBeforeTheFirstList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, "devices: [{name: ens5, driver: 2.17.0}]\n"), func(o *Options) { o.Kernel = slowList{o.Kernel} })
		time.AfterFunc(200*time.Millisecond, func() {
			if h.agent.Ready() == nil {
				t.Error("ready before the first list")
			}
		})
		h.run(t, 5*time.Second)
		if strings.Contains(h.log.String(), "no ENA interface") || h.agent.Ready() != nil {
			t.Errorf("log:\n%s", h.log.String())
		}
	})
}

// Whoever asks after the end is told that nothing is read any more.
func TestSnapshotAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := on(t, scenario(t, "devices: [{name: ens5, driver: 2.17.0}]\n"), nil)
		h.run(t, 5*time.Second)
		if s := h.agent.Snapshot(); len(s.Interfaces) != 0 {
			t.Errorf("interfaces %+v", s.Interfaces)
		}
		h.agent.NameENI("06:00:00:00:00:05", "eni-1", "subnet-1")
	})
}

// A record has room for some interfaces: those that exceeded an allowance come first.
func TestRecordsHaveRoomForWhoExceeded(t *testing.T) {
	a := &Agent{}
	for n := range recordInterfaces + 3 {
		i := &iface{row: &window.Row{Interface: metric.Interface{Name: fmt.Sprint("ens", n)}}}
		i.queues[0] = 1 // there is something to tell of each
		a.interfaces = append(a.interfaces, i)
	}
	a.interfaces[recordInterfaces+1].exceeded[1], a.interfaces[recordInterfaces+2].exceeded[0] = 1, 1
	a.record(false)
	var got []string
	for _, i := range a.recorder.ring[0].interfaces[:a.recorder.ring[0].n] {
		got = append(got, i.name)
	}
	if want := []string{"ens9", "ens10", "ens0", "ens1", "ens2", "ens3", "ens4", "ens5"}; !cmp.Equal(got, want) {
		t.Errorf("a record has %v, want %v", got, want)
	}
}

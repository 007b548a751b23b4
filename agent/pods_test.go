package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// Pods stand in every snapshot, and in the windows in which their interface
// exceeded an allowance.
func TestPodsOfInterfacesThatHurt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exceeded := 0
		h := on(t, scenario(t, `
devices:
- {name: ens5, driver: 2.17.0}
- {name: ens6, driver: 2.17.0}
steps:
- {at: 15s, device: ens6, add: {pps_allowance_exceeded: 70}}
- {at: 25s, device: ens6, add: {linklocal_allowance_exceeded: 1}}
`), func(o *Options) { o.Exceeded = func() { exceeded++ } })
		time.AfterFunc(5*time.Second, func() {
			h.agent.NameENI(h.machine.Ledger().Devices[1].MAC, "eni-2", "subnet-1")
			h.agent.NamePods(func(_ int, eni string) *metric.Pods {
				return &metric.Pods{Names: []string{"ns/on-" + eni}}
			})
		})
		time.AfterFunc(30500*time.Millisecond, func() {
			for _, i := range h.agent.Snapshot().Interfaces {
				if want := "ns/on-" + i.ENI; i.Pods == nil || i.Pods.Names[0] != want {
					t.Errorf("%s in the snapshot: pods %+v, want %s", i.Name, i.Pods, want)
				}
			}
		})
		h.run(t, 40500*time.Millisecond)
		for n, b := range h.out.batches {
			for _, i := range b.Interfaces {
				hurt := i.Name == "ens6" && (n == 1 || n == 2)
				if hurt != (i.Pods != nil) {
					t.Errorf("window %d, %s: pods %+v", n, i.Name, i.Pods)
				}
			}
		}
		if exceeded != 2 {
			t.Errorf("told %d times that an allowance was exceeded, want 2", exceeded)
		}
	})
}

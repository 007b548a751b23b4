package agent

import (
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Identify changes what windows say of the host, from the open one on.
func (a *Agent) Identify(r metric.Resource) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Resource = r
}

// eni is what is known of a MAC address.
type eni struct{ id, subnet string }

func (e eni) name(i *metric.Interface) { i.ENI, i.Subnet = e.id, e.subnet }

// NameENI says which ENI has a MAC address and in which subnet it is, now and
// whenever it is attached again. Want is asked anew.
func (a *Agent) NameENI(mac, id, subnet string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.loop.last {
		return // nothing is read any more
	}
	a.enis[mac] = eni{id, subnet}
	for at := len(a.interfaces) - 1; at >= 0; at-- {
		i := a.interfaces[at]
		if i.row.Interface.MAC != mac {
			continue
		}
		a.enis[mac].name(&i.row.Interface)
		i.row.Interface.Pods = a.pods(i.index, id)
		if !a.Want(i.row.Interface) {
			a.unwanted[i.index] = sighting{ena.Netdev{Index: i.index, Interface: i.row.Interface, Driver: i.driver}, ena.Found}
			a.stopReading(at, true)
		}
	}
	a.reconsider(mac)
}

// NamePods says which pods are on the interface that the kernel knows under an
// index and AWS under the id of an ENI, which may be "", now and until it is said
// anew.
func (a *Agent) NamePods(pods func(index int, eni string) *metric.Pods) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pods = pods
	for _, i := range a.interfaces {
		i.row.Interface.Pods = pods(i.index, i.row.Interface.ENI)
	}
}

// nameCulprits leaves pods only to interfaces that exceeded an allowance: the
// others did not hurt anyone.
func nameCulprits(b *metric.Batch) {
	exceeded := make([]bool, len(b.Interfaces))
	for n := range b.Series {
		s := &b.Series[n]
		if stat, ok := ena.Lookup(s.Name); ok && s.Interface >= 0 && stat.Exceeded() && !s.IsZero() {
			exceeded[s.Interface] = true
		}
	}
	for n := range b.Interfaces {
		if !exceeded[n] {
			b.Interfaces[n].Pods = nil
		}
	}
}

// levels lists the raw values of the interfaces of a window, without those of
// single queues. The caller holds the lock.
func (a *Agent) levels(interfaces []metric.Interface) (all []metric.Level) {
	for n, mi := range interfaces {
		for _, i := range a.interfaces {
			if i.row.Interface != mi {
				continue
			}
			i.reader.Raw(func(name string, value uint64) {
				if s, ok := ena.Lookup(name); ok && s < ena.FirstQueue {
					all = append(all, metric.Level{Interface: n, Name: name, Value: value})
				}
			})
		}
	}
	return all
}

package kubernetes

import (
	"fmt"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// allowance is what can hurt. The reasons are those of the EKS node monitoring
// agent (eks-node-monitoring-agent, pkg/reasons/reasons.yaml).
type allowance struct{ name, metric, reason, over, what, remedy string }

var allowances = [...]allowance{
	{
		"bw_in", "bw_in_allowance_exceeded", "BandwidthInExceeded", "BandwidthInRecovered", "inbound bandwidth",
		"use a larger instance type, or spread what receives most over more nodes",
	},
	{
		"bw_out", "bw_out_allowance_exceeded", "BandwidthOutExceeded", "BandwidthOutRecovered", "outbound bandwidth",
		"use a larger instance type, or spread what sends most over more nodes",
	},
	{
		"pps", "pps_allowance_exceeded", "PPSExceeded", "PPSRecovered", "packets per second",
		"use a larger instance type, or larger packets",
	},
	{
		"conntrack", "conntrack_allowance_exceeded", "ConntrackExceeded", "ConntrackRecovered", "tracked connections",
		"reuse connections, use security groups that do not track, or a larger instance type",
	},
	{
		"linklocal", "linklocal_allowance_exceeded", "LinkLocalExceeded", "LinkLocalRecovered", "packets per second to DNS, IMDS and NTP",
		"spread CoreDNS over more nodes, or run NodeLocal DNSCache",
	},
}

// incident is one allowance of this node, and what the cluster knows of it.
type incident struct {
	*allowance
	threshold float64

	open        bool // it hurts
	since, last time.Time
	again       time.Time     // when it went on although it was to be over
	quiet       time.Duration // since last
	packets     float64       // since since
	windows     int           // that hurt
	detail      string        // of the newest of them

	dirty   bool // the cluster does not know all of this
	over    bool // it is over, and the cluster does not know
	event   string
	toldAt  time.Time
	version int // counts observations that are to be told
}

// observe takes a window into account.
func (i *incident) observe(b *metric.Batch, recoverAfter time.Duration) {
	packets, seconds, where := i.exceeded(b)
	if packets >= i.threshold {
		if !i.open && !i.over {
			i.since, i.packets, i.windows, i.event = b.Start, 0, 0, ""
		}
		if i.over {
			i.again = b.Start
		}
		i.open, i.over, i.dirty = true, false, true // what was to be over goes on
		i.last, i.quiet = b.Start.Add(b.Length), 0
		i.packets += packets
		i.windows++
		i.version++
		i.detail = fmt.Sprintf("%.0f packets in %d of the last %.0f seconds%s%s", packets, seconds, b.Length.Seconds(), where, i.culprits(b))
		return
	}
	if !i.open {
		return
	}
	if i.quiet += b.Length; i.quiet >= recoverAfter {
		i.open, i.over, i.dirty = false, true, true
		i.version++
	}
}

// exceeded adds up what a window has of the allowance, over interfaces, and says
// in words which those are and who is on them.
func (i *incident) exceeded(b *metric.Batch) (packets float64, seconds int, where string) {
	var text strings.Builder
	for n := range b.Series {
		s := &b.Series[n]
		if s.Name != i.metric || s.Interface < 0 || s.IsZero() {
			continue
		}
		packets += s.Sum()
		hurt := 0
		for _, v := range s.Samples {
			if v > 0 {
				hurt++
			}
		}
		seconds = max(seconds, hurt)
		mi := &b.Interfaces[s.Interface]
		fmt.Fprintf(&text, "; %.0f on %s", s.Sum(), mi.Name)
		if mi.ENI != "" {
			fmt.Fprintf(&text, " (%s)", mi.ENI)
		}
		text.WriteString(podsOn(mi.Pods))
	}
	return packets, seconds, text.String()
}

// culprits names who spends the allowance most, if the agent counts that.
func (i *incident) culprits(b *metric.Batch) string {
	const most = 3
	var list []string
	switch i.name {
	case "linklocal":
		for _, s := range b.Senders[:min(len(b.Senders), most)] {
			list = append(list, fmt.Sprintf("%s (%d packets)", s.Name, s.Packets))
		}
	case "conntrack":
		for _, o := range b.ConntrackOwners[:min(len(b.ConntrackOwners), most)] {
			list = append(list, fmt.Sprintf("%s (%d connections)", o.Owner, o.Entries))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return "; of this node, most is from " + strings.Join(list, ", ")
}

// podsOn names the pods of an interface, those of DNS apart.
func podsOn(p *metric.Pods) string {
	if p == nil {
		return ""
	}
	const most = 5
	names := p.Names[:min(len(p.Names), most)]
	text := " with pods " + strings.Join(names, ", ")
	if more := len(p.Names) - len(names) + p.Omitted; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if len(p.DNS) > 0 {
		text += ", of which the cluster's DNS is " + strings.Join(p.DNS[:min(len(p.DNS), most)], ", ")
	}
	return text
}

// ahead puts what begins and what is over before updates, which would else take
// the whole budget: they are overdue where they come oftener than that is filled.
const ahead = time.Hour

// due returns when the next thing is to be told, if there is any.
func (i *incident) due(now time.Time, updateEvery time.Duration) (time.Time, bool) {
	switch {
	case !i.dirty:
		return time.Time{}, false
	case i.event != "" && !i.over:
		return i.toldAt.Add(updateEvery), true
	}
	return now.Add(-ahead), true
}

// report returns what is to be told next.
func (i *incident) report(o Options) report {
	r := &eventReport{incident: i, version: i.version, node: o.Node, name: i.event, packets: i.packets, windows: i.windows}
	since := i.since.UTC().Format(time.RFC3339)
	e := event{
		Count: max(i.windows, 1), First: i.since.UTC().Format(time.RFC3339), Last: i.last.UTC().Format(time.RFC3339),
		Type: "Warning", Reason: i.reason,
		Message: fmt.Sprintf("%s exceeded since %s: %.0f packets were queued or dropped in all; %s. Remedy: %s.",
			i.what, since, i.packets, i.detail, i.remedy),
	}
	if i.event != "" && i.over {
		r.end = true
		e.Type, e.Reason, e.Count, e.First = "Normal", i.allowance.over, 1, e.Last
		e.Message = fmt.Sprintf("%s is within the allowance again: exceeded from %s to %s, %.0f packets in all.",
			i.what, since, i.last.UTC().Format(time.RFC3339), i.packets)
	}
	if r.name == "" || r.end {
		r.create = true
		stamp := i.since
		if r.end {
			stamp = i.last
		}
		r.name = eventName(o.Node, e.Reason, stamp)
	}
	r.event = e.of(o, r.name)
	return r
}

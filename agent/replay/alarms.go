package replay

import (
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/evaluate"
	"github.com/enawatch/enawatch/agent/window"
)

// before is how long the alarms are taken to have been there, on an agent that had
// nothing to say, and after for how long it is taken to go on like that: longer
// than any of them looks back, or waits with its actions.
const before, after = 30 * time.Minute, 15 * time.Minute

// World is what alarms read besides windows.
type World struct {
	Namespace string
	// Rollups are the dimensions of each roll-up that the host is in.
	Rollups [][]metric.Dimension
}

// Alarms returns what the alarms of a set would have done, from the first window
// on, and the names of those that read something else than windows. The instance is
// taken to have run all the time, and its agent to have had nothing to say before
// the first window and after the last.
func Alarms(windows []*metric.Batch, set *provision.Set, in World) (changes []evaluate.Transition, skipped []string, err error) {
	e, err := evaluate.New(set)
	if err != nil || len(windows) == 0 {
		return nil, nil, err
	}
	first, last := windows[0], windows[len(windows)-1]
	begin := first.Start.Truncate(time.Minute)
	end := last.Start.Add(last.Length + time.Minute - 1).Truncate(time.Minute)
	for at := begin.Add(-before); at.Before(end.Add(after)); at = at.Add(time.Minute) {
		e.Metrics.Put(metricOf("AWS/EC2", "StatusCheckFailed", "InstanceId", first.Resource.InstanceID), at, time.Minute, 0)
		for _, d := range in.Rollups {
			if len(d) == 1 && d[0].Name == "AutoScalingGroupName" {
				e.Metrics.Put(metricOf("AWS/AutoScaling", "GroupInServiceInstances", d[0].Name, d[0].Value), at, time.Minute, 1)
			}
		}
		if at.Before(begin) || !at.Before(end) {
			e.Metrics.Add(in.Namespace, &metric.Batch{
				Start: at, Length: time.Minute, Resource: first.Resource,
				Series: []metric.Series{{Name: window.Heartbeat.Name, Interface: -1, Whole: true, Samples: []float64{60}}},
			}, in.Rollups...)
		}
	}
	for _, b := range windows {
		e.Metrics.Add(in.Namespace, b, in.Rollups...)
	}
	e.Metrics.Add(in.Namespace, zeros(last, end), in.Rollups...)
	for _, t := range []time.Time{begin.Add(-before / 2), begin} {
		if _, err := e.Until(t); err != nil {
			return nil, nil, fmt.Errorf("evaluate the alarms: %w", err)
		}
	}
	changes, err = e.Until(end.Add(after))
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate the alarms: %w", err)
	}
	return changes, e.Skipped, nil
}

// zeros is what an agent publishes first when it has nothing more to tell: that
// what it told of in the window before is 0.
func zeros(b *metric.Batch, at time.Time) *metric.Batch {
	out := &metric.Batch{Start: at, Length: time.Minute, Resource: b.Resource, Interfaces: b.Interfaces}
	for _, s := range b.Series {
		if s.Kind == metric.Counter && !s.IsZero() {
			s.Samples = []float64{0}
			out.Series = append(out.Series, s)
		}
	}
	return out
}

func metricOf(namespace, name, dimension, value string) provision.Metric {
	return provision.Metric{Namespace: namespace, MetricName: name, Dimensions: []provision.Dimension{{Name: dimension, Value: value}}}
}

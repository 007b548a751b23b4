package remotewrite

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
)

// label is one name and value of a series.
type label struct{ name, value string }

// metadata describe a family.
type metadata struct {
	kind       uint64 // MetricMetadata.MetricType: 1 counter, 2 gauge, 0 unknown
	help, unit string
}

// series is one sample of a series, whose time is the message's.
type series struct {
	labels []label // sorted by name, none of them empty
	value  float64
	metadata
}

// stale ends a series (model/value of Prometheus, StaleNaN).
var stale = math.Float64frombits(0x7ff0000000000002)

// String writes the series as PromQL does.
func (s *series) String() string {
	var name string
	var pairs []string
	for _, l := range s.labels {
		if l.name == "__name__" {
			name = l.value
		} else {
			pairs = append(pairs, l.name+"="+strconv.Quote(l.value))
		}
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// name returns the name of the metric.
func (s *series) name() string {
	for _, l := range s.labels {
		if l.name == "__name__" {
			return l.value
		}
	}
	return ""
}

// identity tells series apart.
func (s *series) identity() string {
	var b strings.Builder
	for _, l := range s.labels {
		b.WriteString(l.name)
		b.WriteByte(0)
		b.WriteString(l.value)
		b.WriteByte(0)
	}
	return b.String()
}

// maxSeries is how many series are in one request, as many as Prometheus sends
// by default.
const maxSeries = 2000

// Sample turns a snapshot into requests.
func (s *Sink) Sample(snapshot *metric.Snapshot) []sink.Request {
	list := s.seriesOf(snapshot)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := make(map[string]*series, len(list))
	for _, v := range list {
		now[v.identity()] = v
	}
	list = append(list, ended(s.last, now)...)
	s.last, s.at = now, snapshot.At.UnixMilli()
	return requests(s.at, list)
}

// End returns markers that end every series, just behind the newest snapshot.
func (s *Sink) End() []sink.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := ended(s.last, nil)
	s.last = map[string]*series{}
	s.at++
	return requests(s.at, list)
}

// ended returns markers for the series that are no longer there.
func ended(before, now map[string]*series) (list []*series) {
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if now[id] == nil {
			marker := *before[id]
			marker.value = stale
			list = append(list, &marker)
		}
	}
	return list
}

func requests(at int64, list []*series) (all []sink.Request) {
	for part := range slices.Chunk(list, maxSeries) {
		all = append(all, encode(at, part))
	}
	return all
}

// seriesOf lists the series of a snapshot.
func (s *Sink) seriesOf(snapshot *metric.Snapshot) (list []*series) {
	shown := *snapshot
	shown.Interfaces = slices.Clone(snapshot.Interfaces)
	enis := map[string]string{}
	for n := range shown.Interfaces {
		i := &shown.Interfaces[n]
		enis[i.Name] = i.ENI
		i.Raw = slices.DeleteFunc(slices.Clone(i.Raw), func(r metric.RawStat) bool { return !s.o.Want(r.Name) })
		i.Totals = slices.DeleteFunc(slices.Clone(i.Totals), func(t metric.Total) bool { return !s.o.Want(t.Name) })
	}
	if !s.o.Self {
		shown.Self = nil
	}
	host := s.hostLabels(&shown.Resource)
	for _, f := range s.families(&shown) {
		var kind uint64 // of MetricMetadata: 0 is unknown
		switch f.Kind {
		case prometheus.Counter:
			kind = 1
		case prometheus.Gauge:
			kind = 2
		}
		for i := range f.Series {
			list = append(list, &series{
				metadata: metadata{kind: kind, help: f.Help, unit: f.Unit},
				labels:   labelsOf(f.Name, f.Series[i].Labels, host, enis), value: f.Series[i].Value,
			})
		}
	}
	return list
}

// labelsOf puts the labels of one series together. Its own come first, so that
// of two with one name its own counts.
func labelsOf(name string, own []prometheus.Label, host []label, enis map[string]string) []label {
	list := make([]label, 0, len(own)+len(host)+2)
	list = append(list, label{"__name__", name})
	eni := ""
	for _, l := range own {
		list = append(list, label{l.Name, l.Value})
		if l.Name == "device" || l.Name == "interface" {
			eni = enis[l.Value]
		}
	}
	list = append(append(list, label{"eni", eni}), host...)
	list = slices.DeleteFunc(list, func(l label) bool { return l.value == "" })
	slices.SortStableFunc(list, func(a, b label) int { return cmp.Compare(a.name, b.name) })
	return slices.CompactFunc(list, func(a, b label) bool { return a.name == b.name })
}

// hostLabels are those that every series gets: the configured ones before those
// that the host gives.
func (s *Sink) hostLabels(r *metric.Resource) (list []label) {
	for _, name := range slices.Sorted(maps.Keys(s.o.ExternalLabels)) {
		list = append(list, label{prometheus.LabelName(name), s.o.ExternalLabels[name]})
	}
	for _, d := range r.Dimensions {
		list = append(list, label{prometheus.LabelName(d.Name), d.Value})
	}
	h := s.o.Host()
	list = append(list, label{"instance", r.Host}, label{"instance_id", r.InstanceID},
		label{"availability_zone", h.Zone}, label{"cluster", h.Cluster}, label{"node", h.Node})
	for i := range list {
		list[i].value = strings.ToValidUTF8(list[i].value, "\ufffd")
	}
	return list
}

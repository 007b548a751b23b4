package awsfake

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// workspace holds the series of one Prometheus workspace. It takes and refuses
// samples by the rules of Prometheus' TSDB (tsdb/head_append.go, appendable).
type workspace struct {
	series   map[string]*Series
	metadata map[string]Metadata
	// newest is the largest timestamp in any series, in ms.
	newest int64
}

// Series is the samples of one set of labels.
type Series struct {
	Workspace string  `json:"workspace"`
	Labels    []Label `json:"labels"`
	// Samples are sorted by time.
	Samples []Sample `json:"samples"`
}

// Label returns the value of a label, or "".
func (s *Series) Label(name string) string {
	for _, l := range s.Labels {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// sampleError is why one sample is refused.
type sampleError struct {
	reason string
	at     int64
	labels []Label
}

func (e *sampleError) Error() string {
	return fmt.Sprintf("%s. timestamp=%s, series=%s", e.reason, time.UnixMilli(e.at).UTC().Format("2006-01-02T15:04:05.999Z"), seriesText(e.labels))
}

// add stores a sample and reports whether it is new. One that is there already
// with the same value is neither new nor an error.
func (w *workspace) add(labels []Label, v Sample, now time.Time, window time.Duration) (bool, error) {
	refuse := func(reason string) (bool, error) {
		return false, &sampleError{reason, v.Timestamp, labels}
	}
	if v.Timestamp > now.Add(maxSampleAhead).UnixMilli() {
		return refuse("timestamp too new")
	}
	key := seriesText(labels)
	s := w.series[key]
	var samples []Sample
	if s != nil {
		samples = s.Samples
	}
	at, found := slices.BinarySearchFunc(samples, v.Timestamp, func(s Sample, t int64) int {
		return int(min(1, max(-1, s.Timestamp-t)))
	})
	switch {
	case found && math.Float64bits(samples[at].Value) == math.Float64bits(v.Value):
		return false, nil
	case found:
		return refuse("duplicate sample for timestamp")
	case at == len(samples) && w.inOrder(v.Timestamp):
	case v.Timestamp >= w.newest-window.Milliseconds() && window > 0:
	case window > 0:
		return refuse("too old sample")
	case !w.inOrder(v.Timestamp):
		return refuse("out of bounds")
	default:
		return refuse("out of order sample")
	}
	if s == nil {
		s = &Series{Labels: slices.Clone(labels)}
		w.series[key] = s
	}
	s.Samples = slices.Insert(s.Samples, at, v)
	w.newest = max(w.newest, v.Timestamp)
	return true, nil
}

// inOrder reports whether the block that is being filled still covers t.
func (w *workspace) inOrder(t int64) bool {
	return w.newest == 0 || t >= w.newest-inOrderGrace.Milliseconds()
}

// Series returns the series of a workspace ("" means all) that have all the
// given labels, sorted by their labels.
func (p *Prometheus) Series(workspace string, match map[string]string) []Series {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Series
	for id, w := range p.workspaces {
		if workspace != "" && id != workspace {
			continue
		}
		for _, s := range w.series {
			if s.matches(match) {
				out = append(out, Series{id, slices.Clone(s.Labels), slices.Clone(s.Samples)})
			}
		}
	}
	slices.SortFunc(out, func(a, b Series) int {
		return strings.Compare(a.Workspace+seriesText(a.Labels), b.Workspace+seriesText(b.Labels))
	})
	return out
}

func (s *Series) matches(match map[string]string) bool {
	for name, value := range match {
		if s.Label(name) != value {
			return false
		}
	}
	return true
}

// Metadata returns what a workspace knows of its metric families, sorted by
// name.
func (p *Prometheus) Metadata(workspace string) []Metadata {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []Metadata
	if w := p.workspaces[workspace]; w != nil {
		for _, m := range w.metadata {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Metadata) int { return strings.Compare(a.Family, b.Family) })
	return out
}

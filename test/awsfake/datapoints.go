package awsfake

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Dimension is one name and value of a metric's identity.
type Dimension struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// StatisticSet is a summary in place of values.
type StatisticSet struct {
	SampleCount float64 `json:"sample_count"`
	Sum         float64 `json:"sum"`
	Minimum     float64 `json:"minimum"`
	Maximum     float64 `json:"maximum"`
}

// Datum is one MetricDatum that was accepted.
type Datum struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Dimensions are sorted by name.
	Dimensions []Dimension `json:"dimensions,omitempty"`
	// Timestamp is as it was sent; the arrival, if none was.
	Timestamp  time.Time     `json:"timestamp"`
	Unit       string        `json:"unit"`
	Resolution time.Duration `json:"resolution"`
	// Values and Counts are as long as each other; a single value has count 1.
	Values []float64 `json:"values,omitempty"`
	Counts []float64 `json:"counts,omitempty"`
	// Statistics is set instead if the datum came as a statistic set.
	Statistics *StatisticSet `json:"statistics,omitempty"`
	// Entity is nil without a valid one.
	Entity *Entity `json:"entity,omitempty"`
	// Request is Request.Seq of the request that brought the datum.
	Request int       `json:"request"`
	Arrived time.Time `json:"arrived"`
}

// Period returns the start of the period that the service files the datum
// under: its timestamp, cut to the storage resolution.
func (d *Datum) Period() time.Time { return d.Timestamp.Truncate(d.Resolution) }

// Summary returns count, sum, minimum and maximum of the datum. A value with
// count 0 is still an extremum.
func (d *Datum) Summary() StatisticSet {
	if d.Statistics != nil {
		return *d.Statistics
	}
	s := StatisticSet{Minimum: math.Inf(1), Maximum: math.Inf(-1)}
	for i, v := range d.Values {
		s.SampleCount += d.Counts[i]
		s.Sum += v * d.Counts[i]
		s.Minimum = min(s.Minimum, v)
		s.Maximum = max(s.Maximum, v)
	}
	return s
}

// series is the identity of the metric that the datum belongs to.
func (d *Datum) series() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q", d.Namespace, d.Name)
	for _, dim := range d.Dimensions {
		fmt.Fprintf(&b, " %q=%q", dim.Name, dim.Value)
	}
	return b.String()
}

// sameAs reports whether two data of one series say the same of the same
// moment, as a datum does that is sent twice.
func (d *Datum) sameAs(o *Datum) bool {
	if !d.Timestamp.Equal(o.Timestamp) || d.Unit != o.Unit || d.Resolution != o.Resolution {
		return false
	}
	if d.Statistics != nil && o.Statistics != nil {
		return *d.Statistics == *o.Statistics
	}
	return d.Statistics == nil && o.Statistics == nil &&
		slices.Equal(d.Values, o.Values) && slices.Equal(d.Counts, o.Counts)
}

// MetricQuery selects data. Empty fields select everything.
type MetricQuery struct {
	Namespace, Name string
	// Dimensions must be all dimensions of the metric, as in GetMetricData;
	// nil selects every set, an empty map metrics without any.
	Dimensions map[string]string
	// From and To bound the timestamp: From <= t < To. Zero is no bound.
	From, To time.Time
}

func (q *MetricQuery) selects(d *Datum) bool {
	switch {
	case q.Namespace != "" && d.Namespace != q.Namespace,
		q.Name != "" && d.Name != q.Name,
		!q.From.IsZero() && d.Timestamp.Before(q.From),
		!q.To.IsZero() && !d.Timestamp.Before(q.To):
		return false
	case q.Dimensions == nil:
		return true
	case len(q.Dimensions) != len(d.Dimensions):
		return false
	}
	for _, dim := range d.Dimensions {
		if v, ok := q.Dimensions[dim.Name]; !ok || v != dim.Value {
			return false
		}
	}
	return true
}

// MetricSummary answers a MetricQuery.
type MetricSummary struct {
	StatisticSet
	// Data counts the data that were added up.
	Data int `json:"data"`
	// Duplicates counts those that say what an earlier one said already.
	Duplicates int `json:"duplicates"`
	// DuplicateSum is how much of Sum comes from duplicates.
	DuplicateSum float64 `json:"duplicate_sum"`
}

// Data returns what was accepted, in order of arrival.
func (cw *CloudWatch) Data(q MetricQuery) []Datum {
	cw.mu.Lock()
	defer cw.mu.Unlock()
	var out []Datum
	for i := range cw.data {
		if q.selects(&cw.data[i]) {
			out = append(out, cw.data[i])
		}
	}
	return out
}

// Summarize adds up what was accepted. Without data, all is zero.
func (cw *CloudWatch) Summarize(q MetricQuery) MetricSummary {
	var s MetricSummary
	earlier := map[string][]*Datum{}
	data := cw.Data(q)
	for i := range data {
		d := &data[i]
		one := d.Summary()
		if s.Data == 0 {
			s.Minimum, s.Maximum = one.Minimum, one.Maximum
		}
		s.Data++
		s.SampleCount += one.SampleCount
		s.Sum += one.Sum
		s.Minimum = min(s.Minimum, one.Minimum)
		s.Maximum = max(s.Maximum, one.Maximum)
		key := d.Timestamp.String() + d.series()
		if slices.ContainsFunc(earlier[key], d.sameAs) {
			s.Duplicates++
			s.DuplicateSum += one.Sum
		}
		earlier[key] = append(earlier[key], d)
	}
	return s
}

// Metric is the identity of a metric: what ListMetrics lists.
type Metric struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Dimensions []Dimension `json:"dimensions,omitempty"`
}

// Metrics returns every metric that has data, in the order of first arrival.
func (cw *CloudWatch) Metrics() []Metric {
	cw.mu.Lock()
	defer cw.mu.Unlock()
	out := make([]Metric, 0, len(cw.firsts))
	for _, i := range cw.firsts {
		d := &cw.data[i]
		out = append(out, Metric{d.Namespace, d.Name, d.Dimensions})
	}
	return out
}

func (cw *CloudWatch) store(data []Datum) {
	cw.mu.Lock()
	defer cw.mu.Unlock()
	for _, d := range data {
		if id := d.series(); !cw.known[id] {
			cw.known[id] = true
			cw.firsts = append(cw.firsts, len(cw.data))
		}
		cw.data = append(cw.data, d)
	}
}

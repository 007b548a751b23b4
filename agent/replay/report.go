package replay

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision/evaluate"
)

// Report is all that a replay comes to.
type Report struct {
	Host       string      `json:"host"`
	InstanceID string      `json:"instance_id,omitempty"`
	From       time.Time   `json:"from"`
	To         time.Time   `json:"to"`
	Seconds    int         `json:"seconds"` // that the incident tells of
	Through    Through     `json:"through"`
	Windows    []Window    `json:"windows"`
	Published  []Published `json:"published"`
	Alarms     []Change    `json:"alarms"`
	// NotEvaluated are alarms that read something else than windows.
	NotEvaluated []string `json:"not_evaluated"`
	Notes        []string `json:"notes"`
}

// Through is the configuration.
type Through struct {
	SampleInterval  string `json:"sample_interval"`
	PublishInterval string `json:"publish_interval"`
	Zeros           string `json:"zeros"`
	Namespace       string `json:"namespace"`
}

// Window is one that would have been published.
type Window struct {
	Start   time.Time `json:"start"`
	Length  float64   `json:"length_seconds"`
	Metrics []Metric  `json:"metrics"`
}

// Metric is what one did in a window.
type Metric struct {
	Name string `json:"name"`
	// Interface is whose it is; "" is the instance.
	Interface string `json:"interface,omitempty"`
	// Detail is true for what is published only of single interfaces.
	Detail  bool      `json:"detail,omitempty"`
	Sum     float64   `json:"sum"`
	Minimum float64   `json:"minimum"`
	Maximum float64   `json:"maximum"`
	Samples []float64 `json:"samples"`

	kind  metric.Kind
	whole bool
}

// Change is an alarm's, or that of one of its contributors.
type Change struct {
	At           time.Time            `json:"at"`
	Alarm        string               `json:"alarm"`
	Contributor  string               `json:"contributor,omitempty"`
	From         evaluate.State       `json:"from"`
	To           evaluate.State       `json:"to"`
	SuppressedBy evaluate.Suppression `json:"suppressed_by,omitempty"`
}

// NewReport begins a report of an incident.
func NewReport(d *live.Document) *Report {
	r := &Report{
		Host: d.Host, InstanceID: d.InstanceID, Seconds: len(d.Times),
		Windows: []Window{}, Published: []Published{}, Alarms: []Change{}, NotEvaluated: []string{}, Notes: []string{},
	}
	return r
}

// AddWindows says what the windows were.
func (r *Report) AddWindows(windows []*metric.Batch) {
	for _, b := range windows {
		w := Window{Start: b.Start, Length: b.Length.Seconds(), Metrics: []Metric{}}
		for i := range b.Series {
			s := &b.Series[i]
			m := Metric{Name: s.Name, Detail: s.Detail, Sum: s.Sum(), Minimum: s.Min(), Maximum: s.Max(), Samples: s.Samples, kind: s.Kind, whole: s.Whole}
			if s.Interface >= 0 {
				m.Interface = b.Interfaces[s.Interface].Name
			}
			w.Metrics = append(w.Metrics, m)
		}
		r.Windows = append(r.Windows, w)
		if r.From.IsZero() || b.Start.Before(r.From) {
			r.From = b.Start
		}
		if end := b.Start.Add(b.Length); end.After(r.To) {
			r.To = end
		}
	}
}

// AddAlarms says what the alarms did.
func (r *Report) AddAlarms(changes []evaluate.Transition, skipped []string) {
	for _, c := range changes {
		r.Alarms = append(r.Alarms, Change{At: c.At.UTC(), Alarm: c.Alarm, Contributor: c.Contributor, From: c.From, To: c.To, SuppressedBy: c.SuppressedBy})
	}
	r.NotEvaluated = append(r.NotEvaluated, skipped...)
}

const moment = "2006-01-02 15:04:05"

// WriteText writes the report for people: alarms first.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	name := r.Host
	if r.InstanceID != "" {
		name += " (" + r.InstanceID + ")"
	}
	fmt.Fprintf(&b, "%s, %s to %s UTC: %s recorded.\n", name, r.From.UTC().Format(moment), r.To.UTC().Format(moment), plural(r.Seconds, "second"))
	t := r.Through
	fmt.Fprintf(&b, "Replayed with a reading every %s, windows of %s, zeros %s, namespace %s.\n\n", t.SampleInterval, t.PublishInterval, t.Zeros, t.Namespace)
	r.writeAlarms(&b)
	r.writeWindows(&b)
	r.writePublished(&b)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// writeAlarms lists who went into ALARM, and who came out of it.
func (r *Report) writeAlarms(b *strings.Builder) {
	open := map[string]bool{}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	rows := 0
	for _, c := range r.Alarms {
		key := c.Alarm + "\x00" + c.Contributor
		if c.To != evaluate.Alarm && !open[key] {
			continue
		}
		if rows++; rows == 1 {
			fmt.Fprintln(t, "ALARM AT\tALARM\tIS\tOF")
		}
		is := string(c.To)
		if c.SuppressedBy != "" {
			is += ", actions suppressed (" + string(c.SuppressedBy) + ")"
		} else if c.From == c.To {
			is += ", actions taken now"
		}
		open[key] = c.To == evaluate.Alarm
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.At.Format(moment), c.Alarm, is, cmp.Or(c.Contributor, "-"))
	}
	t.Flush()
	still := 0
	for _, yes := range open {
		if yes {
			still++
		}
	}
	switch {
	case rows == 0:
		b.WriteString("No alarm would have been set off.\n")
	case still > 0:
		fmt.Fprintf(b, "%d of them still in ALARM %s later.\n", still, after)
	}
	if rows > 0 && r.Alarms[len(r.Alarms)-1].At.After(r.To.Add(time.Minute)) {
		b.WriteString("After the recording's end, the agent is taken to have had nothing more to tell.\n")
	}
	if n := len(r.NotEvaluated); n > 0 {
		fmt.Fprintf(b, "Not evaluated, as they read logs or PromQL: %s.\n", strings.Join(r.NotEvaluated, ", "))
	}
	b.WriteByte('\n')
}

// writeWindows lists what was not zero.
func (r *Report) writeWindows(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	rows, quiet := 0, 0
	for _, w := range r.Windows {
		told := false
		for _, m := range w.Metrics {
			if m.kind == metric.Gauge || m.Maximum == 0 || m.Detail || m.whole && strings.HasSuffix(m.Name, "_throttled_seconds") {
				continue
			}
			if rows++; rows == 1 {
				fmt.Fprintln(t, "WINDOW\tLENGTH\tMETRIC\tINTERFACE\tSUM\tWORST SECOND\tSECONDS")
			}
			told = true
			worst, seconds := "-", "-"
			if !m.whole {
				worst, seconds = fmt.Sprint(m.Maximum), fmt.Sprint(nonZero(m.Samples))
			}
			fmt.Fprintf(t, "%s\t%gs\t%s\t%s\t%.0f\t%s\t%s\n", w.Start.UTC().Format(moment), w.Length, m.Name, cmp.Or(m.Interface, "-"), m.Sum, worst, seconds)
		}
		if !told {
			quiet++
		}
	}
	t.Flush()
	fmt.Fprintf(b, "%s, of which %d with nothing to tell.\n\n", plural(len(r.Windows), "window"), quiet)
}

func nonZero(list []float64) (n int) {
	for _, v := range list {
		if v != 0 {
			n++
		}
	}
	return n
}

func (r *Report) writePublished(b *strings.Builder) {
	if len(r.Published) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PUBLISHED TO\tMETRICS\tMETRIC-HOURS\tDATA\tREQUESTS\tBYTES\tUSD")
	for _, p := range r.Published {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", p.Sink, p.Metrics, p.MetricHours, p.Data, p.Requests, p.Bytes, p.USD)
	}
	t.Flush()
	b.WriteByte('\n')
}

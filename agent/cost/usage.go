package cost

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/agent/sink/otlp"
	"github.com/enawatch/enawatch/agent/window"
)

// monthHours is how many hours AWS counts in a month.
const monthHours = 730

// Sizes that are not measured here.
const (
	// requestData and requestBytes bound a PutMetricData request (API reference).
	requestData, requestBytes = 1000, 1_000_000
	// datumBytes is a datum with two dimensions, measured with the SDK's CBOR
	// encoding. valueBytes is one distinct value of it: two doubles of 9 bytes,
	// in Values and in Counts. dimensionBytes is what another dimension needs
	// besides its name and value.
	datumBytes, valueBytes, dimensionBytes = 264, 18, 16
	// eventBytes is what CloudWatch Logs counts for each event besides its text
	// (API reference, PutLogEvents).
	eventBytes = 26
	// sampleBytes is an AMP sample in storage: "typically 1 or 2 bytes" (AMP
	// pricing page).
	sampleBytes = 2
)

// use is what one host hands to its sinks in one window.
type use struct {
	series, detail, names int64 // metrics, those of single interfaces besides, and distinct names of the first
	requests              int64 // of PutMetricData
	logged, stored        int64 // bytes of EMF, and when compressed
	exported              int64 // bytes of OTLP, before compression
}

// kind of window.
const (
	calm  = iota // traffic, and nothing else
	busy         // and every allowance is exceeded
	fault        // and everything else goes wrong
	kinds
)

// month is one host's windows of a month, by what happens in them.
type month [kinds]use

// hours adds up, over the hours of a month, what a window comes to. What only
// some windows hold counts for the hours of several hosts, as if they never
// shared one.
func (m *month) hours(c *Config, hosts int64, of func(*use) int64) int64 {
	base := of(&m[calm])
	return base*monthHours +
		(of(&m[busy])-base)*min(monthHours, hosts*int64(c.BusyHours)) +
		(of(&m[fault])-base)*min(monthHours, hosts*int64(c.FaultHours))
}

func (c *Config) month(sparse bool) (m month, err error) {
	for kind := range m {
		if m[kind], err = c.use(c.window(sparse, kind)); err != nil {
			return m, err
		}
		if c.OTLP != nil {
			// A cumulative series has a point in each window, sparse or not.
			b := c.window(sparse && c.OTLP.Temporality != otlp.Cumulative, kind)
			if m[kind].exported, err = c.OTLP.measure(b); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

// use counts and encodes what a window holds.
func (c *Config) use(b *metric.Batch) (u use, err error) {
	names := map[string]bool{}
	for i := range b.Series {
		if s := &b.Series[i]; s.Detail {
			u.detail++
		} else {
			u.series++
			names[s.Name] = true
		}
	}
	u.names = int64(len(names))
	if c.CloudWatch != nil {
		u.requests = c.requests(u.published(c) + u.series*int64(len(c.CloudWatch.Rollups)))
	}
	if c.EMF != nil {
		u.logged, u.stored, err = c.EMF.measure(b, c.Publish)
	}
	return u, err
}

// published is how many metrics PutMetricData publishes, without roll-ups.
func (u *use) published(c *Config) int64 {
	if c.CloudWatch.PerInterface {
		return u.series + u.detail
	}
	return u.series
}

func (c *Config) requests(data int64) int64 {
	size := int64(datumBytes + valueBytes*(c.Publish/c.Sample))
	for _, d := range c.Dimensions {
		size += int64(dimensionBytes + len(d.Name) + len(d.Value))
	}
	most := max(1, min(requestData, requestBytes/size))
	return (data + most - 1) / most
}

// measure encodes a window as it leaves for CloudWatch Logs.
func (e *EMF) measure(b *metric.Batch, publish time.Duration) (logged, stored int64, err error) {
	encoder, err := emf.NewEncoder(e.Namespace, publish)
	if err != nil {
		return 0, 0, err
	}
	lines, err := encoder.Append(nil, b)
	if err != nil {
		return 0, 0, err
	}
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	_, err = z.Write(lines)
	if err := errors.Join(err, z.Close()); err != nil {
		return 0, 0, fmt.Errorf("compress a window: %w", err)
	}
	events := int64(bytes.Count(lines, []byte("\n")))
	return int64(len(lines)) + events*(eventBytes-1), int64(compressed.Len()) + events*eventBytes, nil
}

// measure encodes a window as it leaves for CloudWatch's OTLP endpoint.
func (o *OTLP) measure(b *metric.Batch) (exported int64, err error) {
	s, err := otlp.New(otlp.Options{
		SigV4: true, Temporality: o.Temporality, Distribution: o.Distribution, PerInterface: o.PerInterface, Version: "v1.0.0",
		Host: func() otlp.Host {
			return otlp.Host{
				Region: "us-east-1", Zone: "us-east-1a", AccountID: "000000000000", InstanceType: "c7g.16xlarge", ImageID: "ami-00000000000000000",
				AutoScalingGroup: "eks-nodes-00000000-0000-0000-0000-000000000000", Cluster: "production", Nodegroup: "nodes", Node: b.Resource.Host,
			}
		},
	})
	if err != nil {
		return 0, err
	}
	// The first window of a cumulative series has a zero besides.
	for range 2 {
		requests, err := s.Pack(b)
		if err != nil {
			return 0, err
		}
		exported = 0
		for _, r := range requests {
			exported += int64(len(r.Data))
		}
	}
	return exported, nil
}

// window returns what the agent would publish, by the agent's own code.
func (c *Config) window(sparse bool, kind int) *metric.Batch {
	samples := int(c.Publish / c.Sample)
	w := window.New(samples, sparse)
	rows := make([]*window.Row, c.Interfaces)
	for i := range rows {
		rows[i] = w.Add(metric.Interface{
			Name: fmt.Sprintf("ens%d", 5+i), MAC: fmt.Sprintf("0a:00:00:00:00:%02x", i), BusInfo: "0000:00:05.0",
			ENI: fmt.Sprintf("eni-%017x", i), DriverVersion: "2.13.3g",
		})
	}
	if kind == fault {
		w.Suspect()
		w.Miss(1)
	}
	for n := range samples {
		r := c.reading(kind, uint64(n))
		for _, row := range rows {
			w.Observe(row, r)
			if c.LinkLocal > 0 {
				w.Sent(row, sent[kind])
			}
		}
		if c.Conntrack > 0 {
			w.TableUsed(tracked[kind])
		}
		w.EndSecond()
	}
	if c.LinkLocal > 0 {
		w.Unanswered(sent[kind] / 1000)
	}
	if c.Conntrack > 0 && kind == busy {
		w.TableFull(time.Minute)
	}
	b := w.Close()
	c.name(b, kind)
	b.Start, b.Length = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), c.Publish
	b.Resource = metric.Resource{Host: "ip-10-0-100-100.ec2.internal", InstanceID: "i-00000000000000000", Dimensions: c.Dimensions}
	return b
}

// What hosts send to link-local services in a second, and how much of the kernel's
// table of tracked connections they use, by kind of window.
var (
	sent    = [kinds]uint64{calm: 20, busy: 1500, fault: 20}
	tracked = [kinds]float64{calm: 5, busy: 95, fault: 5}
)

// name puts into a window who sends and whose the connections are, by names of 60
// characters, and into a busy one a record, in each of its seconds of which each
// interface sends.
func (c *Config) name(b *metric.Batch, kind int) {
	const who = "namespace-of-a-team/name-of-a-pod-7f9c7d6c5b-x2x2x/container"
	for range c.LinkLocal {
		b.Senders = append(b.Senders, metric.Sender{
			Name: who, Namespace: who[:19], Pod: who[20:50], Container: who[51:], Packets: 1000, PeakPPS: 100,
			Services: []metric.ServicePackets{{Service: "dns", Packets: 1000}},
		})
	}
	if kind != busy || c.LinkLocal == 0 && c.Conntrack == 0 {
		return
	}
	owner := metric.ConntrackOwner{Owner: who, Entries: 100_000, Unreplied: 100, Mostly: "tcp 10.100.100.100:5432", MostlyEntries: 90_000}
	at := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	r := metric.Record{At: at, Exceeded: map[string]uint64{"linklocal_allowance_exceeded": 476}}
	for range c.Conntrack {
		b.ConntrackOwners = append(b.ConntrackOwners, owner)
	}
	if c.Conntrack > 0 {
		r.Conntrack = &metric.RecordConntrack{Entries: 100_000, Max: 262_144, Owners: b.ConntrackOwners}
	}
	for range min(c.LinkLocal, 10) {
		r.Senders = append(r.Senders, metric.RecordSender{Sender: who, Packets: 1000, PeakPPS: 100})
		r.Names = append(r.Names, metric.RecordName{Name: "#0123456789abcdef", Queries: 1000})
	}
	for range 21 {
		s := metric.RecordSecond{At: at, Retransmits: 10}
		for _, i := range b.Interfaces {
			s.Interfaces = append(s.Interfaces, metric.RecordInterface{
				Interface: i.Name, Packets: map[string]uint64{"dns": 1500}, PeakPPS: 1500, DNSQueries: 1500, DNSAnswered: 1024,
				Queues: map[string]uint64{"tx_cnt": 100_000, "tx_bytes": 100_000_000, "rx_cnt": 100_000, "rx_bytes": 100_000_000},
			})
		}
		r.Seconds = append(r.Seconds, s)
	}
	b.Records = []metric.Record{r}
}

// reading is what the stats of one interface come to in second n: levels and
// traffic have six digits, what is exceeded or fails has three.
func (c *Config) reading(kind int, n uint64) *delta.Result {
	r := &delta.Result{Verdict: ena.Valid}
	for _, s := range c.Stats {
		r.Counted.Add(s)
		switch e := s.Entry(); {
		case e.Kind == metric.Gauge || e.Group == ena.SRD || e.Group == ena.Queue:
			r.Values[s] = 100_000 + n
		case kind == busy && e.Allowance != "", kind == fault && e.Allowance == "":
			r.Values[s] = 100 + n
		}
	}
	return r
}

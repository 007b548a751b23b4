package cost

import (
	"bytes"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"
)

// Report is what a configuration costs a month, in USD without taxes and
// discounts. It can be encoded as JSON.
type Report struct {
	Region     string `json:"region"`
	Hosts      int    `json:"hosts"`
	Interfaces int    `json:"interfaces"`
	// Zeros is the mode that is configured: "sparse" or "dense".
	Zeros   string `json:"zeros"`
	Lines   []Line `json:"lines"`
	Total   Sum    `json:"total"`
	PerHost Sum    `json:"per_host"`
	// Assumptions are what quantities rest on; NotIncluded, what may cost more.
	Assumptions []string `json:"assumptions"`
	NotIncluded []string `json:"not_included"`
}

// Line is one line of the bill.
type Line struct {
	What string `json:"what"`
	item string // What, without the tier
	Unit string `json:"unit"`
	// UnitPrice and the USD of an Amount are nil if the price is not known.
	UnitPrice *USD   `json:"unit_price"`
	Dense     Amount `json:"dense"`
	Sparse    Amount `json:"sparse"`
	// PriceDate is the year, or year and month, of which the price is.
	PriceDate  string `json:"price_date"`
	Source     string `json:"source"`
	Confidence string `json:"confidence"`
}

// Amount is how much of something is used a month and what that costs, to the
// cent.
type Amount struct {
	Quantity Quantity `json:"quantity"`
	USD      *USD     `json:"usd"`
}

// Sum is an amount of money in each mode.
type Sum struct {
	Dense  USD `json:"dense"`
	Sparse USD `json:"sparse"`
}

// Quantity is an exact number of units.
type Quantity struct{ *big.Rat }

// String returns the quantity to three decimals.
func (q Quantity) String() string { return group(q.decimal(3)) }

// MarshalJSON returns the quantity as a decimal number, to six decimals.
func (q Quantity) MarshalJSON() ([]byte, error) { return []byte(q.decimal(6)), nil }

func (q Quantity) decimal(digits int) string {
	return strings.TrimSuffix(strings.TrimRight(q.FloatString(digits), "0"), ".")
}

// add makes the sums.
func (r *Report) add(hosts int64) {
	for _, l := range r.Lines {
		if l.UnitPrice != nil {
			r.Total.Dense += *l.Dense.USD
			r.Total.Sparse += *l.Sparse.USD
		}
	}
	share := big.NewRat(1, hosts)
	r.PerHost = Sum{r.Total.Dense.round(share), r.Total.Sparse.round(share)}
}

// report returns a report without lines.
func (c *Config) report() *Report {
	r := &Report{Region: Region, Hosts: c.Hosts, Interfaces: c.Interfaces, Zeros: "dense", Lines: []Line{}}
	if c.Sparse {
		r.Zeros = "sparse"
	}
	says := func(when bool, format string, args ...any) {
		if when {
			r.Assumptions = append(r.Assumptions, fmt.Sprintf(format, args...))
		}
	}
	windows := c.CloudWatch != nil || c.EMF != nil || c.OTLP != nil
	metrics := c.CloudWatch != nil || c.EMF != nil
	published := 0
	for _, s := range c.Stats {
		if !s.Entry().Internal {
			published++
		}
	}
	says(true, "A month has %d hours, all hosts run all the time, and nothing else in the account uses up tiers.", monthHours)
	says(windows, "Windows are %s long, of %d samples; the drivers have all %d stats of the catalogue that were chosen.", short(c.Publish), c.Publish/c.Sample, published)
	says(windows, "Each host exceeds every allowance in %d hours a month, and every other failure shows in %d; in sparse mode these hours have data in every window.", c.BusyHours, c.FaultHours)
	says(windows && c.LinkLocal > 0, "Link-local traffic is counted: two metrics of each interface in every window; each names %d senders.", c.LinkLocal)
	says(windows && c.Conntrack > 0, "Tracked connections are watched: one metric of each host in every window; whose they are is in those of busy hours.")
	says(windows && c.LinkLocal+c.Conntrack > 0, "Each window of a busy hour has a record of an exceeded allowance (EMF).")
	says(metrics, "A metric is billed for each hour in which data arrives.")
	says(c.CloudWatch != nil, "Each window is one request for every %d data or 1 MB; none is repeated.", requestData)
	if c.CloudWatch != nil {
		for _, u := range c.CloudWatch.Rollups {
			says(true, "Roll-up %s: groups %s; in sparse mode their hosts are never busy at the same time.", u.Dimension, group(fmt.Sprint(u.Groups)))
		}
		says(c.CloudWatch.HighResolution, "A high-resolution metric costs as much as a standard one (AWS, 2017; confidence medium).")
	}
	says(c.CloudWatch != nil && c.EMF != nil, "Metrics of PutMetricData and EMF are billed apart, as in two namespaces.")
	if c.EMF != nil {
		says(true, "Logs: bytes are of documents encoded for this estimate, and %d for each event; gzip; kept %d days; a GB is 10^9 bytes.", eventBytes, c.EMF.RetentionDays)
	}
	says(c.OTLP != nil, "OTLP: bytes are of requests encoded for this estimate, before compression, in which AWS counts (not confirmed); a GB is 10^9 bytes.")
	if w := c.RemoteWrite; w != nil {
		says(true, "AMP: %d series for each interface and name set (%d sets), every %s, sparse or dense; no series of single queues, nor the agent's own.",
			c.pushed()+1, w.NameSets, short(w.Interval))
		says(true, "AMP: %d bytes for each stored sample, kept %d days; a GB is 2^30 bytes.", sampleBytes, w.RetentionDays)
	}
	says(c.alarms(MetricsInsights).Sign() > 0, "Metrics Insights: all metrics are analyzed, also those that are silent in sparse mode.")
	says(c.FreeTier, "The free tier of the account is spent on this alone; that of logs, on ingestion.")
	says(true, "Each line is rounded to the cent, half a cent up; the total is the sum of the lines.")
	r.NotIncluded = []string{
		"queries (GetMetricData, Logs Insights, PromQL), notifications, network (NAT, VPC endpoints), other regions, taxes, discounts",
	}
	return r
}

// short returns an interval without the parts that are zero: "1m", "15s".
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// WriteText writes the report as a table, with what it rests on below.
func (r *Report) WriteText(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Monthly price in %s, in USD: hosts %s, interfaces of each %d, zeros %s\n\n",
		r.Region, group(fmt.Sprint(r.Hosts)), r.Interfaces, r.Zeros)
	rows := [][]string{{"", "UNIT PRICE", "", "DENSE", "USD", "SPARSE", "USD"}}
	for _, l := range r.Lines {
		rows = append(rows, []string{
			l.What, known(l.UnitPrice), l.Unit, l.Dense.Quantity.String(), known(l.Dense.USD), l.Sparse.Quantity.String(), known(l.Sparse.USD),
		})
	}
	rows = append(rows,
		[]string{"Total", "", "", "", r.Total.Dense.String(), "", r.Total.Sparse.String()},
		[]string{"Per host", "", "", "", r.PerHost.Dense.String(), "", r.PerHost.Sparse.String()})
	table(&b, rows)

	fmt.Fprint(&b, "\nAssumptions\n")
	for _, a := range r.Assumptions {
		fmt.Fprintf(&b, "- %s\n", a)
	}
	fmt.Fprint(&b, "\nNot included\n")
	for _, l := range r.Lines {
		if l.UnitPrice == nil {
			fmt.Fprintf(&b, "- %s: the price is not known\n", l.What)
		}
	}
	for _, n := range r.NotIncluded {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	fmt.Fprint(&b, "\nPrices\n")
	for _, p := range r.origins() {
		fmt.Fprintf(&b, "- %s\n", p)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the estimate: %w", err)
	}
	return nil
}

func known(u *USD) string {
	if u == nil {
		return "unknown"
	}
	return u.String()
}

// table writes rows, the columns of text to the left and those of numbers to
// the right.
func table(b *bytes.Buffer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i == 0 || i == 2 {
				fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
			} else {
				fmt.Fprintf(&line, "%*s  ", widths[i], cell)
			}
		}
		fmt.Fprintln(b, strings.TrimRight(line.String(), " "))
	}
}

// origins says of which date, from where and how certain the prices are.
func (r *Report) origins() (origins []string) {
	at := map[string]int{}
	for _, l := range r.Lines {
		if l.UnitPrice == nil {
			continue
		}
		what := l.What
		if l.Confidence == high {
			what = l.item
		}
		origin := fmt.Sprintf("%s, %s, confidence %s: ", l.PriceDate, l.Source, l.Confidence)
		switch i, ok := at[origin]; {
		case !ok:
			at[origin] = len(origins)
			origins = append(origins, origin+what)
		case !strings.HasSuffix(origins[i], what):
			origins[i] += "; " + what
		}
	}
	return origins
}

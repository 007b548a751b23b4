package cost

import (
	"math/big"
	"strings"
)

// USD is an amount of money in millionths of a dollar.
type USD int64

const (
	dollar USD = 1_000_000
	cent       = dollar / 100
)

// String returns the amount in dollars with two decimals, or more if it has
// more: "1,234.50".
func (u USD) String() string { return group(u.decimal()) }

// MarshalJSON returns the amount in dollars as an exact decimal number: 1234.50.
func (u USD) MarshalJSON() ([]byte, error) { return []byte(u.decimal()), nil }

func (u USD) decimal() string {
	s := big.NewRat(int64(u), int64(dollar)).FloatString(6)
	whole, decimals, _ := strings.Cut(s, ".")
	return whole + "." + decimals[:2] + strings.TrimRight(decimals[2:], "0")
}

// round returns q times u to the nearest cent, half a cent up.
func (u USD) round(q *big.Rat) USD {
	cents := new(big.Rat).Mul(q, big.NewRat(int64(u), int64(cent)))
	cents.Add(cents, big.NewRat(1, 2))
	return USD(new(big.Int).Div(cents.Num(), cents.Denom()).Int64()) * cent
}

// group puts commas between the thousands of a decimal number.
func group(s string) string {
	whole, decimals, fraction := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction {
		whole += "." + decimals
	}
	return whole
}

// Confidence in a price.
const (
	high   = "high"
	medium = "medium"
)

// Region is the region of all prices.
const Region = "us-east-1"

// Where prices come from.
const (
	priceList = "AWS Price List API, as quoted by a third-party guide"
	guides    = "third-party guides"
	nowhere   = "no public source found"
)

// price is one row of the table of prices. Its tiers follow each other by the
// quantity in one account, region and month; without any, the price is not known.
type price struct {
	item, unit   string
	tiers        []tier
	free         int64 // units a month that the free tier covers
	date, source string
}

// tier is the price of each unit up to a quantity; 0 is without end.
type tier struct {
	label      string
	to         int64
	usd        USD
	confidence string
}

func flat(usd USD) []tier { return []tier{{usd: usd, confidence: high}} }

// The prices in Region. Free tiers are those of the CloudWatch and AMP pricing
// pages; that of logs covers storage too, but is spent on ingestion here.
var (
	customMetrics = price{item: "Custom metrics", unit: "metric-month", free: 10, date: "2026-10", source: priceList, tiers: []tier{
		{"first 10,000", 10_000, 300_000, high},
		{"next 240,000", 250_000, 100_000, high},
		{"next 750,000", 1_000_000, 50_000, high},
		{"over 1,000,000", 0, 20_000, high},
	}}
	putMetricData = price{item: "PutMetricData calls", unit: "1,000 requests", free: 1000, date: "2026-10", source: priceList, tiers: flat(10_000)}
	logsIngested  = price{item: "Logs, ingestion", unit: "GB", free: 5, date: "2026-10", source: priceList, tiers: flat(500_000)}
	logsStored    = price{item: "Logs, storage", unit: "GB-month", date: "2026-10", source: priceList, tiers: flat(30_000)}
	otlpIngested  = price{item: "CloudWatch OTLP metrics", unit: "GB", date: "2026-10", source: priceList, tiers: flat(500_000)}
	ampSamples    = price{item: "AMP samples", unit: "10 million", free: 4, date: "2025 to 2026", source: guides, tiers: []tier{
		{"first 2 billion", 200, 900_000, high},
		{"next 250 billion", 25_200, 350_000, high},
		{"over 252 billion", 0, 160_000, medium},
	}}
	ampStored = price{item: "AMP storage", unit: "GB-month", free: 10, date: "2025", source: guides, tiers: flat(30_000)}

	standardAlarms  = price{item: "Alarms, standard", unit: "metric-month", free: 10, date: "2026-10", source: priceList, tiers: flat(100_000)}
	highResAlarms   = price{item: "Alarms, high resolution", unit: "metric-month", date: "2026-10", source: priceList, tiers: flat(300_000)}
	compositeAlarms = price{item: "Alarms, composite", unit: "alarm-month", date: "2026-10", source: priceList, tiers: flat(500_000)}
	insightsAlarms  = price{item: "Alarms, Metrics Insights", unit: "analyzed metric-month", date: "2026", source: guides, tiers: flat(100_000)}
	promQLAlarms    = price{item: "Alarms, PromQL", unit: "alarm-month", date: "2026-11", source: nowhere}
	logAlarms       = price{item: "Alarms, log query", unit: "alarm-month", date: "2026-11", source: nowhere}

	insightRules  = price{item: "Contributor Insights rules", unit: "rule-month", free: 1, date: "2025", source: guides, tiers: []tier{{usd: 500_000, confidence: medium}}}
	insightEvents = price{item: "Contributor Insights events", unit: "1 million matched", free: 1, date: "2025", source: guides, tiers: []tier{{usd: 20_000, confidence: medium}}}

	dashboards = price{item: "Dashboards", unit: "dashboard-month", free: 3, date: "2026-10", source: priceList, tiers: flat(3_000_000)}
)

// split returns how much of a quantity the free tier covers, if it counts, and
// how much falls to each tier. What is free is the first part of the first tier.
func (p *price) split(q *big.Rat, free bool) []*big.Rat {
	parts := []*big.Rat{new(big.Rat)}
	if free {
		parts[0] = least(q, p.free)
	}
	from := parts[0]
	for _, t := range p.tiers {
		end := q
		if t.to > 0 {
			end = least(q, t.to)
		}
		part := new(big.Rat)
		if end.Cmp(from) > 0 {
			part.Sub(end, from)
			from = end
		}
		parts = append(parts, part)
	}
	return parts
}

func least(q *big.Rat, limit int64) *big.Rat {
	if l := new(big.Rat).SetInt64(limit); l.Cmp(q) < 0 {
		return l
	}
	return q
}

// lines returns the lines of one item that has a quantity in either mode.
func (p *price) lines(dense, sparse *big.Rat, free bool) (lines []Line) {
	add := func(label string, usd *USD, confidence string, d, s *big.Rat) {
		if d.Sign() == 0 && s.Sign() == 0 {
			return
		}
		l := Line{What: p.item, item: p.item, Unit: p.unit, UnitPrice: usd, PriceDate: p.date, Source: p.source, Confidence: confidence}
		if label != "" {
			l.What += ", " + label
		}
		l.Dense, l.Sparse = amount(usd, d), amount(usd, s)
		lines = append(lines, l)
	}
	if len(p.tiers) == 0 {
		add("", nil, "unknown", dense, sparse)
		return lines
	}
	d, s := p.split(dense, free), p.split(sparse, free)
	add("free tier", new(USD(0)), high, d[0], s[0])
	for i, t := range p.tiers {
		add(t.label, &t.usd, t.confidence, d[i+1], s[i+1])
	}
	return lines
}

func amount(unitPrice *USD, q *big.Rat) Amount {
	a := Amount{Quantity: Quantity{q}}
	if unitPrice != nil {
		a.USD = new(unitPrice.round(q))
	}
	return a
}

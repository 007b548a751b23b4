package cost

import (
	"encoding/json"
	"math/big"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTiers(t *testing.T) {
	tests := []struct {
		price    *price
		quantity *big.Rat
		free     bool
		want     []string // free, then by tier
	}{
		{&customMetrics, big.NewRat(0, 1), true, []string{"0", "0", "0", "0", "0"}},
		{&customMetrics, big.NewRat(10, 1), true, []string{"10", "0", "0", "0", "0"}},
		{&customMetrics, big.NewRat(21, 2), true, []string{"10", "0.5", "0", "0", "0"}},
		{&customMetrics, big.NewRat(10_000, 1), false, []string{"0", "10,000", "0", "0", "0"}},
		{&customMetrics, big.NewRat(10_000, 1), true, []string{"10", "9,990", "0", "0", "0"}},
		{&customMetrics, big.NewRat(20_001, 2), true, []string{"10", "9,990", "0.5", "0", "0"}},
		{&customMetrics, big.NewRat(250_000, 1), false, []string{"0", "10,000", "240,000", "0", "0"}},
		{&customMetrics, big.NewRat(250_001, 1), false, []string{"0", "10,000", "240,000", "1", "0"}},
		{&customMetrics, big.NewRat(1_000_000, 1), false, []string{"0", "10,000", "240,000", "750,000", "0"}},
		{&customMetrics, big.NewRat(3_000_001, 3), false, []string{"0", "10,000", "240,000", "750,000", "0.333"}},
		{&ampSamples, big.NewRat(25_201, 1), true, []string{"4", "196", "25,000", "1"}},
		{&dashboards, big.NewRat(4, 1), true, []string{"3", "1"}},
		{&insightsAlarms, big.NewRat(4, 1), true, []string{"0", "4"}},
	}
	for _, test := range tests {
		var got []string
		for _, part := range test.price.split(test.quantity, test.free) {
			got = append(got, Quantity{part}.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s of %s, free tier %t (-want +got):\n%s", test.quantity, test.price.item, test.free, diff)
		}
	}
}

// TestTable holds what a row of the table must have.
func TestTable(t *testing.T) {
	rows := []*price{&customMetrics, &putMetricData, &logsIngested, &logsStored, &otlpIngested, &ampSamples, &ampStored, &dashboards}
	for _, a := range alarmPrices {
		rows = append(rows, a.price)
	}
	for _, p := range rows {
		if p.item == "" || p.unit == "" || p.date == "" || p.source == "" {
			t.Errorf("%q lacks its item, unit, date or source", p.item)
		}
		if len(p.tiers) == 0 && p.source != nowhere {
			t.Errorf("%s has no price, but a source", p.item)
		}
		for i, r := range p.tiers {
			last := i == len(p.tiers)-1
			if (r.to == 0) != last || i > 0 && !last && r.to <= p.tiers[i-1].to || i > 0 && r.usd >= p.tiers[i-1].usd || r.usd <= 0 {
				t.Errorf("%s: tier %d does not follow the one before it, at a lower price", p.item, i)
			}
			if (r.label == "") != (len(p.tiers) == 1) || r.confidence == "" {
				t.Errorf("%s: tier %d lacks its label or confidence", p.item, i)
			}
		}
	}
}

func TestRound(t *testing.T) {
	tests := []struct {
		unit     USD
		quantity *big.Rat
		want     string
	}{
		{300_000, big.NewRat(0, 1), "0.00"},
		{300_000, big.NewRat(1, 1), "0.30"},
		{10_000, big.NewRat(438, 10), "0.44"},
		{10_000, big.NewRat(1, 2), "0.01"},
		{10_000, big.NewRat(4999, 10_000), "0.00"},
		{10_000, big.NewRat(3, 2), "0.02"},
		{1, big.NewRat(123_456_789_012, 1), "123,456.79"},
		{20_000, big.NewRat(5e12, 1), "100,000,000,000.00"},
	}
	for _, test := range tests {
		if got := test.unit.round(test.quantity).String(); got != test.want {
			t.Errorf("%s at %s: %s, want %s", test.quantity.FloatString(4), test.unit, got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct {
		number     any
		text, json string
	}{
		{USD(0), "0.00", "0.00"},
		{USD(1), "0.000001", "0.000001"},
		{USD(300_000), "0.30", "0.30"},
		{USD(5_000), "0.005", "0.005"},
		{1_234_567 * dollar, "1,234,567.00", "1234567.00"},
		{999 * dollar, "999.00", "999.00"},
		{Quantity{big.NewRat(0, 1)}, "0", "0"},
		{Quantity{big.NewRat(10_000, 1)}, "10,000", "10000"},
		{Quantity{big.NewRat(100_000, 3)}, "33,333.333", "33333.333333"},
	}
	for _, test := range tests {
		encoded, err := json.Marshal(test.number)
		if err != nil || string(encoded) != test.json {
			t.Errorf("%s as JSON: %s, error %v", test.json, encoded, err)
		}
		if got := test.number.(interface{ String() string }).String(); got != test.text {
			t.Errorf("got %s, want %s", got, test.text)
		}
	}
}

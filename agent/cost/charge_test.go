package cost

import "testing"

func TestCharge(t *testing.T) {
	tests := []struct {
		hours, requests int
		logged          int64
		want            string
	}{
		{0, 0, 0, "0.00"},
		{730, 0, 0, "0.30"},           // a metric for a month
		{73, 1000, 0, "0.04"},         // a tenth of it, and a thousand requests
		{0, 0, 2_000_000_000, "1.00"}, // 2 GB
		{1, 0, 0, "0.000411"},
	}
	for _, tt := range tests {
		if got := Charge(tt.hours, tt.requests, tt.logged).String(); got != tt.want {
			t.Errorf("%d metric-hours, %d requests, %d bytes: %s, want %s", tt.hours, tt.requests, tt.logged, got, tt.want)
		}
	}
}

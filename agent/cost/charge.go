package cost

import "math/big"

// Charge returns what metrics in so many hours together, requests of PutMetricData
// and bytes of EMF cost, at the prices of the first tier and without what is free.
func Charge(metricHours, requests int, logged int64) USD {
	total := new(big.Rat)
	for _, part := range []struct {
		of    *price
		units *big.Rat
	}{
		{&customMetrics, big.NewRat(int64(metricHours), monthHours)},
		{&putMetricData, big.NewRat(int64(requests), 1000)},
		{&logsIngested, big.NewRat(logged, 1_000_000_000)},
	} {
		total.Add(total, new(big.Rat).Mul(part.units, big.NewRat(int64(part.of.tiers[0].usd), 1)))
	}
	total.Add(total, big.NewRat(1, 2))
	return USD(new(big.Int).Div(total.Num(), total.Denom()).Int64())
}

package otlp

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// held checks a histogram against its samples, by the definition of a bucket.
func held(t *testing.T, h *histogram, samples []float64) {
	t.Helper()
	want := map[int32]uint64{}
	base := math.Exp2(math.Exp2(-float64(h.scale)))
	var zeros uint64
	for _, v := range samples {
		if v == 0 {
			zeros++
			continue
		}
		i := int32(math.Ceil(math.Log2(v)*math.Exp2(float64(h.scale)))) - 1
		if low, high := math.Pow(base, float64(i)), math.Pow(base, float64(i+1)); v < low*(1-1e-9) || v > high*(1+1e-9) {
			t.Errorf("%v is not in its bucket, %v to %v", v, low, high)
		}
		want[i]++
	}
	var count uint64
	for i, n := range h.buckets {
		count += n
		if n != want[h.offset+int32(i)] {
			t.Errorf("bucket %d holds %d, not %d, at scale %d", h.offset+int32(i), n, want[h.offset+int32(i)], h.scale)
		}
	}
	if h.zeros != zeros || count+zeros != h.count || h.count != uint64(len(samples)) || len(h.buckets) > maxBuckets {
		t.Errorf("%d zeros and %d others of %d in %d buckets", h.zeros, count, h.count, len(h.buckets))
	}
	if len(samples) > 0 && (h.min != slices.Min(samples) || h.max != slices.Max(samples)) {
		t.Errorf("%v to %v", h.min, h.max)
	}
}

func TestHistogram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	many := make([]float64, 100)
	for i := range many {
		many[i] = math.Trunc(math.Exp(random.Float64() * 40))
	}
	for name, samples := range map[string][]float64{
		"none":           nil,
		"zeros":          {0, 0, 0},
		"one":            {1},
		"powers of two":  {1, 2, 4, 8, 1 << 40},
		"the same":       {7, 7, 7},
		"falling":        {1 << 50, 3, 0, 2, 1},
		"neighbours":     {1000, 1001, 1002},
		"up to 64 bits":  {1, math.MaxUint64},
		"a hundred":      many,
		"less than one":  {0.25, 0.5, 0.3},
		"zero, then one": {0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var h histogram
			for i, v := range samples {
				h.add(v)
				held(t, &h, samples[:i+1])
			}
		})
	}
}

// What fits is told as finely as it may be.
func TestHistogramResolution(t *testing.T) {
	var h histogram
	h.add(1000)
	if h.scale != maxScale || len(h.buckets) != 1 {
		t.Errorf("one sample: scale %d, %d buckets", h.scale, len(h.buckets))
	}
	h.add(2000)
	if len(h.buckets) <= maxBuckets/2 {
		t.Errorf("an octave: %d buckets at scale %d", len(h.buckets), h.scale)
	}
}

// Only a histogram of one window has extremes.
func TestHistogramPoint(t *testing.T) {
	var h histogram
	point := func(temporality Temporality) *metricspb.ExponentialHistogramDataPoint {
		var p metricspb.ExponentialHistogramDataPoint
		if err := proto.Unmarshal(h.appendPoint(nil, span{1, 2}, temporality, nil), &p); err != nil {
			t.Fatal(err)
		}
		return &p
	}
	if p := point(Delta); p.Min != nil || p.Positive != nil || p.GetSum() != 0 {
		t.Errorf("empty: %v", p)
	}
	h.add(3)
	if p := point(Delta); p.GetMin() != 3 || p.GetMax() != 3 || p.GetSum() != 3 {
		t.Errorf("delta: %v", p)
	}
	if p := point(Cumulative); p.Min != nil || p.Max != nil || p.GetSum() != 3 {
		t.Errorf("cumulative: %v", p)
	}
}

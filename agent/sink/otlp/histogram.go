package otlp

import (
	"math"

	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
)

// The scale of a histogram is the finest, up to maxScale, at which the samples
// fit into maxBuckets, as in the OpenTelemetry SDKs ("Base2 Exponential Bucket
// Histogram Aggregation" in the specification of the metrics SDK).
const (
	maxScale   = 20
	maxBuckets = 160
)

// bucketAt returns the index of the bucket of v > 0 at maxScale. Bucket i holds
// what is over 2^(i/2^scale) up to 2^((i+1)/2^scale), so that i>>1 is the bucket
// at the next coarser scale.
func bucketAt(v float64) int {
	fraction, exponent := math.Frexp(v)
	if fraction == 0.5 { // a power of two, which the logarithm may miss
		return (exponent-1)<<maxScale - 1
	}
	return int(math.Floor((math.Log2(fraction) + float64(exponent)) * (1 << maxScale)))
}

// histogram returns how samples, of which there is at least one, are spread.
func histogram(samples []float64) *metricspb.ExponentialHistogramDataPoint {
	p := &metricspb.ExponentialHistogramDataPoint{Count: uint64(len(samples)), Sum: new(0.0), Min: new(samples[0]), Max: new(samples[0])}
	var positive, negative []int // buckets
	for _, v := range samples {
		*p.Sum += v
		*p.Min, *p.Max = min(*p.Min, v), max(*p.Max, v)
		switch {
		case v == 0:
			p.ZeroCount++
		case v > 0:
			positive = append(positive, bucketAt(v))
		default:
			negative = append(negative, bucketAt(-v))
		}
	}
	coarser := max(excess(positive), excess(negative))
	p.Scale = int32(maxScale - coarser)
	p.Positive, p.Negative = buckets(positive, coarser), buckets(negative, coarser)
	return p
}

// excess returns by how much coarser the scale must be than maxScale.
func excess(indexes []int) (coarser int) {
	if len(indexes) == 0 {
		return 0
	}
	low, high := extremes(indexes)
	for high>>coarser-low>>coarser >= maxBuckets {
		coarser++
	}
	return coarser
}

func extremes(indexes []int) (low, high int) {
	low, high = indexes[0], indexes[0]
	for _, i := range indexes {
		low, high = min(low, i), max(high, i)
	}
	return low, high
}

// buckets counts how many indexes there are of each at a coarser scale.
func buckets(indexes []int, coarser int) *metricspb.ExponentialHistogramDataPoint_Buckets {
	if len(indexes) == 0 {
		return nil
	}
	low, high := extremes(indexes)
	low, high = low>>coarser, high>>coarser
	counts := make([]uint64, high-low+1)
	for _, i := range indexes {
		counts[i>>coarser-low]++
	}
	return &metricspb.ExponentialHistogramDataPoint_Buckets{Offset: int32(low), BucketCounts: counts}
}

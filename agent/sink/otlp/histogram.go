package otlp

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/enawatch/enawatch/agent/sink/wire"
)

const (
	// maxScale is the finest resolution: the OpenTelemetry SDKs' own.
	maxScale = 20
	// maxBuckets is how many buckets a histogram has at most, as in those.
	maxBuckets = 160
)

// histogram is a base-2 exponential histogram of numbers that are not negative.
// Bucket i, counted from offset, holds what is larger than base^i and at most
// base^(i+1), where base is 2^(2^-scale).
type histogram struct {
	scale         int32
	offset        int32
	buckets       []uint64
	zeros, count  uint64
	sum, min, max float64
}

// add counts a sample.
func (h *histogram) add(v float64) {
	if h.count == 0 {
		h.min, h.max, h.scale = v, v, maxScale
	}
	h.count++
	h.sum += v
	h.min, h.max = min(h.min, v), max(h.max, v)
	if v <= 0 {
		h.zeros++
		return
	}
	index := bucketOf(v) >> (maxScale - h.scale)
	if len(h.buckets) == 0 {
		h.offset = index
	}
	low, high := min(h.offset, index), max(h.offset+int32(len(h.buckets))-1, index)
	for high-low >= maxBuckets {
		h.coarsen()
		low, high, index = low>>1, high>>1, index>>1
	}
	h.grow(low, high)
	h.buckets[index-h.offset]++
}

// bucketOf returns the index of a number above 0 at maxScale. Math.Log2 is exact
// for powers of two, which are the only whole numbers on a bound.
func bucketOf(v float64) int32 { return int32(math.Ceil(math.Log2(v)*(1<<maxScale))) - 1 }

// coarsen joins pairs of buckets, of which there is one at least.
func (h *histogram) coarsen() {
	h.scale--
	first, last := h.offset>>1, (h.offset+int32(len(h.buckets))-1)>>1
	joined := make([]uint64, last-first+1)
	for i, n := range h.buckets {
		joined[(h.offset+int32(i))>>1-first] += n
	}
	h.offset, h.buckets = first, joined
}

// grow makes room for the buckets from low to high.
func (h *histogram) grow(low, high int32) {
	if low == h.offset && int(high-low) < len(h.buckets) {
		return
	}
	wider := make([]uint64, high-low+1)
	copy(wider[h.offset-low:], h.buckets)
	h.offset, h.buckets = low, wider
}

// appendPoint writes the histogram as a data point. Without a sample in it, it
// has no extremes; neither has a cumulative one, whose extremes would be those of
// all time.
func (h *histogram) appendPoint(b []byte, t span, temporality Temporality, attributes []attribute) []byte {
	b = appendAttributes(b, histogramAttributes, attributes)
	b = wire.AppendFixed64(b, pointStart, t.start)
	b = wire.AppendFixed64(b, pointTime, t.end)
	b = wire.AppendFixed64(b, histogramCount, h.count)
	b = wire.AppendDouble(b, histogramSum, h.sum)
	b = wire.AppendVarint(b, histogramScale, protowire.EncodeZigZag(int64(h.scale)))
	b = wire.AppendFixed64(b, histogramZeros, h.zeros)
	if len(h.buckets) > 0 {
		b = wire.AppendMessage(b, histogramPositive, h.appendBuckets)
	}
	if h.count > 0 && temporality == Delta {
		b = wire.AppendDouble(b, histogramMin, h.min)
		b = wire.AppendDouble(b, histogramMax, h.max)
	}
	return b
}

func (h *histogram) appendBuckets(b []byte) []byte {
	b = wire.AppendVarint(b, bucketsOffset, protowire.EncodeZigZag(int64(h.offset)))
	return wire.AppendMessage(b, bucketsCounts, func(b []byte) []byte {
		for _, n := range h.buckets {
			b = protowire.AppendVarint(b, n)
		}
		return b
	})
}

package replay

import (
	"fmt"
	"time"

	"github.com/enawatch/enawatch/agent/cost"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/cloudwatch"
)

// Published is what a destination would have got.
type Published struct {
	Sink string `json:"sink"`
	// Metrics is how many different ones, and MetricHours in how many hours each
	// of them, together: CloudWatch bills those.
	Metrics     int `json:"metrics,omitempty"`
	MetricHours int `json:"metric_hours,omitempty"`
	// Data and Requests were sent; Bytes is the size of EMF.
	Data     int   `json:"data,omitempty"`
	Requests int   `json:"requests,omitempty"`
	Bytes    int64 `json:"bytes,omitempty"`
	// USD is what that costs, at the first tier's prices.
	USD cost.USD `json:"usd"`
}

// Packer makes requests of a window, as a sink does.
type Packer func(*metric.Batch) (requests, data int, bytes int64, err error)

// CloudWatch returns what PutMetricData would have got. Of interfaces, the
// metrics of the instance are counted too if perInterface.
func CloudWatch(windows []*metric.Batch, in World, perInterface bool, pack Packer) (Published, error) {
	p := Published{Sink: "cloudwatch"}
	names, hours := map[string]bool{}, map[string]bool{}
	for _, b := range windows {
		for i := range b.Series {
			s := &b.Series[i]
			if s.Detail && !perInterface {
				continue
			}
			sets := [][]metric.Dimension{cloudwatch.Dimensions(b, s)}
			if !s.Detail {
				sets = append(sets, in.Rollups...)
			}
			for _, set := range sets {
				key := s.Name + " " + fmt.Sprint(set)
				names[key] = true
				hours[key+b.Start.Truncate(time.Hour).String()] = true
			}
		}
		requests, data, _, err := pack(b)
		if err != nil {
			return p, fmt.Errorf("pack a window for CloudWatch: %w", err)
		}
		p.Requests, p.Data = p.Requests+requests, p.Data+data
	}
	p.Metrics, p.MetricHours = len(names), len(hours)
	p.USD = cost.Charge(p.MetricHours, p.Requests, 0)
	return p, nil
}

// EMF returns what would have been written as EMF. What CloudWatch makes of it are
// the same metrics.
func EMF(windows []*metric.Batch, metrics Published, pack Packer) (Published, error) {
	p := Published{Sink: "emf", Metrics: metrics.Metrics, MetricHours: metrics.MetricHours}
	for _, b := range windows {
		_, lines, bytes, err := pack(b)
		if err != nil {
			return p, fmt.Errorf("encode a window as EMF: %w", err)
		}
		p.Data, p.Bytes = p.Data+lines, p.Bytes+bytes
	}
	p.USD = cost.Charge(p.MetricHours, 0, p.Bytes)
	return p, nil
}

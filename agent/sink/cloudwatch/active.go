package cloudwatch

import (
	"log/slog"
	"maps"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// activeFor is how long a metric counts as active after its last datum.
// CloudWatch bills a metric for each hour in which data arrive; some time more
// keeps metrics that come and go from taking turns.
const activeFor = 3 * time.Hour

// complainEvery is how often it is said that the cap holds data back.
const complainEvery = time.Hour

// activeSeries caps how many metrics are published, so that no surprise of names
// becomes one of the bill. Time is that of the windows.
type activeSeries struct {
	max      int
	last     map[string]time.Time // window of the newest datum, by metric
	leftOut  uint64               // data
	complain time.Time            // window in which it was said last
}

func newActiveSeries(most int) *activeSeries {
	return &activeSeries{max: most, last: map[string]time.Time{}}
}

// forget drops metrics that had no data for long, and after a step of the clock
// those from the future.
func (a *activeSeries) forget(now time.Time) {
	maps.DeleteFunc(a.last, func(_ string, t time.Time) bool { return now.Sub(t).Abs() >= activeFor })
}

// admit reports whether a metric may have a datum.
func (a *activeSeries) admit(key string, now time.Time) bool {
	if _, active := a.last[key]; !active && len(a.last) >= a.max {
		a.leftOut++
		return false
	}
	a.last[key] = now
	return true
}

// report says, once an hour at most, that data were left out of the window at
// now.
func (a *activeSeries) report(leftOut uint64, now time.Time, log *slog.Logger) {
	if leftOut == 0 || !a.complain.IsZero() && now.Sub(a.complain).Abs() < complainEvery {
		return
	}
	a.complain = now
	log.Error("too many CloudWatch metrics: those over the limit are not published",
		"limit", a.max, "left_out", leftOut, "remedy", "raise max_series, or publish less: per_interface, rollups, queue_stats, compat")
}

func (a *activeSeries) self() []metric.SelfMetric {
	return []metric.SelfMetric{
		{Name: "enawatch_cloudwatch_series", Help: "CloudWatch metrics that had data in the last three hours.", Kind: metric.Gauge, Value: float64(len(a.last))},
		{Name: "enawatch_cloudwatch_series_limit", Help: "CloudWatch metrics that may have data within three hours.", Kind: metric.Gauge, Value: float64(a.max)},
		{Name: "enawatch_cloudwatch_left_out_data_total", Help: "Data that were not published because there are more metrics than the limit.", Value: float64(a.leftOut)},
	}
}

package live

import (
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// Sink is how one destination fares.
type Sink struct {
	Name string `json:"name"`
	// LastSuccess is when it took data last, and OldestWaiting of when the
	// oldest data are that wait for it, in Unix seconds; 0 for never and none.
	LastSuccess   float64 `json:"last_success,omitempty"`
	OldestWaiting float64 `json:"oldest_waiting,omitempty"`
	// Waiting are requests in the spool, and WaitingBytes their size.
	Waiting      float64 `json:"waiting"`
	WaitingBytes float64 `json:"waiting_bytes"`
	// Delivered, Ambiguous and Dropped count data since the agent started.
	Delivered float64 `json:"delivered"`
	Ambiguous float64 `json:"ambiguous"`
	Dropped   float64 `json:"dropped"`
	// DroppedBy counts Dropped by reason.
	DroppedBy map[string]float64 `json:"dropped_by,omitempty"`
	// Failed counts requests that failed.
	Failed float64 `json:"failed"`
	// Problem is why it takes nothing at present, or "".
	Problem string `json:"problem,omitempty"`
}

// sinksOf gathers what the agent's own metrics say of each sink, sorted by name.
func sinksOf(self []metric.SelfMetric, problems map[string]string) []Sink {
	list := []Sink{}
	for _, m := range self {
		name, reason, result := labels(m)
		if name == "" {
			continue
		}
		at := slices.IndexFunc(list, func(s Sink) bool { return s.Name == name })
		if at < 0 {
			at = len(list)
			list = append(list, Sink{Name: name, Problem: problems[name]})
		}
		list[at].take(m, reason, result)
	}
	slices.SortFunc(list, func(a, b Sink) int { return strings.Compare(a.Name, b.Name) })
	return list
}

func labels(m metric.SelfMetric) (sink, reason, result string) {
	for _, l := range m.Labels {
		switch l.Name {
		case "sink":
			sink = l.Value
		case "reason":
			reason = l.Value
		case "result":
			result = l.Value
		}
	}
	return sink, reason, result
}

func (s *Sink) take(m metric.SelfMetric, reason, result string) {
	switch m.Name {
	case "enawatch_last_success_timestamp_seconds":
		s.LastSuccess = m.Value
	case "enawatch_spool_oldest_timestamp_seconds":
		s.OldestWaiting = m.Value
	case "enawatch_spool_items":
		s.Waiting = m.Value
	case "enawatch_spool_bytes":
		s.WaitingBytes = m.Value
	case "enawatch_delivered_data_total":
		s.Delivered = m.Value
	case "enawatch_ambiguous_data_total":
		s.Ambiguous = m.Value
	case "enawatch_dropped_data_total":
		s.Dropped += m.Value
		if s.DroppedBy == nil {
			s.DroppedBy = map[string]float64{}
		}
		s.DroppedBy[reason] += m.Value
	case "enawatch_sink_windows_total": // a destination without a spool
		switch result {
		case "sent":
			s.Delivered += m.Value
		case "dropped":
			s.Dropped += m.Value
		default:
			s.Failed += m.Value
		}
	case "enawatch_requests_total":
		if result != "ok" {
			s.Failed += m.Value
		}
	}
}

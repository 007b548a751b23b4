package agent

import (
	"encoding/json"
	"time"

	"github.com/enawatch/enawatch/agent/delta"
	"github.com/enawatch/enawatch/agent/incident"
	"github.com/enawatch/enawatch/agent/store"
)

// cut returns what the ring gets of the window that ends at end: its seconds, if
// something in them was not zero, and what happened. The first and the last window
// are kept in any case: so the ring knows since and until when the agent ran. The
// caller holds the lock.
func (a *Agent) cut(end time.Time) (records []store.Record) {
	d, from := a.Live.Cut(a.counts.windows == 1 || a.loop.last)
	if d == nil {
		return nil
	}
	if len(d.Times) > 0 {
		w := incident.Window{Document: *d, From: from}
		w.Host, w.InstanceID = a.Resource.Host, a.Resource.InstanceID
		if from == 0 && !a.alive.IsZero() {
			w.Alive = a.alive.Unix()
		}
		records = append(records, store.Record{Kind: store.Seconds, At: end, Data: incident.Append(nil, &w)})
	}
	for _, e := range d.Events {
		if text, err := json.Marshal(e); err == nil {
			records = append(records, store.Record{Kind: store.Events, At: unixTime(e.At), Data: text})
		}
	}
	return records
}

func unixTime(seconds float64) time.Time { return time.UnixMilli(int64(seconds * 1000)) }

// lastAlive is the time of the newest baseline: by then the agent before ran.
func lastAlive(list []delta.Baseline) (t time.Time) {
	for _, b := range list {
		if b.At.After(t) {
			t = b.At
		}
	}
	return t
}

// lastSecond is the second that the last readings are in, for an agent that had no
// other. The caller holds the lock.
func (a *Agent) lastSecond() time.Time {
	now := a.Clock.Wall()
	if at := now.Truncate(a.Sample); !at.Before(now) {
		return at
	}
	return now.Truncate(a.Sample).Add(a.Sample)
}

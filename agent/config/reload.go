package config

import (
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
)

// Reloads counts what became of reloads. It is safe for concurrent use.
type Reloads struct {
	mu     sync.Mutex
	last   bool // the newest one succeeded
	loaded time.Time
}

// NewReloads is for an agent whose configuration was loaded now.
func NewReloads(now time.Time) *Reloads { return &Reloads{last: true, loaded: now} }

// Loaded says that a configuration is in force from now on.
func (r *Reloads) Loaded(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.loaded = true, now
}

// Refused says that the configuration in force stays so, as the new one is bad.
func (r *Reloads) Refused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = false
}

// Self returns what the agent says of it, as Prometheus does of its own.
func (r *Reloads) Self() []metric.SelfMetric {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := 0.0
	if r.last {
		last = 1
	}
	return []metric.SelfMetric{
		{Name: "enawatch_config_last_reload_successful", Help: "1 if the newest configuration is in force, 0 if it was refused at a reload and the one before stays.", Kind: metric.Gauge, Value: last},
		{Name: "enawatch_config_last_reload_success_timestamp_seconds", Help: "When the configuration that is in force was loaded.", Kind: metric.Gauge, Value: float64(r.loaded.UnixMilli()) / 1000},
	}
}

package main

import (
	"log/slog"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/conntrack"
)

// openConntrack starts to watch the tables of tracked connections, if that is
// wanted: of a simulated host the card's alone. The watch is nil if not, and so is
// what the agent gets.
func openConntrack(cfg *config.Config, simulated bool, log *slog.Logger) (*conntrack.Watch, agent.Conntrack) {
	if !cfg.Conntrack.Enabled {
		return nil, nil
	}
	o := conntrack.Options{Warn: cfg.Conntrack.Warn, Log: log}
	if simulated {
		o.Proc = "-"
	}
	w := conntrack.Open(o)
	return w, w
}

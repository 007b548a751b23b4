package main

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/linklocal"
)

// openLinkLocal starts to count link-local traffic, if that is wanted and
// possible; what keeps it from that is logged, and the agent goes on without. It
// returns what ends it, and nil if it does not count.
func openLinkLocal(cfg *config.Config, who *whoami, log *slog.Logger) (counts agent.LinkLocal, stop func()) {
	c := cfg.LinkLocal
	if !c.Enabled {
		return nil, func() {}
	}
	if who.simulated {
		log.Warn("linklocal: a simulated interface sends nothing; link-local traffic is not counted")
		return nil, func() {}
	}
	o := linklocal.Options{Resolvers: who.resolvers(c.Resolvers), DNSNames: c.DNSNames, Cgroup: c.Cgroup, Logs: c.Logs, Log: log}
	m, err := linklocal.Open(o)
	if err != nil {
		log.Warn("link-local traffic is not counted; everything else works", "err", err)
		return nil, func() {}
	}
	log.Info("link-local traffic will be counted", "resolvers", o.Resolvers)
	who.onENI(func() {
		if err := m.SetResolvers(who.resolvers(c.Resolvers)); err != nil {
			log.Warn("linklocal: the VPC's resolver is not known to the programs", "err", err)
		}
	})
	return m, func() {
		who.onENI(nil)
		if err := m.Close(); err != nil {
			log.Warn("linklocal: the programs were not taken off in order", "err", err)
		}
	}
}

// resolvers returns the addresses that are configured, or else those that are
// known of the VPCs of this host's interfaces.
func (w *whoami) resolvers(configured []string) (all []netip.Addr) {
	for _, text := range configured {
		if a, err := netip.ParseAddr(text); err == nil { // config checked that
			all = append(all, a)
		}
	}
	if len(all) > 0 {
		return all
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.enis {
		if e.Resolver.IsValid() && !slices.Contains(all, e.Resolver) && len(all) < linklocal.MaxResolvers {
			all = append(all, e.Resolver)
		}
	}
	return all
}

// onENI has f called when more is known of the interfaces, or nothing if f is
// nil.
func (w *whoami) onENI(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moreENIs = f
}

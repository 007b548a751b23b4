package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/enawatch/enawatch/agent"
	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/conntrack"
	"github.com/enawatch/enawatch/agent/pods"
)

// podFinder finds out which pods are on which interface, or is nil.
type podFinder struct{ finder *pods.Finder }

// inPod reports whether this is a pod of Kubernetes.
func inPod() bool {
	return os.Getenv("KUBERNETES_SERVICE_HOST") != "" || os.Getenv("NODE_NAME") != ""
}

func newPods(cfg config.Kubernetes, simulated bool, log *slog.Logger) *podFinder {
	if simulated || cfg.Pods == "off" || cfg.Pods == "auto" && !inPod() {
		return nil
	}
	return &podFinder{pods.New(cfg.Introspection, log)}
}

// look has the pods looked up soon: something happened.
func (p *podFinder) look() {
	if p != nil {
		p.finder.Look()
	}
}

// follow tells the agent of pods, and who watches tracked connections if w is not
// nil, until the function that it returns is called.
func (p *podFinder) follow(ctx context.Context, a *agent.Agent, w *conntrack.Watch) (stop func()) {
	if p == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.finder.Run(ctx, func(m pods.Map) {
			a.NamePods(m.Of)
			if w != nil {
				w.SetNames(m.At)
			}
		})
	}()
	return func() {
		cancel()
		<-done
	}
}

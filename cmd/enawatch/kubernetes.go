package main

import (
	"cmp"
	"errors"
	"log/slog"
	"os"
	"strconv"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/sink/kubernetes"
)

// newKubernetes opens the sink of Kubernetes Events.
func newKubernetes(cfg *config.Config, simulated bool, log *slog.Logger) (*kubernetes.Sink, error) {
	k := cfg.Sinks.Kubernetes
	node := cmp.Or(cfg.Identity.Node, os.Getenv("NODE_NAME"))
	switch {
	case simulated:
		return nil, errors.New("sinks.kubernetes: a simulation tells no cluster anything: remove the key, or do not simulate")
	case node == "":
		return nil, errors.New("sinks.kubernetes: the node's name is not known: fill the variable NODE_NAME from spec.nodeName, or set identity.node")
	}
	thresholds := map[string]int{}
	for allowance, packets := range k.Thresholds {
		thresholds[allowance], _ = strconv.Atoi(packets) // which is checked
	}
	return kubernetes.New(kubernetes.Options{
		Node: node, Instance: cmp.Or(cfg.Identity.Pod, os.Getenv("POD_NAME"), node), Thresholds: thresholds,
		RecoverAfter: k.RecoverAfter, UpdateEvery: k.UpdateEvery, Condition: k.Condition, Log: log,
	})
}

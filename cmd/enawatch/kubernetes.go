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
	if simulated {
		return nil, errors.New("sinks.kubernetes: a simulation tells no cluster anything: remove the key, or do not simulate")
	}
	o, err := kubernetesOptions(cfg, log)
	if err != nil {
		return nil, err
	}
	return kubernetes.New(o)
}

func kubernetesOptions(cfg *config.Config, log *slog.Logger) (o kubernetes.Options, err error) {
	k := cfg.Sinks.Kubernetes
	node := cmp.Or(cfg.Identity.Node, os.Getenv("NODE_NAME"))
	if node == "" {
		return o, errors.New("sinks.kubernetes: the node's name is not known: fill the variable NODE_NAME from spec.nodeName, or set identity.node")
	}
	thresholds := map[string]int{}
	for allowance, packets := range k.Thresholds {
		thresholds[allowance], _ = strconv.Atoi(packets) // which is checked
	}
	return kubernetes.Options{
		Node: node, Instance: cmp.Or(cfg.Identity.Pod, os.Getenv("POD_NAME"), node), Thresholds: thresholds,
		RecoverAfter: k.RecoverAfter, UpdateEvery: k.UpdateEvery, Condition: k.Condition, Log: log,
	}, nil
}

package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/simulate"
)

// kernelSource says where readings come from: the running kernel, or a
// simulated device.
type kernelSource struct{ scenario string }

func (s *kernelSource) flag(c *cobra.Command) {
	var names []string
	for _, l := range simulate.Scenarios() {
		names = append(names, l.Name)
	}
	c.Flags().StringVar(&s.scenario, "simulate", "",
		"read a simulated device instead of this host's: `SCENARIO` is "+strings.Join(names, ", ")+" or a file")
	c.Flags().Lookup("simulate").NoOptDefVal = simulate.Default
	_ = c.RegisterFlagCompletionFunc("simulate", cobra.FixedCompletions(names, cobra.ShellCompDirectiveDefault))
}

func (s *kernelSource) simulated() bool { return s.scenario != "" }

// open returns the kernel. A simulated one is announced loudly.
func (s *kernelSource) open(log *slog.Logger) (ena.Kernel, error) {
	if !s.simulated() {
		return hostKernel()
	}
	scenario, err := simulate.Load(s.scenario)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--simulate: %w", err)}
	}
	log.Warn("SIMULATED: every number comes from a simulated device and is marked so", "scenario", s.scenario)
	return simulate.New(scenario, simulate.SystemClock{}), nil
}

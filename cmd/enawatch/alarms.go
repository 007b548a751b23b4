package main

import (
	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/provision"
)

func alarmsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "alarms",
		Short: "Make CloudWatch alarms on what the agents publish",
		Long: `Make CloudWatch alarms on what the agents publish, for one host or a fleet. Run
plan to see what would change, apply to change it, destroy to take it away again,
or export to have CloudFormation, Terraform or the CDK do it. Only what has the
set's tag is ever changed or deleted.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: help,
	}
	with := func(make func(*wanted) *cobra.Command) {
		w := &wanted{}
		below := make(w)
		w.alarmFlags(below.Flags())
		w.common(below)
		c.AddCommand(below)
	}
	with(func(w *wanted) *cobra.Command {
		return exportCommand(w, "alarms", []string{"topic", "policy", "dashboard"}, provision.Alarms)
	})
	return c
}

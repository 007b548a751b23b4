package main

import (
	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/account"
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
	c.AddCommand(deployment{kinds: account.Alarms, what: "alarms", set: provision.Alarms}.commands()...)
	w := &wanted{}
	export := exportCommand(w, "alarms", []string{"topic", "policy", "dashboard"}, provision.Alarms)
	w.alarmFlags(export.Flags(), provision.PerHost)
	w.common(export)
	c.AddCommand(export)
	return c
}

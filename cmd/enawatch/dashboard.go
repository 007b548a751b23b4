package main

import (
	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/provision"
)

func dashboardCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dashboard",
		Short: "Make a CloudWatch dashboard, log queries and Contributor Insights rules",
		Long: `Make a CloudWatch dashboard of what the agents publish, saved Logs Insights
queries over their EMF and, with --insight-rules, which AWS bills by the rule and
event, Contributor Insights rules. Run plan to see what would change, apply to
change it, destroy to take it away again, or export for another tool.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: help,
	}
	with := func(make func(*wanted) *cobra.Command) {
		w := &wanted{}
		below := make(w)
		below.Flags().BoolVar(&w.insights, "insight-rules", false, "make Contributor Insights rules over the EMF log group too")
		w.common(below)
		c.AddCommand(below)
	}
	with(func(w *wanted) *cobra.Command {
		return exportCommand(w, "dashboard, queries and rules", nil, provision.Dashboards)
	})
	return c
}

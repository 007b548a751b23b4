package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/provision/account"
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
	c.AddCommand(deployment{kinds: account.Views, what: "dashboard, queries and rules", set: provision.Dashboards}.commands()...)
	w := &wanted{}
	export := exportCommand(w, "dashboard, queries and rules", nil, provision.Dashboards)
	w.viewFlags(export.Flags())
	w.common(export)
	c.AddCommand(export)
	return c
}

// viewFlags gives f the flags that say what is wanted beside the dashboard.
func (w *wanted) viewFlags(f *pflag.FlagSet) {
	f.BoolVar(&w.insights, "insight-rules", false, "make Contributor Insights rules over the EMF log group too")
}

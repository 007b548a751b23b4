package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check or print the configuration",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  help,
	}
	c.AddCommand(configCheckCommand(), configPrintCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file",
		Long: "Check a configuration file, alone: without the environment. Without FILE, check what run would use: the default file and the environment. " +
			"Prints every fault with its line; exit code 2 if there is one.",
		Args: usageArgs(cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			what, environ := "the configuration", os.Environ()
			path := ""
			if len(args) > 0 {
				what, path, environ = args[0], args[0], nil
			}
			if _, err := config.Load(path, environ, nil); err != nil {
				return err
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", what)
			return err
		},
	}
}

func configPrintCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "print",
		Short: "Print the effective configuration",
		Long:  "Print the configuration that run would use, from defaults, file, environment and flags, as a file that says the same.",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(path, os.Environ(), c.Flags())
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(config.Print(cfg))
			return err
		},
	}
	configFlags(c, &path)
	return c
}

// configFlags gives c the flags that make a configuration.
func configFlags(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "config", "", "configuration file (default "+config.DefaultPath+", if it is there)")
	config.Flags(c.Flags())
}

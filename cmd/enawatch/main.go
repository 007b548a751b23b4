// Command enawatch reads the allowance counters of ENA network interfaces and
// publishes what they grew by.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
)

// Exit codes.
const (
	exitFailed      = 1 // something went wrong while running
	exitUsage       = 2 // bad configuration, flags or arguments; nothing was started
	exitNoInterface = 3 // once: this host has no ENA interface
)

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func main() {
	err := rootCommand().Execute()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	var coded *exitError
	var bad *config.Error
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &bad):
		return exitUsage
	}
	return exitFailed
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "enawatch",
		Short: "Watch what EC2's network allowances cost this host",
		Long: `enawatch reads the ENA driver's allowance counters every second, turns them
into truthful deltas and publishes them: packets that the Nitro card queued or
dropped because the instance exceeded its bandwidth, packet rate, tracked
connections, or the 1024 packets per second of an interface to DNS, IMDS and NTP.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          help,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(runCommand(), onceCommand(), topCommand(), doctorCommand(), recordCommand(), replayCommand(), configCommand(), costCommand(), alarmsCommand(), dashboardCommand(), serviceCommand(), versionCommand(), ownStateCommand())
	return root
}

// help is what a command does that is nothing without another word.
func help(c *cobra.Command, _ []string) error { return c.Help() }

// usageArgs makes bad arguments a matter of usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w: see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}

//go:build linux

// Command enasim runs a program on scripted ENA devices: whatever the program
// asks of them through ethtool's ioctl, a scenario answers. See README.md.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/enasim/rig"
)

// Exit codes of enasim itself; any other is the program's.
const (
	exitUsage  = 2
	exitFailed = 125
)

func main() {
	if os.Args[0] == rig.StageName {
		rig.Stage()
	}
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	o, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "enasim:", err)
		return exitUsage
	}
	result, err := rig.Run(o.Config)
	if err == nil && o.ledger != "" {
		err = writeLedger(o.ledger, result.Ledger)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "enasim:", err)
		return exitFailed
	}
	return result.ExitCode
}

type options struct {
	rig.Config
	ledger string
}

func parse(args []string) (options, error) {
	var o options
	var scenario, adds string
	f := flag.NewFlagSet("enasim", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: enasim --scenario FILE [flags] -- PROGRAM [ARGUMENT...]")
		f.PrintDefaults()
	}
	f.StringVar(&scenario, "scenario", "", "`file` with the scenario, or the name of a built-in one")
	f.StringVar(&o.ledger, "ledger", "", "write what really happened to this `file`, as JSON, at the end")
	f.StringVar(&adds, "adds", "", "have counters grow by lines DEVICE STAT N that are written to this `pipe`")
	f.BoolVar(&o.StopWhenDone, "stop-when-done", false, "send SIGTERM to the program when the scenario is done")
	f.IntVar(&o.UID, "uid", -1, "run the program as this user and group, without any capability (root only)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.Program = f.Args()
	switch {
	case scenario == "":
		return o, errors.New("which scenario? give --scenario FILE")
	case len(o.Program) == 0:
		return o, errors.New("which program? give it after --")
	case o.UID >= 0 && os.Getuid() != 0:
		return o, errors.New("only root can run the program as another user: leave out --uid")
	}
	var err error
	if o.Scenario, err = simulate.Load(scenario); err != nil {
		return o, err
	}
	if adds != "" {
		// For writing too: then it has no end while nobody else has it open.
		o.Adds, err = os.OpenFile(adds, os.O_RDWR, 0)
	}
	return o, err
}

func writeLedger(file string, l simulate.Ledger) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the ledger: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

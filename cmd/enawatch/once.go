package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

func onceCommand() *cobra.Command {
	var asJSON bool
	var source kernelSource
	c := &cobra.Command{
		Use:   "once",
		Short: "Show what the counters are now",
		Long: `Read every ENA interface once and show a table: its driver, each allowance's
counter since the last device reset, and whether the reading can be believed.

Exit code 0 if every reading is valid, 1 if one is not, 3 if this host has no
ENA interface.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			kernel, err := source.open(slog.New(newHandler(c.ErrOrStderr(), config.Default().Log)))
			if err != nil {
				return err
			}
			defer kernel.Close()
			rows, err := readOnce(kernel)
			if err != nil {
				return err
			}
			show := printTable
			if asJSON {
				show = printJSON
			}
			if err := show(c.OutOrStdout(), rows); err != nil {
				return err
			}
			return verdictOf(rows)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with every stat of the catalogue")
	source.flag(c)
	return c
}

// onceRow is one interface in the answer.
type onceRow struct {
	Interface     string `json:"interface"`
	MAC           string `json:"mac"`
	BusInfo       string `json:"bus_info"`
	DriverVersion string `json:"driver_version"`
	// Verdict is "valid", "suspect", "gone" or "failed"; Reason says why it is
	// not valid.
	Verdict string            `json:"verdict"`
	Reason  string            `json:"reason,omitempty"`
	Stats   map[string]uint64 `json:"stats"`
}

func readOnce(k ena.Kernel) ([]onceRow, error) {
	var found []metric.Interface
	err := ena.NewWatcher(k).Poll(true, func(d ena.Netdev, _ ena.Change) {
		found = append(found, d.Interface)
	})
	if err != nil {
		return nil, fmt.Errorf("look for ENA interfaces: %w", err)
	}
	slices.SortFunc(found, func(a, b metric.Interface) int { return strings.Compare(a.Name, b.Name) })
	rows := []onceRow{}
	for _, i := range found {
		r, err := ena.NewReader(k, i.Name, func(ena.Stat) bool { return true })
		if err != nil {
			return nil, err
		}
		rows = append(rows, onceRowOf(i, r.Read()))
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func onceRowOf(i metric.Interface, r ena.Reading) onceRow {
	row := onceRow{
		Interface: i.Name, MAC: i.MAC, BusInfo: i.BusInfo, DriverVersion: i.DriverVersion,
		Verdict: r.Verdict.String(), Reason: string(r.Reason), Stats: map[string]uint64{},
	}
	if r.Vector == nil {
		return row
	}
	for s := range ena.Stat(ena.NumStats) {
		if r.Vector.Present.Has(s) {
			row.Stats[s.String()] = r.Vector.Values[s]
		}
	}
	return row
}

func verdictOf(rows []onceRow) error {
	if len(rows) == 0 {
		return &exitError{exitNoInterface, errors.New("this host has no ENA interface (try --simulate)")}
	}
	for _, r := range rows {
		if r.Verdict != ena.Valid.String() {
			return fmt.Errorf("%s: the reading is %s: %s", r.Interface, r.Verdict, r.Reason)
		}
	}
	return nil
}

func printJSON(w io.Writer, rows []onceRow) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

// printTable prints the allowances, one interface a row.
func printTable(w io.Writer, rows []onceRow) error {
	if len(rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "INTERFACE\tDRIVER\tBW_IN\tBW_OUT\tPPS\tCONNTRACK\tLINKLOCAL\tCONNTRACK_LEFT\tVERDICT")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s", r.Interface, r.DriverVersion)
		for s := ena.BWInAllowanceExceeded; s <= ena.ConntrackAllowanceAvailable; s++ {
			cell := "-" // the driver does not have it: not a zero
			if v, ok := r.Stats[s.String()]; ok {
				cell = strconv.FormatUint(v, 10)
			}
			fmt.Fprintf(t, "\t%s", cell)
		}
		fmt.Fprintf(t, "\t%s\n", r.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "Packets queued or dropped since the last device reset, and connections that can still be tracked.")
	return err
}

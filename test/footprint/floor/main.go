// Command floor reads the stats of some interfaces every second and does
// nothing with them: the least that a Go program can cost which reads at all.
//
//	floor INTERFACE...
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(names []string) error {
	k, err := ena.NewKernel()
	if err != nil {
		return err
	}
	counts := make([]int, len(names))
	for i, name := range names {
		stats, err := k.StatNames(name)
		if err != nil {
			return err
		}
		counts[i] = len(stats)
	}
	b, err := ena.NewBuffer()
	if err != nil {
		return err
	}
	for range time.Tick(time.Second) {
		for i, name := range names {
			if _, err := k.Stats(name, counts[i], b); err != nil {
				return err
			}
		}
	}
	return nil
}

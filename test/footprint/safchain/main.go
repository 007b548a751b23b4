// Command safchain reads the stats of some interfaces every second by
// github.com/safchain/ethtool and does nothing with them.
//
//	safchain INTERFACE...
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/safchain/ethtool"
)

func main() {
	e, err := ethtool.NewEthtool()
	if err != nil {
		fail(err)
	}
	for range time.Tick(time.Second) {
		for _, name := range os.Args[1:] {
			if _, err := e.Stats(name); err != nil {
				fail(err)
			}
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "safchain:", err)
	os.Exit(1)
}

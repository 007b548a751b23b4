package simulate

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Scenario is a script, ready for a Machine. It does not change.
type Scenario struct {
	// Name is that of its file, without folder and suffix.
	Name string
	// Description is one line for people.
	Description string

	oldKernel bool
	repeat    time.Duration // 0: once
	devices   []*deviceScript
	steps     []step
	end       end
}

// deviceScript is a device as the scenario describes it.
type deviceScript struct {
	name, mac, bus  string
	driver          *driver
	version         string
	queues          int
	maxQueues       int // the most that any step gives it
	customerMetrics bool
	srd, phc        bool
	attached        bool
	initial         []amount
	// names are all that it has during the script.
	names map[string]struct{}
}

// amount is how much of a stat.
type amount struct {
	stat string // may have a * for the queue
	n    uint64
}

// step is one thing that happens.
type step struct {
	when   trigger
	device int // in Scenario.devices; -1 for a step of the kernel
	do     action

	amounts  []amount
	duration time.Duration // of a rate by time
	readings int           // of a rate by readings
	fault    fault
	cause    []string
	queues   int
	name     string
	old      bool
}

// trigger says when a step happens: if read is not 0, at that reading of the
// device of; else at that time after the start or, if relative, after the
// step before.
type trigger struct {
	read     int
	of       int
	time     time.Duration
	relative bool
}

// action is what a step does.
type action uint8

const (
	doAdd action = iota
	doRate
	doSet
	doFault
	doReset
	doQueues
	doRename
	doDetach
	doAttach
	doKernel
)

// end says when the script is done.
type end struct {
	at       time.Duration // 0: by readings
	readings int
}

//go:embed scenarios
var embedded embed.FS

const embeddedFolder, suffix = "scenarios", ".yaml"

// Default is the scenario of a --simulate without a value.
const Default = "dns-burst"

// Listing names a built-in scenario.
type Listing struct{ Name, Description string }

// Scenarios lists the built-in scenarios, by name.
func Scenarios() []Listing {
	files, err := fs.Glob(embedded, path.Join(embeddedFolder, "*"+suffix))
	if err != nil {
		panic(err) // the pattern is a constant
	}
	var list []Listing
	for _, file := range files {
		s, err := parseEmbedded(file)
		if err != nil {
			panic(err) // a test loads each of them
		}
		list = append(list, Listing{s.Name, s.Description})
	}
	return list
}

func parseEmbedded(file string) (*Scenario, error) {
	text, err := embedded.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}

// Load returns the built-in scenario of that name, or reads the file at that
// path. The error says what is wrong with the file, with its line.
func Load(nameOrPath string) (*Scenario, error) {
	file := path.Join(embeddedFolder, nameOrPath+suffix)
	if _, err := fs.Stat(embedded, file); err == nil && !strings.Contains(nameOrPath, "/") {
		return parseEmbedded(file)
	}
	text, err := os.ReadFile(nameOrPath)
	if os.IsNotExist(err) && !strings.ContainsAny(nameOrPath, "/.") {
		var names []string
		for _, l := range Scenarios() {
			names = append(names, l.Name)
		}
		return nil, fmt.Errorf("no scenario %q: take the path of a file or one of %s", nameOrPath, strings.Join(names, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("load a scenario: %w", err)
	}
	return Parse(nameOrPath, text)
}

// nameOf returns a scenario's name by its file.
func nameOf(file string) string {
	base := filepath.Base(file)
	return strings.TrimSuffix(base, filepath.Ext(base))
}

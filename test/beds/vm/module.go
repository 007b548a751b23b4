//go:build beds

package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// debug is the module's folder. See ena/README.md.
const debug = "/sys/kernel/debug/ena"

// Load loads the module with a device in each of these slots: 5 is ens5.
func Load(t testing.TB, slots ...int) {
	t.Helper()
	bed.Run(t, "insmod", "/bed/ena.ko", "slots="+strings.Trim(strings.ReplaceAll(fmt.Sprint(slots), " ", ","), "[]"))
}

// Unload removes the module and all its devices.
func Unload(t testing.TB) {
	t.Helper()
	bed.Run(t, "rmmod", "ena")
}

// Attach plugs a device into a slot.
func Attach(t testing.TB, slot int) { t.Helper(); tell(t, fmt.Sprint(slot), "attach") }

// Detach pulls it out.
func Detach(t testing.TB, slot int) { t.Helper(); tell(t, fmt.Sprint(slot), "detach") }

// Control gives a device a command: "add pps_allowance_exceeded 3".
func Control(t testing.TB, slot int, command string) {
	t.Helper()
	tell(t, command, fmt.Sprint(slot), "control")
}

// SetStats replaces the stats of a device: a line of name and value for each.
func SetStats(t testing.TB, slot int, stats string) {
	t.Helper()
	tell(t, stats, fmt.Sprint(slot), "stats")
}

// Stat returns one stat of a device; 0 if there is none of that name.
func Stat(t testing.TB, slot int, name string) (value uint64) {
	t.Helper()
	for line := range strings.Lines(read(t, filepath.Join(debug, fmt.Sprint(slot), "stats"))) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			fmt.Sscan(text, &value)
		}
	}
	return value
}

func tell(t testing.TB, text string, file ...string) {
	t.Helper()
	path := filepath.Join(append([]string{debug}, file...)...)
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

package linklocal

import (
	"os"
	"strings"
	"testing"
)

func TestRetransmitsOf(t *testing.T) {
	text, err := os.ReadFile(snmp)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel's own text, with a value that can be told.
	lines := strings.Split(string(text), "\n")
	var values []string
	for i, line := range lines {
		if strings.HasPrefix(line, "Tcp: ") {
			names := strings.Fields(line)
			if values = strings.Fields(lines[i+1]); len(values) != len(names) {
				t.Fatalf("%d names, %d values", len(names), len(values))
			}
			for n, name := range names {
				if name == "RetransSegs" {
					values[n] = "4711"
				}
			}
			lines[i+1] = strings.Join(values, " ")
			break
		}
	}
	if got := retransmitsOf([]byte(strings.Join(lines, "\n")), 1); got != 4711 {
		t.Errorf("%d, want 4711", got)
	}
	for _, text := range []string{"", "\nTcp: a b", "\nTcp: a\nTcp: 1 2", "\nTcp: a\nTcp: 0 1 2 3 4 5 6 7 8 9 10 x 12"} {
		if got := retransmitsOf([]byte(text), 5); got != 5 {
			t.Errorf("%q: %d, want what was before", text, got)
		}
	}
}

func FuzzNameFromWire(f *testing.F) {
	f.Add([]byte("\x03api\x07example\x03com\x00\x00\x01"))
	f.Add([]byte("\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		signed := make([]int8, len(wire))
		for i, c := range wire {
			signed[i] = int8(c)
		}
		if got := nameFromWire(signed); strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) || !strings.HasSuffix(got, ".") {
			t.Errorf("%q of %q", got, wire)
		}
	})
}

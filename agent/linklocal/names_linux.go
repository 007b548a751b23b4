package linklocal

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// epoch is EPOCH_NS in bpf/linklocal.c.
const epoch = 10 * time.Second

// Names returns the n names that were asked for most in the last 10 to 20 s, or
// hashes of them.
func (m *Meter) Names(n int) (top []QueryCount) {
	now := uint32(monotonic() / epoch)
	var hash uint64
	var v programsName
	for entries := m.collection.Maps[programsMapNames].Iterate(); entries.Next(&hash, &v); {
		count := uint64(v.Current)
		switch v.Epoch {
		case now:
			count += uint64(v.Previous)
		case now - 1:
		default:
			continue
		}
		name := fmt.Sprintf("#%016x", hash)
		if v.Length > 0 {
			name = nameFromWire(v.Text[:min(int(v.Length), len(v.Text))])
		}
		top = append(top, QueryCount{name, count})
	}
	slices.SortFunc(top, func(a, b QueryCount) int {
		return cmp.Or(cmp.Compare(b.Queries, a.Queries), cmp.Compare(a.Name, b.Name))
	})
	return top[:min(n, len(top))]
}

// nameFromWire reads a name as messages of DNS have it, as far as it is there.
// What is not printable becomes "?".
func nameFromWire(wire []int8) string {
	var labels []string
	for len(wire) > 0 && wire[0] > 0 {
		n := min(int(wire[0]), len(wire)-1)
		label := make([]byte, n)
		for i, c := range wire[1 : 1+n] {
			if label[i] = byte(c); c <= ' ' || c > '~' {
				label[i] = '?'
			}
		}
		labels = append(labels, string(label))
		wire = wire[1+n:]
	}
	return strings.Join(labels, ".") + "."
}

// snmp is where the kernel counts TCP's segments (RFC 4022, tcpRetransSegs).
const snmp = "/proc/thread-self/net/snmp"

// readRetransmits reads the counter into m, without an allocation.
func (m *Meter) readRetransmits() {
	n, err := m.snmp.ReadAt(m.snmpText[:], 0)
	if n == 0 && err != nil {
		return
	}
	m.retransmits = retransmitsOf(m.snmpText[:n], m.retransmits)
}

// retransmitsOf finds the value below RetransSegs, or returns what was before.
func retransmitsOf(text []byte, before uint64) uint64 {
	for range 2 { // the second line of TCP has the values
		at := bytes.Index(text, []byte("\nTcp: "))
		if at < 0 {
			return before
		}
		text = text[at+1:]
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	const column = 12 // net/ipv4/proc.c, snmp4_tcp_list
	for range column {
		_, rest, ok := bytes.Cut(line, []byte(" "))
		if !ok {
			return before
		}
		line = rest
	}
	field, _, _ := bytes.Cut(line, []byte(" "))
	v := uint64(0)
	for _, c := range field {
		if c < '0' || c > '9' {
			return before
		}
		v = v*10 + uint64(c-'0')
	}
	return v
}

// Retransmits returns how many segments of TCP the host had sent again at the
// last Tick.
func (m *Meter) Retransmits() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.retransmits
}

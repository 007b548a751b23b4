package incident

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
)

// encoding is the version of what Append writes, its first byte. Numbers are
// varints, strings have their length before them:
//
//	host, instance id
//	From, Alive, step in milliseconds, number of seconds
//	the seconds: the first, then by how much each is later than the one before
//	number of names, names of stats
//	number of interfaces, and of each:
//	  name, MAC, bus, ENI, driver version, link, 1 if it left
//	  number of pods, pods
//	  states: letter and how often it follows, until there is one for each second
//	  number of stats, and of each:
//	    index of its name
//	    values: 0 and how many more are as the one before, 1 and how many are
//	    none, or 1 + how much it differs from the one before, zigzag
const encoding = 1

// Window is the seconds of one window, as a record of the ring has them.
type Window struct {
	// Document has host, instance id, step, times and interfaces.
	live.Document
	// From is the newest second before this window, in Unix seconds: those
	// between it and the first of Times were missed. 0 if the agent began in it.
	From int64
	// Alive is until when the agent before is known to have run, if this is the
	// first window of one; else 0.
	Alive int64
}

// Bounds of what Decode accepts: what is beyond was never written.
const (
	maxSeconds    = 4096
	maxNames      = 1024
	maxInterfaces = 1024
	maxPods       = 256
	maxString     = 1024
	maxValues     = 4 << 20
)

// ErrEncoding says that a record can't be read.
var ErrEncoding = errors.New("a record of the state file can't be read")

// Append appends a window to b.
func Append(b []byte, w *Window) []byte {
	b = append(b, encoding)
	b = appendString(b, w.Host)
	b = appendString(b, w.InstanceID)
	b = binary.AppendVarint(b, w.From)
	b = binary.AppendVarint(b, w.Alive)
	b = binary.AppendUvarint(b, uint64(math.Round(w.Step*1000)))
	b = binary.AppendUvarint(b, uint64(len(w.Times)))
	before := int64(0)
	for _, t := range w.Times {
		b = binary.AppendVarint(b, t-before)
		before = t
	}
	var names []string
	index := map[string]int{}
	for _, i := range w.Interfaces {
		each(&i, func(name string, _ live.Values) {
			if _, ok := index[name]; !ok {
				index[name] = len(names)
				names = append(names, name)
			}
		})
	}
	b = appendStrings(b, names)
	b = binary.AppendUvarint(b, uint64(len(w.Interfaces)))
	for n := range w.Interfaces {
		b = appendInterface(b, &w.Interfaces[n], index)
	}
	return b
}

// each calls f with every stat of an interface that has values.
func each(i *live.Interface, f func(name string, v live.Values)) {
	for _, a := range i.Allowances {
		f(a.Name, a.Values)
	}
	for _, c := range i.Counters {
		if c.Values != nil {
			f(c.Name, c.Values)
		}
	}
}

func appendInterface(b []byte, i *live.Interface, index map[string]int) []byte {
	for _, s := range []string{i.Name, i.MAC, i.BusInfo, i.ENI, i.Driver, i.Link} {
		b = appendString(b, s)
	}
	left := byte(0)
	if i.Left {
		left = 1
	}
	b = appendStrings(append(b, left), i.Pods)
	for n := 0; n < len(i.States); {
		run := 1
		for n+run < len(i.States) && i.States[n+run] == i.States[n] {
			run++
		}
		b = binary.AppendUvarint(append(b, i.States[n]), uint64(run))
		n += run
	}
	stats := 0
	each(i, func(string, live.Values) { stats++ })
	b = binary.AppendUvarint(b, uint64(stats))
	each(i, func(name string, v live.Values) {
		b = binary.AppendUvarint(b, uint64(index[name]))
		b = appendValues(b, v)
	})
	return b
}

func appendValues(b []byte, v live.Values) []byte {
	run := func(from int, value uint32) (n uint64) {
		for from < len(v) && v[from] == value {
			from, n = from+1, n+1
		}
		return n
	}
	before := uint32(0)
	for n := 0; n < len(v); {
		if length := run(n, live.NoValue); length > 0 {
			b = binary.AppendUvarint(append(b, 1), length)
			n += int(length)
			continue
		}
		if length := run(n, before); length > 0 {
			b = binary.AppendUvarint(append(b, 0), length)
			n += int(length)
			continue
		}
		d := int64(v[n]) - int64(before)
		b = binary.AppendUvarint(b, 1+uint64(d<<1^d>>63))
		before = v[n]
		n++
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = appendString(b, s)
	}
	return b
}

// Decode returns what Append wrote. An error is compatible with errors.Is(err,
// ErrEncoding).
func Decode(b []byte) (*Window, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it is empty", ErrEncoding)
	}
	if b[0] != encoding {
		return nil, fmt.Errorf("%w: its encoding is %d, this program knows %d: use the enawatch that wrote it", ErrEncoding, b[0], encoding)
	}
	d := &decoder{b: b[1:]}
	w := &Window{}
	w.Host, w.InstanceID = d.text(), d.text()
	w.From, w.Alive = d.signed(), d.signed()
	w.Step = (time.Duration(d.count(uint64(time.Hour/time.Millisecond))) * time.Millisecond).Seconds()
	w.Times = make([]int64, d.count(maxSeconds))
	before := int64(0)
	for n := range w.Times {
		before += d.signed()
		w.Times[n] = before
	}
	names := d.texts(maxNames)
	w.Interfaces = make([]live.Interface, d.count(min(maxInterfaces, uint64(len(d.b)))))
	for n := range w.Interfaces {
		d.iface(&w.Interfaces[n], len(w.Times), names)
	}
	if !d.bad && len(d.b) > 0 {
		d.bad = true
	}
	if d.bad {
		return nil, fmt.Errorf("%w: it is damaged", ErrEncoding)
	}
	return w, nil
}

// decoder reads from the front of b. Once bad, it returns zeros.
type decoder struct {
	b      []byte
	values int
	bad    bool
}

func (d *decoder) unsigned() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) signed() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number that is at most most.
func (d *decoder) count(most uint64) int {
	v := d.unsigned()
	if v > most {
		d.bad = true
	}
	if d.bad {
		return 0
	}
	return int(v)
}

func (d *decoder) letter() byte {
	if len(d.b) == 0 || d.bad {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) text() string {
	n := d.count(min(maxString, uint64(len(d.b))))
	if n > len(d.b) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *decoder) texts(most uint64) (list []string) {
	for range d.count(most) {
		if d.bad {
			return nil
		}
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) iface(i *live.Interface, seconds int, names []string) {
	for _, s := range []*string{&i.Name, &i.MAC, &i.BusInfo, &i.ENI, &i.Driver, &i.Link} {
		*s = d.text()
	}
	i.Left = d.letter() != 0
	i.Pods = d.texts(maxPods)
	states := make([]byte, 0, seconds)
	for len(states) < seconds && !d.bad {
		letter, run := d.letter(), d.count(uint64(seconds-len(states)))
		if run == 0 {
			d.bad = true
		}
		for range run {
			states = append(states, letter)
		}
	}
	i.States = string(states)
	for range d.count(uint64(len(names))) {
		at := d.unsigned()
		v := d.valuesOf(seconds)
		if d.bad || at >= uint64(len(names)) {
			d.bad = true
			return
		}
		if s, ok := ena.Lookup(names[at]); ok && slices.Contains(live.Tracked, s) {
			i.Allowances = append(i.Allowances, live.Allowance{Name: names[at], Values: v})
		} else {
			i.Counters = append(i.Counters, live.Counter{Name: names[at], Values: v})
		}
	}
}

func (d *decoder) valuesOf(seconds int) live.Values {
	if d.values += seconds; d.values > maxValues {
		d.bad = true
	}
	if d.bad {
		return nil
	}
	v := make(live.Values, 0, seconds)
	before := uint32(0)
	for len(v) < seconds && !d.bad {
		token := d.unsigned()
		if token > 1 {
			z := token - 1
			next := int64(before) + (int64(z>>1) ^ -int64(z&1))
			if z>>1 > 1<<33 || next < 0 || next >= int64(live.NoValue) {
				d.bad = true
				return nil
			}
			before = uint32(next)
			v = append(v, before)
			continue
		}
		value := before
		if token == 1 {
			value = live.NoValue
		}
		run := d.count(uint64(seconds - len(v)))
		if run == 0 {
			d.bad = true
		}
		for range run {
			v = append(v, value)
		}
	}
	return v
}

package emf

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// text is JSON under construction. Commas come by themselves: before each key
// and wherever separate is called.
type text struct {
	buf []byte
	// keys tells where the keys of the objects that are being written stand in
	// buf, quotes and escapes included.
	keys []span
}

type span struct{ start, end int }

func (t *text) raw(json string) { t.buf = append(t.buf, json...) }

// separate appends a comma unless an array or object has just begun.
func (t *text) separate() {
	if last := t.buf[len(t.buf)-1]; last != '[' && last != '{' {
		t.raw(`,`)
	}
}

// key appends the key of a member; its value comes next. Parts of a key are
// joined.
func (t *text) key(parts ...string) {
	t.separate()
	start := len(t.buf)
	t.raw(`"`)
	for _, part := range parts {
		t.escape(part)
	}
	t.raw(`"`)
	t.keys = append(t.keys, span{start, len(t.buf)})
	t.raw(`:`)
}

// unique closes an object, whose keys are those from the one numbered first on.
// The error names a key that it has twice: readers differ in which one counts.
func (t *text) unique(first int) error {
	compare := func(a, b span) int {
		return bytes.Compare(t.buf[a.start:a.end], t.buf[b.start:b.end])
	}
	keys := t.keys[first:]
	slices.SortFunc(keys, compare)
	for i := 1; i < len(keys); i++ {
		if k := keys[i]; compare(k, keys[i-1]) == 0 {
			return fmt.Errorf("two members would be called %s: rename a dimension or leave out a series", t.buf[k.start:k.end])
		}
	}
	t.keys = t.keys[:first]
	return nil
}

// element appends a string to an array.
func (t *text) element(s string) {
	t.separate()
	t.string(s)
}

func (t *text) string(s string) {
	t.raw(`"`)
	t.escape(s)
	t.raw(`"`)
}

// ascii is string with "?" for what is not printable ASCII.
func (t *text) ascii(s string) {
	t.raw(`"`)
	for _, r := range s {
		switch {
		case unprintable(r):
			t.raw(`?`)
		case r == '"' || r == '\\':
			t.buf = append(t.buf, '\\', byte(r))
		default:
			t.buf = append(t.buf, byte(r))
		}
	}
	t.raw(`"`)
}

// escape appends s as it stands in a JSON string. Line separators are escaped
// as well, so that no reader sees more than one line. Invalid UTF-8 becomes
// U+FFFD.
func (t *text) escape(s string) {
	const hex = "0123456789abcdef"
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			t.buf = append(t.buf, '\\', byte(r))
		case r < ' ', r == 0x7f, r == 0x85, r == 0x2028, r == 0x2029:
			t.buf = append(t.buf, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			t.buf = utf8.AppendRune(t.buf, r)
		}
	}
}

func (t *text) integer(n int64) { t.buf = strconv.AppendInt(t.buf, n, 10) }

// number appends v, which is finite. Whole numbers below 1e21 have no exponent
// and no fraction.
func (t *text) number(v float64) {
	abs := math.Abs(v)
	switch {
	case abs <= 1<<53 && v == math.Trunc(v): // nearly every sample; no -0 either
		t.integer(int64(v))
	case abs < 1e-6 || abs >= 1e21: // as ECMAScript writes it
		t.buf = strconv.AppendFloat(t.buf, v, 'e', -1, 64)
	default:
		t.buf = strconv.AppendFloat(t.buf, v, 'f', -1, 64)
	}
}

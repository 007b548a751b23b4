package evaluate

import (
	"fmt"
	"strconv"
	"strings"
)

// errUnsupported is what this package does not know of CloudWatch.
type errUnsupported struct{ what, text string }

func (e errUnsupported) Error() string {
	return fmt.Sprintf("the evaluator knows no %s %q", e.what, e.text)
}

func unsupported(what, text string) error { return errUnsupported{what, text} }

// math evaluates the part of metric math that alarms of this program use:
// numbers, ids, + - * /, parentheses and FILL(series, number).
type math struct {
	text string
	at   int
	ids  map[string]values
	n    int // points
	err  error
}

// calculate returns the points of an expression over those of the ids in it.
func calculate(expression string, ids map[string]values, n int) (values, error) {
	m := &math{text: expression, ids: ids, n: n}
	v := m.sum()
	if m.space(); m.err == nil && m.at < len(m.text) {
		m.fail()
	}
	return v, m.err
}

func (m *math) fail() {
	if m.err == nil {
		m.err = unsupported("metric math", m.text)
	}
	m.at = len(m.text)
}

func (m *math) space() {
	for m.at < len(m.text) && m.text[m.at] == ' ' {
		m.at++
	}
}

// take consumes one of the characters and returns it, or 0.
func (m *math) take(any string) byte {
	if m.space(); m.at < len(m.text) && strings.IndexByte(any, m.text[m.at]) >= 0 {
		m.at++
		return m.text[m.at-1]
	}
	return 0
}

// word consumes as many of the characters as there are.
func (m *math) word(of func(byte) bool) string {
	m.space()
	start := m.at
	for m.at < len(m.text) && of(m.text[m.at]) {
		m.at++
	}
	return m.text[start:m.at]
}

func (m *math) sum() values {
	left := m.product()
	for {
		switch m.take("+-") {
		case '+':
			left = both(left, m.product(), func(a, b float64) float64 { return a + b })
		case '-':
			left = both(left, m.product(), func(a, b float64) float64 { return a - b })
		default:
			return left
		}
	}
}

func (m *math) product() values {
	left := m.term()
	for {
		switch m.take("*/") {
		case '*':
			left = both(left, m.term(), func(a, b float64) float64 { return a * b })
		case '/':
			right := m.term()
			for i, v := range right {
				if v != nil && *v == 0 {
					right[i] = nil // a division by zero has no result
				}
			}
			left = both(left, right, func(a, b float64) float64 { return a / b })
		default:
			return left
		}
	}
}

func (m *math) term() values {
	if m.take("(") != 0 {
		v := m.sum()
		m.need(')')
		return v
	}
	if number := m.word(func(c byte) bool { return '0' <= c && c <= '9' || c == '.' }); number != "" {
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			m.fail()
		}
		return m.constant(v)
	}
	name := m.word(func(c byte) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
	})
	if name == "FILL" {
		return m.fill()
	}
	v, ok := m.ids[name]
	if !ok {
		m.fail()
		return m.constant(0)
	}
	return append(values(nil), v...)
}

// fill replaces what is missing.
func (m *math) fill() values {
	m.need('(')
	v := m.sum()
	m.need(',')
	with := m.term()
	m.need(')')
	for i := range v {
		if v[i] == nil {
			v[i] = with[i]
		}
	}
	return v
}

func (m *math) need(c byte) {
	if m.take(string(c)) == 0 {
		m.fail()
	}
}

func (m *math) constant(v float64) values {
	out := make(values, m.n)
	for i := range out {
		out[i] = new(v)
	}
	return out
}

// both combines two rows of points. Where one is missing, there is no result.
func both(a, b values, f func(a, b float64) float64) values {
	out := make(values, len(a))
	for i := range a {
		if a[i] != nil && b[i] != nil {
			out[i] = new(f(*a[i], *b[i]))
		}
	}
	return out
}

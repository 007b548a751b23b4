package evaluate

import "strings"

// compositeRule evaluates the rule of a composite alarm: STATE("name"), AND, OR,
// NOT and parentheses.
type compositeRule struct {
	text   string
	states func(alarm string) (State, bool)
	err    error
	rest   string
}

// holds reports whether a rule is true of the states of other alarms.
func holds(rule string, states func(string) (State, bool)) (bool, error) {
	r := &compositeRule{text: rule, rest: rule, states: states}
	v := r.or()
	if r.err == nil && strings.TrimSpace(r.rest) != "" {
		r.fail()
	}
	return v, r.err
}

func (r *compositeRule) fail() {
	if r.err == nil {
		r.err = unsupported("composite rule", r.text)
	}
	r.rest = ""
}

func (r *compositeRule) take(word string) bool {
	rest, ok := strings.CutPrefix(strings.TrimLeft(r.rest, " \n\t"), word)
	if ok {
		r.rest = rest
	}
	return ok
}

func (r *compositeRule) or() bool {
	v := r.and()
	for r.take("OR ") {
		v = r.and() || v
	}
	return v
}

func (r *compositeRule) and() bool {
	v := r.term()
	for r.take("AND ") {
		v = r.term() && v
	}
	return v
}

func (r *compositeRule) term() bool {
	switch {
	case r.take("NOT "):
		return !r.term()
	case r.take("TRUE"):
		return true
	case r.take("FALSE"):
		return false
	case r.take("INSUFFICIENT_DATA("):
		return r.is(Insufficient)
	case r.take("ALARM("):
		return r.is(Alarm)
	case r.take("OK("):
		return r.is(OK)
	case r.take("("):
		v := r.or()
		if !r.take(")") {
			r.fail()
		}
		return v
	}
	r.fail()
	return false
}

// is consumes a name and the parenthesis behind it.
func (r *compositeRule) is(want State) bool {
	name, rest, ok := strings.Cut(r.rest, ")")
	name = strings.Trim(strings.TrimSpace(name), `"`)
	state, known := r.states(name)
	if !ok || !known {
		r.fail()
		return false
	}
	r.rest = rest
	return state == want
}

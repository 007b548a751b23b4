package awsfake

import (
	"fmt"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// cborShape reads the members of a structure. A member of another type than
// asked for fails the whole request, as it does in the service; the first
// failure is kept in *err and later reads return nothing.
type cborShape struct {
	m    cbor.Map
	path string
	err  *error
}

// member returns a member that is there and not null.
func (s cborShape) member(name string) (cbor.Value, bool) {
	v, ok := s.m[name]
	if !ok {
		return nil, false
	}
	if _, null := v.(*cbor.Nil); null {
		return nil, false
	}
	return v, true
}

func (s cborShape) fail(name string, v cbor.Value, want string) {
	if *s.err == nil {
		*s.err = fmt.Errorf("%s%s is a %T, not %s", s.path, name, v, want)
	}
}

// text returns a string member, "" if it is missing.
func (s cborShape) text(name string) string {
	v, ok := s.member(name)
	if !ok {
		return ""
	}
	t, ok := v.(cbor.String)
	if !ok {
		s.fail(name, v, "a string")
	}
	return string(t)
}

// boolean returns a boolean member and whether it is there.
func (s cborShape) boolean(name string) (value, ok bool) {
	v, ok := s.member(name)
	if !ok {
		return false, false
	}
	b, isBool := v.(cbor.Bool)
	if !isBool {
		s.fail(name, v, "a boolean")
	}
	return bool(b), true
}

// number returns a double member, nil if it is missing.
func (s cborShape) number(name string) *float64 {
	v, ok := s.member(name)
	if !ok {
		return nil
	}
	f, err := cbor.AsFloat64(v)
	if err != nil {
		s.fail(name, v, "a number")
	}
	return &f
}

// integer returns an integer member and whether it is there.
func (s cborShape) integer(name string) (int32, bool) {
	v, ok := s.member(name)
	if !ok {
		return 0, false
	}
	n, err := cbor.AsInt32(v)
	if err != nil {
		s.fail(name, v, "an integer")
	}
	return n, true
}

// time returns a timestamp member, the zero time if it is missing.
func (s cborShape) time(name string) time.Time {
	v, ok := s.member(name)
	if !ok {
		return time.Time{}
	}
	t, err := cbor.AsTime(v)
	if err != nil {
		s.fail(name, v, "a timestamp")
	}
	return t.UTC()
}

// list returns the values of a list member.
func (s cborShape) list(name string) cbor.List {
	v, ok := s.member(name)
	if !ok {
		return nil
	}
	l, ok := v.(cbor.List)
	if !ok {
		s.fail(name, v, "a list")
	}
	return l
}

// numbers returns a member that is a list of doubles.
func (s cborShape) numbers(name string) []float64 {
	var out []float64
	for i, v := range s.list(name) {
		f, err := cbor.AsFloat64(v)
		if err != nil {
			s.fail(fmt.Sprintf("%s.member.%d", name, i+1), v, "a number")
			return nil
		}
		out = append(out, f)
	}
	return out
}

// texts returns a member that is a list of strings.
func (s cborShape) texts(name string) []string {
	var out []string
	for i, v := range s.list(name) {
		t, ok := v.(cbor.String)
		if !ok {
			s.fail(fmt.Sprintf("%s.member.%d", name, i+1), v, "a string")
			return nil
		}
		out = append(out, string(t))
	}
	return out
}

// shape returns a member that is a structure, and whether it is there.
func (s cborShape) shape(name string) (cborShape, bool) {
	v, ok := s.member(name)
	if !ok {
		return cborShape{}, false
	}
	m, isMap := v.(cbor.Map)
	if !isMap {
		s.fail(name, v, "a structure")
	}
	return cborShape{m, s.path + name + ".", s.err}, true
}

// shapes returns a member that is a list of structures. Their paths count from
// 1, as AWS does.
func (s cborShape) shapes(name string) []cborShape {
	var out []cborShape
	for i, v := range s.list(name) {
		at := fmt.Sprintf("%s.member.%d", name, i+1)
		m, ok := v.(cbor.Map)
		if !ok {
			s.fail(at, v, "a structure")
			return nil
		}
		out = append(out, cborShape{m, s.path + at + ".", s.err})
	}
	return out
}

// textMap returns a member that is a map of strings.
func (s cborShape) textMap(name string) map[string]string {
	sub, ok := s.shape(name)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for k := range sub.m {
		out[k] = sub.text(k)
	}
	return out
}

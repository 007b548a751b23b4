package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is what may be written behind a key.
type kind uint8

const (
	group kind = iota // a mapping of keys
	sink              // a group that is off or on
	text
	truth
	number
	duration
	list
	table
)

var kinds = map[reflect.Type]kind{
	reflect.TypeFor[string]():            text,
	reflect.TypeFor[bool]():              truth,
	reflect.TypeFor[int]():               number,
	reflect.TypeFor[time.Duration]():     duration,
	reflect.TypeFor[[]string]():          list,
	reflect.TypeFor[map[string]string](): table,
}

// String returns the kind as documentation and command-line help name it.
func (k kind) String() string {
	return [...]string{"group", "switch", "string", "bool", "integer", "duration", "list", "map"}[k]
}

// key is one field of Config, found by reflection.
type key struct {
	path  string // "sinks.emf.output"
	kind  kind
	index []int  // of the field, and of those around it, in their structs
	below []*key // of a group or sink, in the order of the struct's fields
	tag   reflect.StructTag
}

// root is the group that Config itself is. Everything that knows the keys walks
// this tree.
var root = &key{below: keysOf(reflect.TypeFor[Config](), "", nil)}

func keysOf(t reflect.Type, prefix string, index []int) []*key {
	keys := make([]*key, t.NumField())
	for i := range keys {
		f := t.Field(i)
		k := &key{path: prefix + f.Tag.Get("yaml"), index: append(slices.Clone(index), i), tag: f.Tag}
		keys[i] = k
		if k.kind = kinds[f.Type]; k.kind == group { // a struct, or a pointer to one
			if f.Type.Kind() == reflect.Pointer {
				k.kind, f.Type = sink, f.Type.Elem()
			}
			k.below = keysOf(f.Type, k.path+".", k.index)
		}
	}
	return keys
}

// all lists every key below k but groups, in order: sinks before what is below
// them.
func (k *key) all() []*key {
	var keys []*key
	for _, b := range k.below {
		if b.kind != group {
			keys = append(keys, b)
		}
		keys = append(keys, b.all()...)
	}
	return keys
}

// name is the last part of the path: what stands in the file.
func (k *key) name() string { return k.path[strings.LastIndexByte(k.path, '.')+1:] }

// env is the name of the variable that sets k.
func (k *key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// flags are the names of the flags that set k, without dashes before them.
func (k *key) flags() []string {
	names := []string{strings.ReplaceAll(k.path, "_", "-")}
	if second := k.tag.Get("flag"); second != "" {
		names = append(names, second)
	}
	return names
}

// secret reports whether values are shown nowhere.
func (k *key) secret() bool { return k.tag.Get("secret") != "" }

// oneof lists the words that are allowed, or nothing if any is.
func (k *key) oneof() []string { return strings.Fields(k.tag.Get("oneof")) }

// field returns where the value of k lies in c. Sinks on the way to it are
// switched on.
func (k *key) field(c *Config) reflect.Value {
	at, v := root, reflect.ValueOf(c).Elem()
	for _, i := range k.index {
		if at.kind == sink {
			at.switchOn(v)
			v = v.Elem()
		}
		at, v = at.below[i], v.Field(i)
	}
	return v
}

// switchOn fills v, the pointer of a sink, with defaults if it is nil.
func (k *key) switchOn(v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
		k.setDefaults(v.Elem())
	}
}

// setDefaults fills v, the struct of a group or sink.
func (k *key) setDefaults(v reflect.Value) {
	for i, b := range k.below {
		switch b.kind {
		case group:
			b.setDefaults(v.Field(i))
		case sink: // off
		default:
			// Tests hold every default against the key's own rules.
			value, _ := b.parse(origin{}, b.split(origin{}, b.tag.Get("default")))
			v.Field(i).Set(reflect.ValueOf(value))
		}
	}
}

// item is one value as it was written: the only one of a key, or one of a list
// or map.
type item struct {
	at         origin
	name, text string // name is that of an entry of a map
}

// split takes a value apart that was written as one text, as they are in the
// environment and on the command line.
func (k *key) split(at origin, s string) []item {
	if k.kind != list && k.kind != table {
		return []item{{at: at, text: s}}
	}
	if s == "" {
		return nil
	}
	var items []item
	for part := range strings.SplitSeq(s, ",") {
		it := item{at: at, text: strings.TrimSpace(part)}
		if k.kind == table {
			name, value, _ := strings.Cut(it.text, "=")
			it.name, it.text = strings.TrimSpace(name), strings.TrimSpace(value)
		}
		items = append(items, it)
	}
	return items
}

// parse turns what was written behind k, at a place, into a value of its
// field's type. If it returns faults, the value is not to be used.
func (k *key) parse(at origin, items []item) (any, []fault) {
	var faults []fault
	refuse := func(at origin, err error) {
		faults = append(faults, fault{at, k.path, err.Error()})
	}
	if len(items) == 0 && k.tag.Get("required") != "" {
		refuse(at, errors.New("is empty: write at least one, or leave the key out"))
	}
	if most, err := strconv.Atoi(k.tag.Get("max")); err == nil && k.kind != number && len(items) > most {
		refuse(items[most].at, fmt.Errorf("has %d entries, but only %d fit: remove some", len(items), most))
	}
	words, entries := make([]string, 0, len(items)), make(map[string]string, len(items))
	for _, it := range items {
		if len(faults) > maxFaults {
			break
		}
		value, err := k.scalar(it)
		if err != nil {
			refuse(it.at, err)
			continue
		}
		id := it.text
		switch k.kind {
		case list:
			words = append(words, it.text)
		case table:
			id = it.name
		default:
			return value, nil
		}
		if _, twice := entries[id]; twice {
			refuse(it.at, fmt.Errorf("%s is there twice: remove one", quote(id)))
		}
		entries[id] = it.text
	}
	if k.kind == list {
		return words, faults
	}
	return entries, faults
}

// scalar turns one item into a bool, an int, a duration or a string that keeps
// the rules of k.
func (k *key) scalar(it item) (any, error) {
	switch s := it.text; k.kind {
	case truth, sink:
		if s != "true" && s != "false" {
			return nil, fmt.Errorf("%s is neither true nor false", quote(s))
		}
		return s == "true", nil
	case number:
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("%s is not a whole number: write one such as %s", quote(s), k.tag.Get("default"))
		}
		least, _ := strconv.Atoi(k.tag.Get("min"))
		most, _ := strconv.Atoi(k.tag.Get("max"))
		if n < least || n > most {
			return nil, k.outOfRange(s)
		}
		if check := checks[k.tag.Get("check")]; check != nil {
			return n, check("", s)
		}
		return n, nil
	case duration:
		return k.duration(s)
	}
	return it.text, k.word(it)
}

func (k *key) duration(s string) (time.Duration, error) {
	unit := ""
	if strings.Trim(s, "0123456789.") == "" {
		unit = "s"
	}
	d, err := time.ParseDuration(s + unit)
	if err != nil {
		return 0, fmt.Errorf("%s is not a duration: write a number and its unit, such as %s", quote(s), k.tag.Get("default"))
	}
	least, _ := time.ParseDuration(k.tag.Get("min"))
	most, _ := time.ParseDuration(k.tag.Get("max"))
	if d < least || d > most {
		return 0, k.outOfRange(s)
	}
	if unit != "" {
		return 0, fmt.Errorf("%s has no unit: write %ss", quote(s), s)
	}
	return d, nil
}

func (k *key) outOfRange(s string) error {
	return fmt.Errorf("%s is out of range: write %s to %s", quote(s), k.tag.Get("min"), k.tag.Get("max"))
}

// word checks the rules of strings. Characters that do not print are refused
// everywhere: no key needs one, and logs and CloudWatch do not bear them.
func (k *key) word(it item) error {
	for _, s := range []string{it.name, it.text} {
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			if k.secret() {
				return errors.New("has a character that does not print: remove it")
			}
			return fmt.Errorf("%s has a character that does not print: remove it", quote(s))
		}
	}
	switch words := k.oneof(); {
	case it.text == "" && k.kind == list:
		return errors.New("has an empty entry: remove it")
	case it.text == "" && k.kind == text && k.tag.Get("required") == "":
		return nil
	case it.text == "" && k.kind == text:
		return errors.New("is empty: give it a value, or leave the key out")
	case len(words) > 0 && !slices.Contains(words, it.text):
		return fmt.Errorf("%s is not known: write %s", quote(it.text), strings.Join(words, " or "))
	}
	if check := checks[k.tag.Get("check")]; check != nil {
		return check(it.name, it.text)
	}
	return nil
}

// quote makes one line of bounded length of any text.
func quote(s string) string {
	const most = 60
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strconv.Quote(s)
}

package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Print returns c as a file: every key with its value, each below a comment
// that says what it means. Sinks that are off are left out. It loads back to the
// same configuration, but for secrets, in whose place it has [Hidden].
func Print(c *Config) []byte {
	var b bytes.Buffer
	root.print(&b, "", reflect.ValueOf(c).Elem())
	return b.Bytes()
}

// print writes the keys below k, whose struct is v.
func (k *key) print(b *bytes.Buffer, indent string, v reflect.Value) {
	for i, below := range k.below {
		field := v.Field(i)
		if below.kind == sink {
			if field.IsNil() {
				continue
			}
			field = field.Elem()
		}
		if indent == "" && b.Len() > 0 {
			b.WriteByte('\n')
		}
		comment := "#"
		for word := range strings.FieldsSeq(below.tag.Get("doc")) {
			if len(indent+comment)+1+len(word) > 80 {
				fmt.Fprintf(b, "%s%s\n", indent, comment)
				comment = "#"
			}
			comment += " " + word
		}
		fmt.Fprintf(b, "%s%s\n%s%s:", indent, comment, indent, below.name())
		if below.kind == group || below.kind == sink {
			b.WriteByte('\n')
			below.print(b, indent+"  ", field)
		} else {
			fmt.Fprintf(b, " %s\n", inline(below.shown(field)))
		}
	}
}

// Hidden stands for a secret.
const Hidden = "<hidden>"

// shown returns v, the value of k, without what is secret in it.
func (k *key) shown(v reflect.Value) reflect.Value {
	if !k.secret() || v.Len() == 0 {
		return v
	}
	if k.kind == text {
		return reflect.ValueOf(Hidden)
	}
	names := map[string]string{}
	for _, name := range v.MapKeys() {
		names[name.String()] = Hidden
	}
	return reflect.ValueOf(names)
}

// inline returns a value as YAML in one line.
func inline(v reflect.Value) string {
	value := v.Interface()
	if d, ok := value.(time.Duration); ok {
		value = short(d)
	}
	// Strings, numbers and lists and maps of strings always encode.
	var n yaml.Node
	_ = n.Encode(value)
	n.Style |= yaml.FlowStyle
	line, _ := yaml.Marshal(&n)
	return string(bytes.TrimSpace(line))
}

// short writes a duration with as few units as it takes: 60s, 5m, 1h.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d > time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}

// Key documents one key: a row of the table of all keys.
type Key struct {
	// Name is the path of the key in the file ("sinks.emf.output").
	Name string
	// Type says what may be written ("duration, 1s to 60s").
	Type string
	// Default is the value, as YAML, that the key has where nothing is written;
	// of a sink, whether it is "on" or "off" where there is no file.
	Default string
	// Env is the name of the variable.
	Env string
	// Flags are the names of the flags, with their dashes.
	Flags []string
	// Meaning is one sentence or two.
	Meaning string
	// Values are the only ones that are allowed, in each entry of a list; empty
	// if any is.
	Values []string
}

// Keys documents every key, in the order of the file.
func Keys() []Key {
	c := Default()
	var keys []Key
	for _, k := range root.all() {
		row := Key{Name: k.path, Type: k.kind.String(), Default: k.tag.Get("default"), Env: k.env(), Meaning: k.tag.Get("doc"), Values: k.oneof()}
		for _, name := range k.flags() {
			row.Flags = append(row.Flags, "--"+name)
		}
		if least, most := k.tag.Get("min"), k.tag.Get("max"); least != "" {
			row.Type += ", " + least + " to " + most
		} else if most != "" {
			row.Type += ", at most " + most
		}
		if k.kind != sink {
			row.Default = inline(k.field(c))
		}
		keys = append(keys, row)
	}
	return keys
}

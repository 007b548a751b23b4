package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of numbers in scenarios. They keep sums and products within 64 bits
// and a script within what a person can mean.
const (
	maxFile     = 1 << 20 // bytes
	maxDevices  = 64
	maxSteps    = 1000
	maxAmount   = 1_000_000_000_000
	maxInitial  = 1 << 63
	maxDuration = 1000 * time.Hour
	maxReadings = 1_000_000
)

// source is a scenario file. Its methods read YAML nodes; every error names
// the file and the line.
type source struct{ file string }

func (s source) errorf(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", s.file, max(n.Line, 1), fmt.Sprintf(format, args...))
}

// document returns the one YAML document of text.
func (s source) document(text []byte) (*yaml.Node, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", s.file, maxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s:1: empty: a scenario has devices and steps", s.file)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", s.file, err)
	}
	switch err := d.Decode(&second); {
	case err == nil:
		return nil, s.errorf(&second, "a second document: keep one")
	case !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: %w", s.file, err)
	}
	return doc.Content[0], nil
}

// keys are what a mapping may hold, and what reads each value.
type keys map[string]func(*yaml.Node) error

// mapping reads a mapping and refuses keys that are unknown or there twice.
// It returns the keys that it met, with their nodes.
func (s source) mapping(n *yaml.Node, what string, known keys) (map[string]*yaml.Node, error) {
	if n.Kind != yaml.MappingNode {
		return nil, s.errorf(n, "%s must be a mapping of keys to values", what)
	}
	met := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		if !ok || key.Kind != yaml.ScalarNode {
			return nil, s.errorf(key, "unknown key %q in %s; known are %s", key.Value, what,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if met[key.Value] != nil {
			return nil, s.errorf(key, "key %q is there twice: remove one", key.Value)
		}
		met[key.Value] = value
		if err := read(value); err != nil {
			return nil, err
		}
	}
	return met, nil
}

// list calls read for each element of a sequence.
func (s source) list(n *yaml.Node, what string, most int, read func(*yaml.Node) error) error {
	if n.Kind != yaml.SequenceNode {
		return s.errorf(n, "%s must be a list", what)
	}
	if len(n.Content) > most {
		return s.errorf(n, "%s: %d are more than %d", what, len(n.Content), most)
	}
	for _, c := range n.Content {
		if err := read(c); err != nil {
			return err
		}
	}
	return nil
}

func (s source) text(n *yaml.Node, into *string) error {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		return s.errorf(n, "want a text")
	}
	*into = n.Value
	return nil
}

func (s source) flag(n *yaml.Node, into *bool) error {
	if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
		return s.errorf(n, "want true or false")
	}
	*into = n.Value == "true"
	return nil
}

// number reads a whole number from least to most.
func (s source) number(n *yaml.Node, least, most uint64, into *uint64) error {
	v, err := strconv.ParseUint(n.Value, 10, 64)
	if n.Kind != yaml.ScalarNode || err != nil || v < least || v > most {
		return s.errorf(n, "want a whole number from %d to %d", least, most)
	}
	*into = v
	return nil
}

func (s source) count(n *yaml.Node, least, most int, into *int) error {
	var v uint64
	err := s.number(n, uint64(least), uint64(most), &v)
	*into = int(v)
	return err
}

func (s source) duration(n *yaml.Node, into *time.Duration) error {
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d < 0 || d > maxDuration {
		return s.errorf(n, "want a duration, such as 1500ms or 3s, up to %s", maxDuration)
	}
	*into = d
	return nil
}

// choice reads one of the keys of a table.
func choice[T any](s source, n *yaml.Node, table map[string]T, into *T) error {
	v, ok := table[n.Value]
	if !ok || n.Kind != yaml.ScalarNode {
		return s.errorf(n, "want one of %s", strings.Join(slices.Sorted(maps.Keys(table)), ", "))
	}
	*into = v
	return nil
}

// amounts reads a mapping of stats to numbers up to most.
func (s source) amounts(n *yaml.Node, most uint64, into *[]amount) error {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		return s.errorf(n, "want stats and numbers, as in {bw_in_allowance_exceeded: 5}")
	}
	met := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		a := amount{stat: n.Content[i].Value}
		if met[a.stat] {
			return s.errorf(n.Content[i], "key %q is there twice: remove one", a.stat)
		}
		met[a.stat] = true
		if err := s.number(n.Content[i+1], 0, most, &a.n); err != nil {
			return err
		}
		*into = append(*into, a)
	}
	return nil
}

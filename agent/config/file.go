package config

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/pattern"
)

// file reads the configuration file. Whatever stands in it, nothing is expanded
// and nothing is followed: aliases are refused.
func (l *loader) file(name string, content []byte) {
	at := origin{layer: file, name: name}
	for line := range bytes.Lines(content) {
		at.line++
		if !plain(line) {
			l.fault(at, "", "not UTF-8 text, or a control character in it")
			return
		}
	}
	lines := at.line
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		at.line, err = explain(err, content)
		at.line = min(at.line, lines)
		l.fault(at, "", "bad YAML: %v", err)
	default:
		at.line = second.Line
		l.fault(at, "", "a second YAML document begins here: keep one")
	}
	for _, n := range document.Content {
		l.mapping(root, origin{layer: file, name: name, line: n.Line}, n)
	}
}

// plain reports whether a line has only characters that a YAML file may have.
// The YAML package would refuse the others, but not say where they are.
func plain(line []byte) bool {
	return utf8.Valid(line) && !bytes.ContainsFunc(line, func(r rune) bool {
		return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) || r == '\ufffe' || r == '\uffff'
	})
}

var yamlError = pattern.New(`(?s)^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// parserProblem matches what the package's parser finds, not its scanner:
// there it counts lines from 0 (decode.go, func fail).
var parserProblem = pattern.New(`^did not find expected (<|'|key|node content)|^found (undefined tag|duplicate %|incompatible)`)

// explain takes the line out of an error of the YAML package, and adds what to
// do about the two that a configuration of globs runs into.
func explain(err error, content []byte) (int, error) {
	m := yamlError().FindStringSubmatch(err.Error())
	line, _ := strconv.Atoi(m[1])
	problem := m[2]
	switch anchor, unknown := strings.CutPrefix(problem, "unknown anchor '"); {
	case unknown:
		anchor, _, _ = strings.Cut(anchor, "'")
		before, _, _ := bytes.Cut(content, []byte("*"+anchor))
		line = bytes.Count(before, []byte("\n")) + 1
		problem = "unknown anchor " + quote(anchor) + `: globs need quotes, as in "*"`
	case strings.HasPrefix(problem, "did not find expected alphabetic"):
		problem += `: globs need quotes, as in "*"`
	case parserProblem().MatchString(problem):
		line++
	}
	return max(line, 1), errors.New(problem)
}

// mapping reads the keys below k, a group or sink.
func (l *loader) mapping(k *key, at origin, n *yaml.Node) {
	if short := k.tag.Get("short"); short != "" && n.Kind == yaml.ScalarNode && !empty(n) {
		l.value(k.below[slices.IndexFunc(k.below, func(b *key) bool { return b.name() == short })], at, n)
		return
	}
	if empty(n) || !l.is(k.path, at, n, yaml.MappingNode, "keys below it, or {}") {
		return
	}
	first := make(map[string]int)
	for i := 0; i < len(n.Content); i += 2 {
		if len(l.faults) > maxFaults {
			return
		}
		name, value := n.Content[i], n.Content[i+1]
		at.line = name.Line
		if name.Kind != yaml.ScalarNode || !bareWord(name.Value) {
			l.fault(at, k.path, "%s cannot be a key", shape(name))
			continue
		}
		path := strings.TrimPrefix(k.path+"."+name.Value, ".")
		if line, twice := first[name.Value]; twice {
			l.fault(at, path, "is there twice, first on line %d: remove one", line)
			continue
		}
		first[name.Value] = name.Line
		j := slices.IndexFunc(k.below, func(b *key) bool { return b.name() == name.Value })
		if j < 0 {
			l.fault(at, path, "unknown key: %s", k.suggest(name.Value))
			continue
		}
		switch b := k.below[j]; b.kind {
		case group:
			l.set[b.path] = at
			l.mapping(b, at, value)
		case sink:
			l.set[b.path] = at
			b.switchOn(b.field(l.config))
			l.mapping(b, at, value)
		default:
			l.value(b, at, value)
		}
	}
}

// bareWord reports whether s looks like a key, known or not: it fits into one line.
func bareWord(s string) bool { return len(s) <= 64 && wordForm().MatchString(s) }

var wordForm = pattern.New(`^[\w.-]+$`)

// value reads what stands behind k, a key that has no keys below it.
func (l *loader) value(k *key, at origin, n *yaml.Node) {
	if empty(n) {
		l.fault(at, k.path, "has no value: give it one, or leave the key out")
		return
	}
	var items []item
	add := func(name string, n *yaml.Node) bool {
		here := origin{at.layer, at.name, n.Line}
		items = append(items, item{here, name, n.Value})
		return l.is(k.path, here, n, yaml.ScalarNode, "a single value")
	}
	var ok bool
	switch k.kind {
	case list:
		ok = l.is(k.path, at, n, yaml.SequenceNode, "a list such as [a, b]")
		for i := 0; ok && i < len(n.Content); i++ {
			ok = add("", n.Content[i])
		}
	case table:
		if k.secret() && n.Kind == yaml.ScalarNode {
			l.fault(at, k.path, "wants names and values below it")
			return
		}
		ok = l.is(k.path, at, n, yaml.MappingNode, "names and values below it")
		for i := 0; ok && i < len(n.Content); i += 2 {
			ok = l.is(k.path, at, n.Content[i], yaml.ScalarNode, "single words as names") && add(n.Content[i].Value, n.Content[i+1])
		}
	default:
		ok = add("", n)
	}
	if ok {
		l.assign(k, at, items)
	}
}

// is reports whether n is of a kind, and notes a fault if it is not.
func (l *loader) is(path string, at origin, n *yaml.Node, kind yaml.Kind, wanted string) bool {
	switch {
	case n.Kind == yaml.AliasNode:
		l.fault(at, path, `alias %s: aliases are not supported, and globs need quotes, as in "*"`, quote("*"+n.Value))
	case n.Style&yaml.TaggedStyle != 0:
		l.fault(at, path, "tag %s: tags are not supported: remove it", quote(n.Tag))
	case n.Kind != kind || empty(n):
		l.fault(at, path, "wants %s, not %s", wanted, shape(n))
	default:
		return true
	}
	return false
}

// empty reports whether nothing, ~ or null was written.
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style == 0 }

// shape says in words what was written.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case empty(n):
		return "nothing"
	}
	return quote(n.Value)
}

package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/enawatch/enawatch/agent/pattern"
)

const (
	// DefaultPath is the file that is read if no other is named.
	DefaultPath = "/etc/enawatch/enawatch.yaml"

	envPrefix = "ENAWATCH_"
	// envFile is the only variable that is no key: it names the file.
	envFile = envPrefix + "CONFIG"

	maxFile   = 1 << 20 // bytes
	maxFaults = 100     // that are looked for
)

// Error says all that is wrong with a configuration. The program ends with exit
// code 2.
type Error struct {
	// Faults are one line each. Those of the file come first, by line, then
	// those of the environment, then those of the command line.
	Faults []string
}

// Error returns the faults, one a line.
func (e *Error) Error() string { return strings.Join(e.Faults, "\n") }

// layer is a source of settings. A later one overrides the earlier ones.
type layer uint8

const (
	builtIn layer = iota
	file
	environment
	commandLine
)

// origin is where a setting was written.
type origin struct {
	layer layer
	name  string // of the file, the variable or the flag
	line  int    // of the file, from 1; 0 if a key is missing from it
}

// fault is one thing that is wrong.
type fault struct {
	at        origin
	key, text string // key is "" if the whole file is at fault
}

func (f fault) String() string {
	s := f.at.name
	if f.at.line > 0 {
		s = fmt.Sprintf("%s:%d", s, f.at.line)
	}
	if f.key != "" && f.at.layer <= file {
		s = strings.TrimPrefix(s+": "+f.key, ": ")
	}
	return s + ": " + f.text
}

// loader collects a configuration and everything that is wrong with it.
type loader struct {
	config *Config
	set    map[string]origin // by path: where a key was set last
	faults []fault
}

// Default returns the configuration of a host that has no file, no variables
// and no flags.
func Default() *Config {
	c := new(Config)
	root.setDefaults(reflect.ValueOf(c).Elem())
	for _, k := range root.all() {
		if k.kind == sink && k.tag.Get("default") == "on" {
			k.switchOn(k.field(c))
		}
	}
	return c
}

// Load reads the configuration: defaults, overridden by the file, overridden by
// the environment ("NAME=value" each, as from [os.Environ]), overridden by the
// flags that were set, if there are any.
//
// The file is the one at path or, if that is empty, the one that ENAWATCH_CONFIG
// names; it must exist. Without either it is the one at DefaultPath, if there is
// one. Sinks that are on by default are so only where no file is read.
//
// The error is an *Error, whatever was wrong.
func Load(path string, environ []string, flags *pflag.FlagSet) (*Config, error) {
	return load(path, DefaultPath, environ, flags)
}

func load(path, defaultPath string, environ []string, flags *pflag.FlagSet) (*Config, error) {
	optional := false
	if path == "" {
		for _, e := range environ {
			if name, value, _ := strings.Cut(e, "="); name == envFile {
				path = value
			}
		}
	}
	if path == "" {
		path, optional = defaultPath, true
	}
	content, err := read(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return merge("", nil, environ, flags)
	case err != nil:
		return nil, &Error{Faults: []string{fmt.Sprintf(
			"read the configuration: %v: name a file that can be read with --config or %s, or none", err, envFile)}}
	case len(content) > maxFile:
		return nil, &Error{Faults: []string{path + ": larger than 1 MiB: this is no configuration of enawatch"}}
	}
	return merge(path, content, environ, flags)
}

// read returns the content of a file, but no more than is needed to tell that it
// is too large.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// merge builds a configuration from all layers. An empty path means that there
// is no file.
func merge(path string, content []byte, environ []string, flags *pflag.FlagSet) (*Config, error) {
	l := &loader{config: Default(), set: make(map[string]origin)}
	if path != "" {
		l.config.Sinks = Sinks{}
		l.set["sinks"] = origin{layer: file, name: path}
		l.file(path, content)
	}
	l.environment(environ)
	if flags != nil {
		l.flags(flags)
	}
	l.checkSinks()
	l.checkIntervals()
	l.checkLinkLocal()
	l.checkLifecycle()
	l.checkRemoteWrite()
	if len(l.faults) == 0 {
		return l.config, nil
	}
	slices.SortStableFunc(l.faults, func(a, b fault) int {
		return cmp.Or(cmp.Compare(a.at.layer, b.at.layer), cmp.Compare(a.at.line, b.at.line))
	})
	e := new(Error)
	for i, f := range l.faults {
		if i == maxFaults {
			e.Faults = append(e.Faults, "and more: too many to list")
			break
		}
		e.Faults = append(e.Faults, f.String())
	}
	return nil, e
}

func (l *loader) fault(at origin, path, format string, args ...any) {
	l.faults = append(l.faults, fault{at, path, fmt.Sprintf(format, args...)})
}

// faulty reports whether something is wrong with a key, or below it, or with
// the whole file: then what follows from the key's value is not worth saying.
func (l *loader) faulty(path string) bool {
	return slices.ContainsFunc(l.faults, func(f fault) bool {
		return f.key == "" && f.at.layer == file || f.key == path || strings.HasPrefix(f.key, path+".")
	})
}

// assign sets k to what was written for it, if nothing is wrong with that.
func (l *loader) assign(k *key, at origin, items []item) {
	l.set[k.path] = at
	value, faults := k.parse(at, items)
	switch l.faults = append(l.faults, faults...); {
	case len(faults) > 0:
	case k.kind != sink:
		k.field(l.config).Set(reflect.ValueOf(value))
	case value == true:
		k.switchOn(k.field(l.config))
	default:
		k.field(l.config).SetZero()
	}
}

// serviceLinks are the variables that Kubernetes gives to every pod of a
// namespace with a service named enawatch or enawatch-anything.
var serviceLinks = pattern.New(`^` + envPrefix + `(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func (l *loader) environment(environ []string) {
	vars := make(map[string]string)
	inPod := false
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		inPod = inPod || name == "KUBERNETES_SERVICE_HOST"
		if strings.HasPrefix(name, envPrefix) && name != envFile {
			vars[name] = value
		}
	}
	var known []string
	for _, k := range root.all() {
		known = append(known, strings.TrimPrefix(k.env(), envPrefix))
		if value, ok := vars[k.env()]; ok {
			at := origin{layer: environment, name: k.env()}
			l.assign(k, at, k.split(at, value))
			delete(vars, k.env())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		remedy := "unset it"
		if near := meant(strings.TrimPrefix(name, envPrefix), known); near != "" {
			remedy = "did you mean " + envPrefix + near + "?"
		}
		if !bareWord(name) {
			name = quote(name)
		}
		if !inPod || !serviceLinks().MatchString(name) {
			l.fault(origin{layer: environment, name: name}, name, "unknown variable: %s", remedy)
		}
	}
}

func (l *loader) flags(flags *pflag.FlagSet) {
	for _, k := range root.all() {
		for _, name := range k.flags() {
			if f := flags.Lookup(name); f != nil && f.Changed {
				at := origin{layer: commandLine, name: "--" + name}
				l.assign(k, at, k.split(at, f.Value.String()))
				break
			}
		}
	}
}

// Flags adds a flag for every key to flags. Nothing that is written behind one
// is looked at before Load.
func Flags(flags *pflag.FlagSet) {
	for _, k := range root.all() {
		value := &flagValue{kind: k.kind, text: k.tag.Get("default")}
		if k.kind == sink {
			value.text = ""
		}
		for i, name := range k.flags() {
			usage := k.tag.Get("doc")
			if i > 0 {
				usage = "The same as --" + k.flags()[0] + "."
			} else if words := k.oneof(); len(words) > 0 {
				usage += " Known: " + strings.Join(words, ", ") + "."
			}
			f := flags.VarPF(value, name, "", usage)
			if k.kind == truth || k.kind == sink {
				f.NoOptDefVal = "true"
			}
		}
	}
}

// flagValue keeps what was written behind a flag.
type flagValue struct {
	kind kind
	text string
	set  bool
}

// Set keeps s. It adds it to what is there if the flag of a list or map is
// given more than once.
func (v *flagValue) Set(s string) error {
	if v.set && (v.kind == list || v.kind == table) {
		s = v.text + "," + s
	}
	v.text, v.set = s, true
	return nil
}

// String returns what was written, or the default.
func (v *flagValue) String() string { return v.text }

// Type returns what may be written, for the usage text.
func (v *flagValue) Type() string {
	if v.kind == sink {
		return truth.String() // which pflag shows as nothing
	}
	return v.kind.String()
}

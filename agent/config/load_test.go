package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestBadFiles(t *testing.T) {
	for name, content := range inputs(t, "bad") {
		t.Run(name, func(t *testing.T) {
			_, err := merge(name+".yaml", content, nil, nil)
			if err == nil {
				t.Fatal("no error")
			}
			golden(t, "bad/"+name+".golden", []byte(err.Error()+"\n"))
		})
	}
}

// Each layer overrides those before it, key by key; a list or map as a whole.
func TestLayers(t *testing.T) {
	const content = `
sample_interval: 2s
publish_interval: 20s
dimensions: {A: a, B: b}
interfaces: {include: [a, b], exclude: [c]}
log: {level: debug}
sinks: {emf: {namespace: File}}
`
	environ := []string{
		"PATH=/bin", "ENAWATCH_PUBLISH_INTERVAL=30s", "ENAWATCH_DIMENSIONS=C=c, D = d=e", "ENAWATCH_CONFIG=/not/looked/at",
		"ENAWATCH_INTERFACES_INCLUDE=ens5, ens6", "ENAWATCH_INTERFACES_EXCLUDE=", "ENAWATCH_SINKS_PROMETHEUS_LISTEN=:1",
		"ENAWATCH_SINKS_EMF_NAMESPACE=Environment",
	}
	flags := parseFlags(t, "--publish-interval=40s", "--interfaces.include", "x", "--interfaces.include=y,z",
		"--sinks.emf.namespace", "Flag", "--web.config.file", "w", "--dimensions", "E=e", "--dimensions", "F=f")
	got, err := merge("f.yaml", []byte(content), environ, flags)
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.SampleInterval = 2 * time.Second
	want.PublishInterval = 40 * time.Second
	want.Dimensions = map[string]string{"E": "e", "F": "f"}
	want.Interfaces.Include = []string{"x", "y", "z"}
	want.Log.Level = "debug"
	want.Sinks.EMF.Namespace = "Flag"
	want.Sinks.Prometheus.Listen = ":1"
	want.Sinks.Prometheus.WebConfigFile = "w"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	got, err = merge("f.yaml", []byte(content), environ, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"C": "c", "D": "d=e"}, got.Dimensions); diff != "" {
		t.Errorf("dimensions of the environment (-want +got):\n%s", diff)
	}
}

func TestShortIdentity(t *testing.T) {
	c, err := merge("f.yaml", []byte("identity: static\nsinks: {emf: }"), nil, nil)
	if err != nil || c.Identity.Mode != "static" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestSinks(t *testing.T) {
	emf, prometheus := Default().Sinks.EMF, Default().Sinks.Prometheus
	tests := []struct {
		name, path, content string
		environ, args       []string
		want                Sinks
	}{
		{name: "no file", want: Sinks{EMF: emf, Prometheus: prometheus}},
		{name: "nothing behind the key", path: "f", content: "sinks: {emf: }", want: Sinks{EMF: emf}},
		{name: "null", path: "f", content: "sinks: {emf: ~}", want: Sinks{EMF: emf}},
		{name: "empty mapping", path: "f", content: "sinks: {prometheus: {}}", want: Sinks{Prometheus: prometheus}},
		{name: "a variable below", path: "f", environ: []string{"ENAWATCH_SINKS_EMF_OUTPUT=stdout"}, want: Sinks{EMF: emf}},
		{name: "a flag below", path: "f", args: []string{"--sinks.emf.output=stdout"}, want: Sinks{EMF: emf}},
		{name: "its variable", path: "f", environ: []string{"ENAWATCH_SINKS_EMF=true"}, want: Sinks{EMF: emf}},
		{name: "its flag", path: "f", args: []string{"--sinks.emf"}, want: Sinks{EMF: emf}},
		{name: "off by variable", environ: []string{"ENAWATCH_SINKS_EMF=false"}, want: Sinks{Prometheus: prometheus}},
		{name: "off by flag", path: "f", content: "sinks: {emf: , prometheus: }", args: []string{"--sinks.prometheus=false"}, want: Sinks{EMF: emf}},
		{name: "off by variable, on by flag", path: "f", content: "sinks: {emf: {namespace: X}}",
			environ: []string{"ENAWATCH_SINKS_EMF=false"}, args: []string{"--sinks.emf"}, want: Sinks{EMF: emf}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := merge(test.path, []byte(test.content), test.environ, parseFlags(t, test.args...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.Sinks); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhichFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, namespace string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("sinks: {emf: {namespace: "+namespace+"}}"), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	flag, env, byDefault, none := write("flag", "flag"), write("env", "env"), write("default", "default"), filepath.Join(dir, "none")
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#"), maxFile+1), 0o644); err != nil {
		t.Fatal(err)
	}
	largest := filepath.Join(dir, "largest")
	content := append([]byte("sinks: {emf: {namespace: largest}}\n"), bytes.Repeat([]byte("#"), maxFile)...)[:maxFile]
	if err := os.WriteFile(largest, content, 0o644); err != nil {
		t.Fatal(err)
	}
	remedy := ": name a file that can be read with --config or ENAWATCH_CONFIG, or none"
	tests := []struct {
		name, path, env, byDefault string
		want                       string // namespace, or error
	}{
		{"the flag", flag, env, byDefault, "flag"},
		{"the variable", "", env, byDefault, "env"},
		{"the default", "", "", byDefault, "default"},
		{"no file", "", "", none, "ENA"},
		{"the flag's is missing", none, env, byDefault, "read the configuration: open " + none + ": no such file or directory" + remedy},
		{"the variable's is missing", "", none, byDefault, "read the configuration: open " + none + ": no such file or directory" + remedy},
		{"a directory", dir, "", none, "read the configuration: read " + dir + ": is a directory" + remedy},
		{"the default cannot be read", "", "", dir, "read the configuration: read " + dir + ": is a directory" + remedy},
		{"as large as may be", largest, "", none, "largest"},
		{"too large", large, "", none, large + ": larger than 1 MiB: this is no configuration of enawatch"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := load(test.path, test.byDefault, []string{"ENAWATCH_CONFIG=" + test.env}, nil)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = c.Sinks.EMF.Namespace
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if _, err := Load(none, nil, nil); reflect.TypeOf(err) != reflect.TypeFor[*Error]() {
		t.Errorf("Load returned a %T, want *Error", err)
	}
}

// Files that are as large as a file may be and made to be slow are refused, and
// with a bounded number of messages.
func TestLargeFiles(t *testing.T) {
	repeat := func(prefix, s string) string { return prefix + strings.Repeat(s, (maxFile-len(prefix))/len(s)) }
	var keys, names strings.Builder
	for i := 0; keys.Len() < maxFile-20; i++ {
		fmt.Fprintf(&keys, "sample_%d:\n", i)
	}
	long := strings.Repeat("x", maxFile/4)
	names.WriteString("queue_stats:\n")
	for i := 0; names.Len() < maxFile-20; i++ {
		fmt.Fprintf(&names, " - tx_%d\n", i)
	}
	for name, content := range map[string]string{
		"many unknown keys": keys.String(), "many unknown stats": names.String(),
		"deep lists": repeat("", "["), "deep mappings": repeat("", "{a: "), "deep indents": repeat("", "- "),
		"long glob": repeat("queue_stats: [\"", "*x") + "\"]", "long key": repeat("", "x") + ":", "long value": repeat("zeros: ", "x"),
		"aliases": repeat("a: &a [x]\nzeros: [*a", ",*a") + "]", "long anchor": repeat("zeros: *", "x"), "long alias": "x: &" + long + " y\nzeros: *" + long,
		"many times a key": repeat("", "a:\n"), "same entries": repeat("interfaces: {include: [", "*a,"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := merge("f", []byte(content), nil, nil)
			e, ok := err.(*Error)
			if !ok || len(e.Faults) > maxFaults+1 {
				t.Fatalf("%T with too many faults", err)
			}
			last := e.Faults[len(e.Faults)-1]
			if many := strings.HasPrefix(name, "many"); many != (last == "and more: too many to list") {
				t.Errorf("%d faults, the last %q", len(e.Faults), last)
			}
			for _, f := range e.Faults {
				if len(f) > 500 {
					t.Errorf("a fault of %d bytes: %.200s", len(f), f)
				}
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, kind := range []string{"good", "bad"} {
		for _, content := range inputs(f, kind) {
			f.Add(content, "ENAWATCH_ZEROS=dense")
		}
	}
	for _, test := range faultTests {
		f.Add([]byte(test.file), strings.Join(test.environ, "\n"))
	}
	f.Fuzz(func(t *testing.T, content []byte, environ string) {
		c, err := merge("f.yaml", content, strings.Split(environ, "\n"), nil)
		if err == nil {
			roundTrip(t, c)
			return
		}
		for _, fault := range err.(*Error).Faults {
			if strings.ContainsFunc(fault, unicode.IsControl) {
				t.Errorf("more than one line, or control characters: %q", fault)
			}
		}
	})
}

package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPrintDefault(t *testing.T) {
	golden(t, "default.golden", Print(Default()))
	roundTrip(t, Default())
}

func TestUsage(t *testing.T) {
	golden(t, "usage.golden", []byte(parseFlags(t).FlagUsages()))
}

func TestGoodFiles(t *testing.T) {
	for name, content := range inputs(t, "good") {
		t.Run(name, func(t *testing.T) {
			c, err := merge(name+".yaml", content, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			bare := regexp.MustCompile(`(?m)^( *#.*)?\n`).ReplaceAll(Print(c), nil)
			golden(t, "good/"+name+".golden", bare)
			roundTrip(t, c)
		})
	}
}

func TestContractIsTheDefault(t *testing.T) {
	c, err := merge("contract.yaml", inputs(t, "good")["contract"], nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Errorf("(-default +contract):\n%s", diff)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	c, err := merge("f.yaml", []byte("sinks: {otlp: {headers: {X-Key: hush}}}"), []string{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	printed := string(Print(c))
	if c.Sinks.OTLP.Headers["X-Key"] != "hush" || strings.Contains(printed, "hush") || !strings.Contains(printed, "X-Key: "+Hidden) {
		t.Errorf("%v is printed as\n%s", c.Sinks.OTLP.Headers, printed)
	}
}

// Every key keeps the rules that make the rest of the package work.
func TestKeys(t *testing.T) {
	seen := make(map[string]bool)
	unique := func(name string) {
		t.Helper()
		if seen[name] {
			t.Errorf("%s stands for two keys", name)
		}
		seen[name] = true
	}
	for _, k := range root.all() {
		unique(k.env())
		for _, name := range k.flags() {
			unique(name)
		}
		if !bareWord(k.name()) || k.tag.Get("doc") == "" || strings.Contains(k.tag.Get("doc"), "`") {
			t.Errorf("%s: bad name or doc", k.path)
		}
		if name := k.tag.Get("check"); (name != "") != (checks[name] != nil) {
			t.Errorf("%s: no such check", k.path)
		}
		if _, faults := k.parse(origin{}, k.split(origin{}, k.tag.Get("default"))); k.kind != sink && len(faults) > 0 {
			t.Errorf("%s: default: %v", k.path, faults)
		}
		if k.kind == sink && k.tag.Get("default") != "on" && k.tag.Get("default") != "off" {
			t.Errorf("%s: neither on nor off by default", k.path)
		}
		if (k.kind == duration || k.kind == number) && (k.tag.Get("min") == "" || k.tag.Get("max") == "") {
			t.Errorf("%s: no bounds", k.path)
		}
	}
	if len(Keys()) < 19 {
		t.Errorf("only %d keys", len(Keys()))
	}
	var got []Key
	for _, k := range Keys() {
		switch k.Name {
		case "sample_interval", "interfaces.include", "dimensions", "sinks.emf", "sinks.prometheus.web_config_file":
			got = append(got, k)
		}
	}
	want := []Key{
		{Name: "sample_interval", Type: "duration, 1s to 60s", Default: "1s", Env: "ENAWATCH_SAMPLE_INTERVAL", Flags: []string{"--sample-interval"},
			Meaning: "How often every interface is read. Bursts shorter than this cannot be told apart.", Values: []string{}},
		{Name: "interfaces.include", Type: "list", Default: "['*']", Env: "ENAWATCH_INTERFACES_INCLUDE", Flags: []string{"--interfaces.include"},
			Meaning: "Interfaces to read.", Values: []string{}},
		{Name: "dimensions", Type: "map, at most 27", Default: "{}", Env: "ENAWATCH_DIMENSIONS", Flags: []string{"--dimensions"},
			Meaning: "Fixed dimensions of every metric, besides enawatch's own. CloudWatch bills each combination of values as a metric.", Values: []string{}},
		{Name: "sinks.emf", Type: "switch", Default: "on", Env: "ENAWATCH_SINKS_EMF", Flags: []string{"--sinks.emf"},
			Meaning: "CloudWatch embedded metric format: one JSON line for each window.", Values: []string{}},
		{Name: "sinks.prometheus.web_config_file", Type: "string", Default: `""`, Env: "ENAWATCH_SINKS_PROMETHEUS_WEB_CONFIG_FILE",
			Flags:   []string{"--sinks.prometheus.web-config-file", "--web.config.file"},
			Meaning: "File that switches on TLS and basic authentication, in the format of Prometheus' exporter-toolkit. Empty: neither.", Values: []string{}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The kinds that no key of today has work as the others do.
func TestKinds(t *testing.T) {
	type kinds struct {
		On   bool `yaml:"on" default:"true"`
		Size int  `yaml:"size" default:"8" min:"1" max:"64"`
	}
	keys := keysOf(reflect.TypeFor[kinds](), "", nil)
	tests := []struct {
		key  int
		text string
		want string
	}{
		{0, "true", "true"},
		{0, "false", "false"},
		{0, "yes", `on: "yes" is neither true nor false`},
		{1, "64", "64"},
		{1, "1", "1"},
		{1, "65", `size: "65" is out of range: write 1 to 64`},
		{1, "0", `size: "0" is out of range: write 1 to 64`},
		{1, "1.5", `size: "1.5" is not a whole number: write one such as 8`},
	}
	for _, test := range tests {
		k := keys[test.key]
		value, faults := k.parse(origin{}, k.split(origin{}, test.text))
		got := fmt.Sprint(value)
		if len(faults) > 0 {
			got = faults[0].String()
		}
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.text, got, test.want)
		}
	}
	var v kinds
	(&key{below: keys}).setDefaults(reflect.ValueOf(&v).Elem())
	if diff := cmp.Diff(kinds{true, 8}, v); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
}

// Secrets are not shown.
func TestPrintHidesSecrets(t *testing.T) {
	c := Default()
	c.Sinks.RemoteWrite = &RemoteWrite{Password: "s3cret", BearerToken: "s3cret", Headers: map[string]string{"X-Api-Key": "s3cret"}}
	got := string(Print(c))
	if strings.Contains(got, "s3cret") || strings.Count(got, Hidden) != 3 || !strings.Contains(got, "X-Api-Key") {
		t.Errorf("%s", got)
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second: "1s", time.Minute: "60s", 90 * time.Second: "90s", 2 * time.Minute: "2m", time.Hour: "1h", 90 * time.Minute: "90m", 1500 * time.Millisecond: "1.5s",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%v) = %s, want %s", d, got, want)
		}
	}
}

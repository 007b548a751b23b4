package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/agent/simulate"
)

//go:generate go test . -count=1 -run ^(TestManPages|TestCompletionScripts)$ -update

var update = flag.Bool("update", false, "write what is generated")

const manFolder = "../../docs/man"

func TestManPages(t *testing.T) {
	pages := map[string]string{}
	addManPages(t, rootCommand(), pages)
	if *update {
		writeManPages(t, pages)
	}
	files, err := os.ReadDir(manFolder)
	if err != nil {
		t.Fatalf("%v: run make generate", err)
	}
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(manFolder, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		want, ok := pages[f.Name()]
		if !ok {
			t.Errorf("%s is no command's page: run make generate", f.Name())
		} else if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate (-want +got):\n%s", f.Name(), diff)
		}
		delete(pages, f.Name())
	}
	for name := range pages {
		t.Errorf("%s is missing: run make generate", name)
	}
}

// writeManPages makes the folder hold these pages and no others.
func writeManPages(t *testing.T, pages map[string]string) {
	if err := os.RemoveAll(manFolder); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(manFolder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(manFolder, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// addManPages adds the pages of c and of the commands below it, by file name.
func addManPages(t *testing.T, c *cobra.Command, pages map[string]string) {
	for _, below := range c.Commands() {
		addManPages(t, below, pages)
	}
	prepare(c)
	var page bytes.Buffer
	// The zero time stands for no date: equal commands make equal pages.
	if err := doc.GenMan(c, &doc.GenManHeader{Date: &time.Time{}, Source: "enawatch", Manual: "enawatch"}, &page); err != nil {
		t.Fatal(err)
	}
	pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = tidy(page.String(), sections(c))
}

// literal escapes what cobra/doc would take as Markdown.
var literal = strings.NewReplacer(`\`, `\\`, `_`, `\_`, `*`, `\*`, "`", "\\`", `<`, `\<`, `[`, `\[`, `#`, `\#`)

// prepare writes the texts of c as cobra/doc wants them.
func prepare(c *cobra.Command) {
	c.DisableAutoGenTag = true
	c.InitDefaultHelpFlag()
	c.Flags().VisitAll(prepareFlag)
	if c.Long == "" {
		c.Long = c.Short + "."
	}
	c.Long = literal.Replace(c.Long)
	if c.HasSubCommands() {
		c.DisableFlagsInUseLine = true
		c.Use += " COMMAND"
		c.Long += "\n\n# COMMANDS\n"
		for _, below := range c.Commands() {
			c.Long += fmt.Sprintf("**%s**\n\t%s.\n\n", below.Name(), literal.Replace(below.Short))
		}
	}
}

// prepareFlag has cobra/doc show what may be written behind a flag, where it
// would show the default.
func prepareFlag(f *pflag.Flag) {
	placeholder, usage := pflag.UnquoteUsage(f)
	usage = strings.TrimSuffix(usage, ".") + "."
	if d := f.DefValue; d != "" && d != "false" {
		usage += " Default: " + d + "."
	}
	if f.NoOptDefVal != "" && f.NoOptDefVal != "true" {
		usage += " Without a value: " + f.NoOptDefVal + "."
	}
	f.Usage, f.DefValue = literal.Replace(usage), ""
	isKey := slices.ContainsFunc(config.Keys(), func(k config.Key) bool { return slices.Contains(k.Flags, "--"+f.Name) })
	switch {
	case placeholder != "":
		f.DefValue = "*" + placeholder + "*"
	case isKey: // a switch, which may have to be switched off
		f.DefValue = "false"
	}
}

// exitTexts say what exit codes mean, by command and code.
var exitTexts = map[string][4]string{
	"enawatch": {
		"Done.", exitFailed: "Something failed; of once, a reading that can't be believed; of doctor, a check.",
		exitUsage: "Bad configuration, options or arguments: nothing was started.", exitNoInterface: "Of once and top --once: this host has no ENA interface.",
	},
	"enawatch doctor": {
		"Nothing failed; there may be warnings.", exitFailed: "A check failed: something keeps counters from where they should go.",
		exitUsage: "Bad options or arguments. A fault in the configuration is a check that failed.",
	},
	"enawatch once": {
		"Every reading is valid.", exitFailed: "A reading can't be believed, or the kernel can't be asked.",
		exitUsage: "Bad options or arguments.", exitNoInterface: "This host has no ENA interface.",
	},
	"enawatch top": {
		"Done.", exitFailed: "The agent can't be asked, or the kernel.",
		exitUsage: "Bad options or arguments, or no terminal and not --once.", exitNoInterface: "With --once: this host has no ENA interface.",
	},
}

// sections are what a page has and cobra/doc does not know.
func sections(c *cobra.Command) string {
	var page strings.Builder
	section := func(title string) { fmt.Fprintf(&page, ".SH %s\n", title) }
	item := func(term, text string) { fmt.Fprintf(&page, ".TP\n\\fB%s\\fP\n%s\n\n", term, text) }
	if texts, ok := exitTexts[c.CommandPath()]; ok {
		section("EXIT STATUS")
		for code, text := range texts {
			if text != "" {
				item(strconv.Itoa(code), text)
			}
		}
	}
	if c.Flags().Lookup("config") != nil {
		section("ENVIRONMENT")
		item("ENAWATCH_CONFIG", "The configuration file, where --config names none.")
		item("ENAWATCH_*", "Every option that is a key of the configuration is a variable too, in capitals and with an underscore for\n"+
			"each dot and dash: ENAWATCH_SINKS_EMF_NAMESPACE for --sinks.emf.namespace. The option wins.")
		section("FILES")
		item(config.DefaultPath, "The configuration file, where none is named.")
	}
	return page.String()
}

// item matches a term and its text as cobra/doc sets them, in one paragraph.
var item = regexp.MustCompile(`(?m)^(\.SH .*|\.PP)\n(\\fB.*)\n\t`)

// tidy sets terms and their texts as lists, takes off what cobra/doc puts around
// a default, and adds sections.
func tidy(page, sections string) string {
	page = item.ReplaceAllStringFunc(page, func(s string) string {
		m := item.FindStringSubmatch(s)
		return strings.TrimPrefix(m[1]+"\n.TP\n"+m[2]+"\n", ".PP\n")
	})
	return strings.NewReplacer(`="\fI`, `=\fI`, `\fP"`, `\fP`, `[=]`, ``, `"Jan 0001"`, `""`, ".SH SEE ALSO\n", sections+".SH SEE ALSO\n").Replace(page)
}

// The man page says how the name of a variable follows from that of an option.
func TestVariableRule(t *testing.T) {
	for _, k := range config.Keys() {
		want := "ENAWATCH_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(strings.TrimPrefix(k.Flags[0], "--")))
		if k.Env != want {
			t.Errorf("%s: the variable is %s, want %s", k.Name, k.Env, want)
		}
	}
}

// completionFolder holds the scripts as packages have them.
const completionFolder = "../../packaging/completions"

func TestCompletionScripts(t *testing.T) {
	for shell, mark := range map[string]string{
		"bash": "complete -o default -F __start_enawatch enawatch",
		"zsh":  "#compdef enawatch",
		"fish": "complete -c enawatch",
	} {
		script, message, code := execute(t, "completion", shell)
		if code != 0 || !strings.Contains(script, mark) {
			t.Errorf("%s: exit code %d, %s; the script lacks %q", shell, code, message, mark)
		}
		path := filepath.Join(completionFolder, shell)
		if *update {
			if err := os.WriteFile(path, []byte(script), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if packaged, err := os.ReadFile(path); err != nil || string(packaged) != script {
			t.Errorf("%s is stale, run make generate (%v)", path, err)
		}
		if shell != "bash" {
			continue
		}
		check := exec.CommandContext(t.Context(), "bash", "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("bash can't read its script: %v: %s", err, out)
		}
	}
}

// The scripts ask the program itself what may follow.
func TestCompletions(t *testing.T) {
	var scenarios []string
	for _, s := range simulate.Scenarios() {
		scenarios = append(scenarios, s.Name)
	}
	tests := []struct {
		words []string
		want  []string // among the answers
	}{
		{[]string{""}, []string{"run", "once", "config", "version"}},
		{[]string{"config", ""}, []string{"check", "print"}},
		{[]string{"run", "--simulate="}, scenarios},
		{[]string{"once", "--simulate="}, scenarios},
		{[]string{"run", "--sinks.emf.n"}, []string{"--sinks.emf.namespace"}},
	}
	for _, tt := range tests {
		text, message, code := execute(t, append([]string{cobra.ShellCompRequestCmd}, tt.words...)...)
		var answers []string
		for line := range strings.Lines(text) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			answers = append(answers, word)
		}
		for _, want := range tt.want {
			if !slices.Contains(answers, want) {
				t.Errorf("%q: exit code %d, %s; %q is not among the answers %q", tt.words, code, message, want, answers)
			}
		}
	}
}

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/simulate"
	"github.com/enawatch/enawatch/test/awsfake"
)

// Each example in the pages on EMF and OTLP is run as it stands there: it is the
// whole of /etc/enawatch/enawatch.yaml, in a file system and a network where its
// paths, addresses and names are what they say. Who listens there gets every
// delta. Only the window is shorter than by default.
func TestDocumentedExamples(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"emf.md", "otlp.md"} {
		known := map[string]bool{}
		for _, b := range blocks(t, page) {
			known[b.name] = true
			if b.language != "yaml" {
				continue // TestDocumentedQuery
			}
			ex, ok := examples[page+" "+b.name]
			if !ok {
				t.Errorf("%s: no test knows the example %q:\n%s", page, b.name, b.text)
				continue
			}
			for _, variable := range ex.variables() {
				t.Run(strings.TrimSpace(page+" "+b.name+" "+variable), func(t *testing.T) {
					t.Parallel()
					ledgerPath := filepath.Join(t.TempDir(), "ledger.json")
					var r exampleResult
					runErrand(t, errand{Do: "example", Mounts: true, Script: b.text, Output: page + " " + b.name, Variable: variable}, &r,
						"--scenario", "../enasim/testdata/scenarios/steady-growth.yaml", "--ledger", ledgerPath, "--stop-when-done")
					ex.check(t, r, readLedger(t, ledgerPath))
				})
			}
		}
		for name := range examples {
			if name, ok := strings.CutPrefix(name, page+" "); ok && !known[name] {
				t.Errorf("%s has no example %q", page, name)
			}
		}
	}
}

// The query that the page on EMF shows finds what it names.
func TestDocumentedQuery(t *testing.T) {
	t.Parallel()
	queries := slices.DeleteFunc(blocks(t, "emf.md"), func(b block) bool { return b.language == "yaml" })
	if len(queries) != 1 || queries[0].name != "query" {
		t.Fatalf("blocks %+v", queries)
	}
	out, _ := underRig(t, "../enasim/testdata/scenarios/steady-growth.yaml",
		"run", "--sinks.emf", "--sinks.prometheus=false", "--publish-interval", "2s", "--identity.mode", "static", "--state-dir", t.TempDir())
	fields := regexp.MustCompile(`[a-z]+(_[a-z]+)+|interface`).FindAllString(queries[0].text, -1)
	if len(fields) < 3 {
		t.Fatalf("the query names %v only", fields)
	}
	for _, field := range fields {
		found := false
		for line := range strings.Lines(string(out)) {
			var root map[string]any
			if err := json.Unmarshal([]byte(line), &root); err != nil {
				t.Fatal(err)
			}
			_, list := root[field].([]any)
			found = found || root[field] != nil && !list
		}
		if !found {
			t.Errorf("no document has the scalar %s", field)
		}
	}
}

// block is what stands between two fences.
type block struct{ name, language, text string }

// blocks returns those of a page. Each has a name, in a comment before it.
func blocks(t *testing.T, page string) (all []block) {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "```"); n%2 != 0 {
		t.Fatalf("%s: %d fences", page, n)
	}
	fenced := regexp.MustCompile("(?ms)(?:^<!-- example: ([^\n]+) -->\n)?^```([a-z]*)\n(.*?)^```$")
	for _, m := range fenced.FindAllStringSubmatch(string(text), -1) {
		if m[1] == "" {
			t.Errorf("%s: a block without a name:\n%s", page, m[3])
		}
		all = append(all, block{m[1], m[2], m[3]})
	}
	if n := strings.Count(string(text), "```"); n != 2*len(all) {
		t.Errorf("%s: %d fences, %d blocks", page, n, len(all))
	}
	return all
}

// example is how one of them is tested.
type example struct {
	// receive starts, inside the rig, what the example sends to. What it returns
	// is called when the agent has ended, and returns what came.
	receive func() func() exampleResult
	// env are variables of the environment, each of a run of its own.
	env []string
	// verify says what else must hold of what came.
	verify func(*testing.T, exampleResult)
}

func (ex example) variables() []string {
	if ex.env == nil {
		return []string{""}
	}
	return ex.env
}

type exampleResult struct {
	Lines  []string        // EMF
	Points []awsfake.Point // OTLP
	Groups []awsfake.LogGroup
	Mode   os.FileMode
	Log    string
}

// check compares what came with what happened.
func (ex example) check(t *testing.T, r exampleResult, ledger simulate.Ledger) {
	t.Helper()
	doubts := strings.Count(r.Log, "may count twice")
	var p published
	if len(r.Points) > 0 {
		p = takenBy(t, otlpResult{r.Points, doubts}, ledger)
	} else {
		p = publishedBy(t, []byte(withoutRepeats(t, strings.Join(r.Lines, "\n")+"\n", doubts)))
	}
	for i := range ena.Catalogue() {
		if e := ena.Stat(i).Entry(); e.Kind == metric.Counter && !e.Internal && e.Group != ena.Queue {
			checkCounter(t, e, ledger, p)
		}
	}
	if p.sum["bw_in_allowance_exceeded"] == 0 {
		t.Error("nothing came")
	}
	if ex.verify != nil {
		ex.verify(t, r)
	}
	if t.Failed() {
		t.Logf("the agent's log:\n%s", r.Log)
	}
}

// exampleHost is who the rig's host is, by IMDS.
var exampleHost = awsfake.Instance{
	ID: "i-0123456789abcdef0", Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1", Role: "node",
	ENIs: []awsfake.ENI{
		{ID: "eni-0000000000000005a", MAC: "06:00:00:00:00:05"},
		{ID: "eni-0000000000000006a", MAC: "06:00:00:00:00:06", DeviceNumber: 1},
	},
}

// runExample runs the agent on the configuration in e.Script, which is all that
// it is told, on an EC2 instance: IMDS says who it is and has its credentials,
// the names of AWS lead to the stand-in, and the host trusts that one's
// certificate.
func runExample(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	must(shell(`set -e
ip addr add 169.254.169.254/32 dev lo
for d in /etc /var/lib /var/log /run; do mount -t tmpfs tmpfs $d; done
mkdir -p /etc/enawatch /etc/ssl/certs /var/lib/enawatch /var/log/enawatch /run/enawatch
echo 127.0.0.1 localhost logs.us-east-1.amazonaws.com monitoring.us-east-1.amazonaws.com otel.example.com > /etc/hosts`, ""))
	must(os.WriteFile("/etc/enawatch/enawatch.yaml", []byte(e.Script), 0o644))
	imds, err := awsfake.New(awsfake.Options{Instance: exampleHost})
	must(err)
	must(imds.Listen("169.254.169.254:80"))
	received := examples[e.Output].receive()
	aws, err := awsfake.New(awsfake.Options{TLS: true})
	must(err)
	aws.Keys = imds.Keys
	must(os.WriteFile("/etc/ssl/certs/ca-certificates.crt", aws.CA.PEM, 0o644))
	must(aws.Listen("127.0.0.1:443"))

	var stdout lines
	var log strings.Builder
	c := exec.Command(e.Agent, "run")
	c.Env = []string{"ENAWATCH_PUBLISH_INTERVAL=1s"}
	if e.Variable != "" {
		c.Env = append(c.Env, e.Variable)
	}
	c.Stdout, c.Stderr = &stdout.text, &log
	must(c.Start())
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())

	r := received()
	r.Log = log.String()
	if r.Lines == nil {
		r.Lines = linesOfEMF(stdout.text.String())
	}
	r.Groups = aws.Logs.Groups()
	if r.Points == nil {
		r.Points = aws.OTLP.Points("")
	}
	for _, event := range aws.Logs.Events("", "") {
		r.Lines = append(r.Lines, event.Message)
	}
	must(json.NewEncoder(os.Stdout).Encode(r))
}

func linesOfEMF(text string) []string {
	if text == "" {
		return []string{}
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

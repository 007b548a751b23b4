package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/awsfake"
)

// emitted is what a real run published.
type emitted struct {
	// Metrics are NAMESPACE NAME DIMENSION,... with sorted dimensions.
	Metrics []string
	// Members are those of the root of EMF documents.
	Members []string
	// OTLP are the names at CloudWatch's OTLP endpoint.
	OTLP []string
	// Prometheus are the names on /metrics, and TYPE of node_net_ethtool.
	Prometheus []string
	Log        string
}

// awsOwn are metrics that AWS itself publishes.
var awsOwn = []string{"AWS/EC2 StatusCheckFailed InstanceId", "AWS/AutoScaling GroupInServiceInstances AutoScalingGroupName"}

// Every name in deploy/ is one that the agent publishes.
func TestDeployNamesWhatIsPublished(t *testing.T) {
	t.Parallel()
	var r emitted
	runErrand(t, errand{Do: "deploy", Dir: t.TempDir()}, &r, "--scenario", "testdata/everything-exceeded.yaml", "--stop-when-done")
	r.Members = append(r.Members, podMembers(t)...)
	r.Metrics = append(r.Metrics, awsOwn...)
	if len(r.Metrics) < 20 || len(r.Members) < 20 || len(r.OTLP) < 10 || len(r.Prometheus) < 20 {
		t.Fatalf("the run published too little: %+v", r)
	}
	named := map[string]int{}
	check := func(file, kind, name string, published []string) {
		named[kind]++
		if !slices.Contains(published, name) {
			t.Errorf("%s: nobody emits the %s %q", file, kind, name)
		}
	}
	root := filepath.Join("..", "..", "deploy")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".tf", ".json"}, filepath.Ext(path)) {
			return err
		}
		content, err := os.ReadFile(path)
		text := strings.ReplaceAll(string(content), `\"`, `"`)
		for _, m := range metricsIn(path, text) {
			check(path, "metric", m, r.Metrics)
		}
		for _, m := range promName.FindAllStringSubmatch(text, -1) {
			check(path, "OTLP metric", m[1], r.OTLP)
		}
		for _, m := range promSeries.FindAllStringSubmatch(text, -1) {
			check(path, "Prometheus name", m[1], r.Prometheus)
		}
		for _, name := range typesIn(text) {
			check(path, "Prometheus type", name, r.Prometheus)
		}
		for _, member := range membersIn(path, text) {
			check(path, "EMF member", member, r.Members)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for kind, least := range map[string]int{"metric": 150, "OTLP metric": 5, "Prometheus name": 80, "Prometheus type": 100, "EMF member": 80} {
		if named[kind] < least {
			t.Errorf("only %d of kind %s are named in deploy/: the test does not see them", named[kind], kind)
		}
	}
}

var (
	promName   = regexp.MustCompile(`\{"(system\.[a-z_.]+)"\}`)
	promSeries = regexp.MustCompile(`\b((?:node_net_ethtool|node_ethtool_|ena_|enawatch_)[a-z_]*)[{[]`)
	promType   = regexp.MustCompile(`\btype=~?"([a-z_|]+)"`)
	selected   = regexp.MustCompile(`(?:SUM|MIN|MAX|AVG|COUNT)\(([a-z_]+)\) FROM SCHEMA\("([^"]+)"((?:, [A-Za-z]+)*)\)`)
	searched   = regexp.MustCompile(`\{([A-Za-z]+),([A-Za-z,]+)\} MetricName="([a-z_]+)"`)
	dashed     = regexp.MustCompile(`"(ENA)",\s+"([a-z_]+)",\s+"([A-Za-z]+)",`)
	inTemplate = regexp.MustCompile(`namespace\s+= "([^"]+)"\s+metric_name\s+= "([^"]+)"\s+dimensions\s+= \{([^}]*)\}`)
	keyOf      = regexp.MustCompile(`([A-Za-z]+) = `)
	ruleMember = regexp.MustCompile(`"\$\.([A-Za-z_]+)`)
	logQuery   = regexp.MustCompile(`(?s)query_string\s+= (?:"([^"]*)"|<<-TEXT\n(.*?)\n  TEXT)`)
	alias      = regexp.MustCompile(`\bas ([a-z_]+)`)
	identifier = regexp.MustCompile(`[@A-Za-z_][A-Za-z0-9_]*`)
)

// typesIn lists the values of the label type that selectors name, one of several
// too, or that series have.
func typesIn(text string) (list []string) {
	for _, m := range promType.FindAllStringSubmatch(text, -1) {
		list = append(list, strings.Split(m[1], "|")...)
	}
	return list
}

// metricsIn lists the metrics that a file names, as emitted.Metrics does.
func metricsIn(path, text string) (list []string) {
	add := func(namespace, name string, dimensions []string) {
		slices.Sort(dimensions)
		list = append(list, namespace+" "+name+" "+strings.Join(dimensions, ","))
	}
	for _, m := range selected.FindAllStringSubmatch(text, -1) {
		add(m[2], m[1], strings.Split(strings.TrimPrefix(m[3], ", "), ", "))
	}
	for _, m := range searched.FindAllStringSubmatch(text, -1) {
		add(m[1], m[3], strings.Split(m[2], ","))
	}
	for _, m := range dashed.FindAllStringSubmatch(text, -1) {
		add(m[1], m[2], []string{m[3]})
	}
	for _, m := range inTemplate.FindAllStringSubmatch(text, -1) {
		var names []string
		for _, k := range keyOf.FindAllStringSubmatch(m[3], -1) {
			names = append(names, k[1])
		}
		add(m[1], m[2], names)
	}
	var tree any
	if filepath.Ext(path) == ".yaml" && yaml.Unmarshal([]byte(text), &tree) == nil {
		walk(tree, func(m map[string]any) {
			name, ok := m["MetricName"].(string)
			if !ok {
				return
			}
			var names []string
			dimensions, _ := m["Dimensions"].([]any)
			for _, d := range dimensions {
				names = append(names, d.(map[string]any)["Name"].(string))
			}
			add(m["Namespace"].(string), name, names)
		})
	}
	return list
}

func walk(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, below := range v {
			walk(below, f)
		}
	case []any:
		for _, below := range v {
			walk(below, f)
		}
	}
}

// words of the query language, and the unit of bin(1m).
var words = strings.Fields(`fields filter stats sum by bin as sort desc asc limit m`)

// membersIn lists the members of EMF that a file's rules and queries read.
func membersIn(path, text string) (list []string) {
	if strings.Contains(text, "CloudWatchLogRule") {
		for _, m := range ruleMember.FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
	}
	var queries []string
	for _, m := range logQuery.FindAllStringSubmatch(text, -1) {
		queries = append(queries, m[1]+m[2])
	}
	var tree any
	if filepath.Ext(path) == ".yaml" && yaml.Unmarshal([]byte(text), &tree) == nil {
		walk(tree, func(m map[string]any) {
			for _, key := range []string{"QueryString", "AggregationExpression"} {
				if q, ok := m[key].(string); ok {
					queries = append(queries, q)
				}
			}
		})
	}
	for _, query := range queries {
		var aliases []string
		for _, m := range alias.FindAllStringSubmatch(query, -1) {
			aliases = append(aliases, m[1])
		}
		for _, name := range identifier.FindAllString(query, -1) {
			if !slices.Contains(words, name) && !slices.Contains(aliases, name) && name[0] != '@' {
				list = append(list, name)
			}
		}
	}
	return list
}

// podMembers are the members that a document has beside those of the run, which
// had no Kubernetes around it and did not count who sends.
func podMembers(t *testing.T) []string {
	t.Helper()
	encoder, err := emf.NewEncoder("ENA", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	line, err := encoder.Append(nil, &metric.Batch{
		Start: time.Unix(0, 0), Length: time.Minute, Resource: metric.Resource{Host: "host"},
		Interfaces: []metric.Interface{{Name: "ens5", Pods: &metric.Pods{Names: []string{"a/b"}}}},
		Series:     []metric.Series{{Name: "linklocal_allowance_exceeded", Unit: metric.Count, Scope: metric.PerInterface, Samples: []float64{1}}},
		Senders:    []metric.Sender{{Name: "a/b"}}, ConntrackOwners: []metric.ConntrackOwner{{Owner: "a/b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(line, &root); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Keys(root))
}

// publishEverything runs an agent with every sink of AWS, until the rig asks it
// to stop, and prints what was published.
func publishEverything(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	must(shell("ip addr add "+imdsAddress+"/32 dev lo", ""))
	aws, err := awsfake.New(awsfake.Options{Instance: awsfake.Instance{
		ID: "i-0123456789abcdef0", Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1", Role: "node",
		ENIs: []awsfake.ENI{{ID: "eni-0000000000000005a", MAC: "06:00:00:00:00:05"}},
	}})
	must(err)
	must(aws.Listen(net.JoinHostPort(imdsAddress, "80")))
	file := filepath.Join(e.Dir, "emf.jsonl")
	c := exec.Command(e.Agent, "run", "--publish-interval", "5s", "--state-dir", e.Dir, "--sinks.prometheus.listen", agentAddress,
		"--sinks.cloudwatch.endpoint", aws.URL(), "--sinks.cloudwatch.publish-jitter", "0s", "--sinks.cloudwatch.rollups", "AutoScalingGroupName,ClusterName",
		"--identity.auto-scaling-group", "web", "--identity.cluster", "prod",
		"--sinks.emf.output", "file://"+file, "--sinks.otlp.endpoint", aws.URL(), "--sinks.otlp.sigv4")
	c.Env = []string{"AWS_REGION=us-east-1"}
	var log bytes.Buffer
	c.Stderr = &log
	must(c.Start())
	<-stop.Done()
	scraped := await(context.Background(), "http://"+agentAddress+"/metrics")
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	r := emitted{Log: log.String()}
	r.Prometheus = regexp.MustCompile(`(?m)^[a-z_]+`).FindAllString(scraped, -1)
	r.Prometheus = append(r.Prometheus, typesIn(scraped)...)
	for _, m := range aws.CloudWatch.Metrics() {
		var names []string
		for _, d := range m.Dimensions {
			names = append(names, d.Name)
		}
		slices.Sort(names)
		r.Metrics = append(r.Metrics, m.Namespace+" "+m.Name+" "+strings.Join(names, ","))
	}
	for _, p := range aws.OTLP.Points("") {
		r.OTLP = append(r.OTLP, p.Metric)
	}
	content, err := os.ReadFile(file)
	must(err)
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var root map[string]any
		must(json.Unmarshal(lines.Bytes(), &root))
		r.Members = append(r.Members, slices.Collect(maps.Keys(root))...)
	}
	for _, list := range []*[]string{&r.Metrics, &r.Members, &r.OTLP, &r.Prometheus} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	must(json.NewEncoder(os.Stdout).Encode(r))
}

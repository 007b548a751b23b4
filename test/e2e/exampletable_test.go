package e2e

import (
	"compress/gzip"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// examples are those of the pages, by page and name.
var examples = map[string]example{
	"emf.md stdout":    {receive: nothing},
	"emf.md interface": {receive: nothing, verify: oneOfEachInterface},
	"emf.md file":      {receive: fromFile("/var/log/enawatch/emf.jsonl"), verify: readableByGroup},
	"emf.md tcp":       {receive: fromListener("tcp", "127.0.0.1:25888"), verify: forGroup("/ena/hosts", "i-0123456789abcdef0")},
	"emf.md udp":       {receive: fromListener("udp", "127.0.0.1:25888"), verify: inDatagrams},
	"emf.md unix":      {receive: fromListener("unix", "/run/enawatch/emf.sock"), verify: forGroup("/enawatch/emf", "i-0123456789abcdef0")},
	"emf.md agent": {
		receive: fromListener("tcp", "127.0.0.1:25888", "udp", "127.0.0.1:25889"),
		env:     []string{"", "AWS_EMF_AGENT_ENDPOINT=udp://127.0.0.1:25889"},
		verify:  forGroup("/enawatch/emf", "i-0123456789abcdef0"),
	},
	"emf.md logs": {receive: nothing, verify: inLogGroup},

	"otlp.md collector":  {receive: fromOTLP("127.0.0.1:4318", "/v1/metrics", nil), verify: temporality("delta", "gauge")},
	"otlp.md key":        {receive: fromOTLP("127.0.0.1:4318", "/v1/metrics", http.Header{"X-Api-Key": {"0f1e2d3c"}}), verify: temporality("delta", "gauge")},
	"otlp.md histogram":  {receive: fromOTLP("127.0.0.1:4318", "/v1/metrics", nil), verify: temporality("delta", "exponential_histogram")},
	"otlp.md prometheus": {receive: fromOTLP("127.0.0.1:9090", "/api/v1/otlp/v1/metrics", nil), verify: temporality("cumulative", "gauge")},
	"otlp.md cloudwatch": {receive: nothing, verify: temporality("delta", "gauge")},
}

// nothing is for what the runner looks at itself: standard output, and the
// stand-in for AWS.
func nothing() func() exampleResult { return func() exampleResult { return exampleResult{} } }

// fromFile reads a file.
func fromFile(path string) func() func() exampleResult {
	return func() func() exampleResult {
		return func() exampleResult {
			content, err := os.ReadFile(path)
			must(err)
			at, err := os.Stat(path)
			must(err)
			return exampleResult{Lines: linesOfEMF(string(content)), Mode: at.Mode()}
		}
	}
}

// fromListener listens on addresses, each after its network.
func fromListener(addresses ...string) func() func() exampleResult {
	return func() func() exampleResult {
		var got lines
		var listeners sync.WaitGroup
		sent := make(chan struct{})
		for i := 0; i < len(addresses); i += 2 {
			network, address := addresses[i], addresses[i+1]
			if network == "udp" {
				l, err := net.ListenPacket(network, address)
				must(err)
				listeners.Go(func() { receiveDatagrams(l, sent, &got) })
				continue
			}
			l, err := net.Listen(network, address)
			must(err)
			go func() { <-sent; l.Close() }()
			listeners.Go(func() { accept(l, -1, &got) })
		}
		return func() exampleResult {
			close(sent)
			listeners.Wait()
			return exampleResult{Lines: linesOfEMF(got.text.String())}
		}
	}
}

// fromOTLP takes requests at a path that have a header: in the clear, or if it
// asks for a header, by TLS with a certificate that /etc/enawatch/ca.pem vouches
// for.
func fromOTLP(address, path string, header http.Header) func() func() exampleResult {
	return func() func() exampleResult {
		var mu sync.Mutex
		r, requests := exampleResult{Lines: []string{}}, 0
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			for name := range header {
				if q.Header.Get(name) != header.Get(name) {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
			}
			if q.URL.Path != path || q.Header.Get("Content-Encoding") != "gzip" || q.Header.Get("Content-Type") != "application/x-protobuf" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			z, err := gzip.NewReader(q.Body)
			must(err)
			body, err := io.ReadAll(z)
			must(err)
			mu.Lock()
			defer mu.Unlock()
			points, err := awsfake.DecodeOTLP(body, requests)
			must(err)
			r.Points, requests = append(r.Points, points...), requests+1
			w.Header().Set("Content-Type", "application/x-protobuf")
		}))
		server.Listener.Close()
		var err error
		server.Listener, err = net.Listen("tcp", address)
		must(err)
		if header == nil {
			server.Start()
		} else {
			server.StartTLS()
			must(os.WriteFile("/etc/enawatch/ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
		}
		return func() exampleResult {
			server.Close()
			return r
		}
	}
}

// roots returns what stands at the root of each line.
func roots(t *testing.T, r exampleResult) (all []map[string]any) {
	t.Helper()
	for _, line := range r.Lines {
		var root map[string]any
		if err := json.Unmarshal([]byte(line), &root); err != nil {
			t.Fatal(err)
		}
		all = append(all, root)
	}
	return all
}

// oneOfEachInterface: no document has a list, and each interface has its share of
// the instance's metrics.
func oneOfEachInterface(t *testing.T, r exampleResult) {
	shares := map[any]float64{}
	for _, root := range roots(t, r) {
		if root["interfaces"] != nil {
			t.Errorf("a list of interfaces: %v", root)
		}
		if v, ok := root["bw_in_allowance_exceeded_sum"].(float64); ok {
			shares[root["interface"]] += v
		}
	}
	if len(shares) != 3 || shares[nil] != shares["ens5"]+shares["ens6"] || shares["ens6"] == 0 {
		t.Errorf("shares %v", shares)
	}
}

func readableByGroup(t *testing.T, r exampleResult) {
	if r.Mode != 0o640 {
		t.Errorf("the file's mode is %v", r.Mode)
	}
}

// forGroup: each document tells the CloudWatch agent where it belongs.
func forGroup(group, stream string) func(*testing.T, exampleResult) {
	return func(t *testing.T, r exampleResult) {
		for _, root := range roots(t, r) {
			head, _ := root["_aws"].(map[string]any)
			if head["LogGroupName"] != group || head["LogStreamName"] != stream {
				t.Errorf("a document for %v, %v", head["LogGroupName"], head["LogStreamName"])
			}
		}
	}
}

func inDatagrams(t *testing.T, r exampleResult) {
	forGroup("/enawatch/emf", "i-0123456789abcdef0")(t, r)
	for _, line := range r.Lines {
		if n := len(line) + 1; n >= 8<<10 {
			t.Errorf("a datagram of %d bytes", n)
		}
	}
}

func inLogGroup(t *testing.T, r exampleResult) {
	want := []awsfake.LogGroup{{
		Name: "/enawatch/emf", Class: "STANDARD", RetentionDays: 14,
		Tags: map[string]string{"enawatch:made-by": "sinks.emf"}, Streams: []string{"i-0123456789abcdef0"},
	}}
	if diff := cmp.Diff(want, r.Groups); diff != "" {
		t.Errorf("log groups (-want +got):\n%s", diff)
	}
}

// temporality: sums are of that kind, and points of another kind stand beside
// them; the resource is the host.
func temporality(want, beside string) func(*testing.T, exampleResult) {
	return func(t *testing.T, r exampleResult) {
		n := 0
		for _, p := range r.Points {
			if p.Kind == "sum" && (p.Temporality != want || !p.Monotonic) {
				t.Errorf("%s is %s", p.Metric, p.Temporality)
			}
			if p.Kind == beside && strings.HasPrefix(p.Metric, "system.network.ena.bw_in_allowance_exceeded.") {
				n++
			}
			if p.Resource["host.id"] != "i-0123456789abcdef0" || p.Resource["cloud.region"] != "us-east-1" || p.Resource["host.type"] != "m5.large" {
				t.Fatalf("the resource is %v", p.Resource)
			}
		}
		if n == 0 {
			t.Errorf("no %s beside the sums", beside)
		}
	}
}

//go:build beds

package kubernetes

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
	"github.com/enawatch/enawatch/test/beds/bed"
	"github.com/enawatch/enawatch/test/beds/vm"
)

// programs of the node and of whoever looks at it.
var programs = []string{
	"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl", "containerd", "containerd-shim-runc-v2", "ctr", "helm", "prometheus3",
}

const (
	prometheusAddress = "127.0.0.1:9090"
	imds              = "169.254.169.254"
	introspection     = "127.0.0.1:61679"
	// What the stand-ins for IMDS and the VPC CNI plugin say of the node.
	primary, secondary = "eni-0aaa0000000000001", "eni-0aaa0000000000002"
	coreDNS            = "kube-system/coredns-5d78c9869d-abcde"
)

// TestStory is what happens to a team on EKS: on a node whose network devices
// have the driver ena the chart is installed, the card drops DNS packets, and
// they see it in Prometheus, as an alert, by kubectl, and in the log, with the
// pods of that interface.
func TestStory(t *testing.T) {
	if !vm.Inside() {
		tools := bed.Tools(t, "kubernetes", "containerd", "helm", "prometheus")
		dir := t.TempDir()
		images(t, dir)
		files := map[string]string{"deploy": deploy(), "images": dir, "enis.json": filepath.Join(bed.Root(), "agent", "pods", "testdata", "v1.12-secondary-addresses.json")}
		for _, name := range programs {
			files["tools/"+name] = filepath.Join(tools, name)
		}
		vm.Machine{Memory: 3072, Files: files}.Run(t, "./test/beds/kubernetes")
		return
	}
	s := &story{cluster: startStory(t)}
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"install", s.install},
		{"unprivileged", s.unprivileged},
		{"quiet", s.quiet},
		{"the card drops packets", s.drops},
		{"all of them are counted", s.counted},
		{"it is over", s.over},
	} {
		if !t.Run(step.name, step.run) {
			return // what follows builds on it
		}
	}
}

// story is a cluster and what happened on its node.
type story struct {
	*cluster
	pod     string
	dropped int // packets to link-local addresses, by ens5
}

// startStory gives the node what an EC2 instance has, and starts Prometheus and
// the cluster.
func startStory(t *testing.T) *cluster {
	vm.Load(t, 5, 6)
	for _, device := range []string{"ens5", "ens6"} {
		bed.Run(t, "ip", "link", "set", device, "up")
	}
	dir := "/var/lib/story"
	if err := os.CopyFS(dir, os.DirFS("/bed/images")); err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, dir, "/bed/tools")
	bed.Run(t, "ip", "addr", "add", imds+"/32", "dev", "lo")
	aws, err := awsfake.New(awsfake.Options{Instance: awsfake.Instance{
		ID: "i-0123456789abcdef0", Type: "m5.large", AvailabilityZone: "us-east-1a", ZoneID: "use1-az1",
		ENIs: []awsfake.ENI{{ID: primary, MAC: "06:00:00:00:00:05"}, {ID: secondary, MAC: "06:00:00:00:00:06", DeviceNumber: 1}},
	}})
	if err == nil {
		err = aws.Listen(net.JoinHostPort(imds, "80"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { aws.Close() })
	cni, err := net.Listen("tcp", introspection)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cni.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/enis", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "/bed/enis.json") })
	go http.Serve(cni, mux)

	config := c.write("prometheus.yml", "global: {evaluation_interval: 5s}\nrule_files: ["+deploy("amp", "rules.yaml")+"]\n")
	c.start(filepath.Join(c.tools, "prometheus3"), "--config.file="+config, "--storage.tsdb.path="+c.path("prometheus"), "--web.listen-address="+prometheusAddress, "--web.enable-remote-write-receiver")
	return c
}

func (s *story) install(t *testing.T) {
	s.kubectl("create", "namespace", "enawatch")
	s.kubectl("label", "namespace", "enawatch", "pod-security.kubernetes.io/enforce=privileged")
	s.helm("install", "enawatch", deploy("helm", "enawatch"), "-n", "enawatch", "--set", "image.repository=localhost/enawatch", "--set-string", "image.tag=1",
		"--set", "image.pullPolicy=Never", "--set", "events.enabled=true", "--set", "config.publish_interval=5s",
		"--set", "config.sinks.emf.output=stdout", "--set", "config.sinks.remote_write.url=http://"+prometheusAddress+"/api/v1/write",
		"--set", "config.sinks.kubernetes.recover_after=20s", "--wait", "--timeout", "5m")
	t.Log(s.kubectl("-n", "enawatch", "get", "daemonset,pods", "-o", "wide"))
	s.pod = s.kubectl("-n", "enawatch", "get", "pods", "-o", "jsonpath={.items[*].metadata.name}")
}

// quiet: Prometheus has the counters of both interfaces, and nothing is wrong.
func (s *story) quiet(t *testing.T) {
	for device, eni := range map[string]string{"ens5": primary, "ens6": secondary} {
		query := fmt.Sprintf(`node_net_ethtool{device=%q,eni=%q,type="linklocal_allowance_exceeded"}`, device, eni)
		s.until("Prometheus has "+query, func() bool { return len(s.query(t, query)) == 1 })
	}
	if alerts := s.query(t, "ALERTS"); len(alerts) > 0 {
		t.Errorf("alerts before anything happened: %v", alerts)
	}
	if events := s.kubectl("get", "events", "-n", "default", "--field-selector", "source=enawatch", "-o", "name"); events != "" {
		t.Errorf("Events before anything happened: %s", events)
	}
}

// drops: the card drops packets until everybody has been told.
func (s *story) drops(t *testing.T) {
	alert := fmt.Sprintf(`ALERTS{alertname="LinkLocalAllowanceExceeded",alertstate="firing",device="ens5",eni=%q}`, primary)
	for what, told := range map[string]func() bool{
		"the alert fires":        func() bool { return len(s.query(t, alert)) == 1 },
		"there is an Event":      func() bool { return s.told("LinkLocalExceeded") },
		"the log has a document": func() bool { return len(s.documents(t)) > 0 },
	} {
		s.until(what, func() bool {
			vm.Control(t, 5, "add linklocal_allowance_exceeded 3")
			s.dropped += 3
			return told()
		})
	}
	t.Log(s.query(t, "ALERTS"))
	t.Log(s.kubectl("get", "events", "-n", "default"))
	if n := len(s.query(t, "ALERTS")); n != 1 {
		t.Errorf("%d alerts, want one", n)
	}
	if where := s.events("LinkLocalExceeded", ".involvedObject.name"); where != nodeName {
		t.Errorf("the Event is of %q, want %s", where, nodeName)
	}
}

// counted: Prometheus and the documents of the log have what the card counted,
// and the documents and the live page name the pods of the interface, CoreDNS first.
func (s *story) counted(t *testing.T) {
	s.until("Prometheus has every packet", func() bool {
		values := s.query(t, `node_net_ethtool{device="ens5",type="linklocal_allowance_exceeded"}`)
		return slices.Equal(values, []string{fmt.Sprint(s.dropped)})
	})
	sum := 0
	s.until("the log has every packet", func() bool {
		sum = 0
		for _, d := range s.documents(t) {
			for _, n := range d.Dropped {
				sum += n
			}
		}
		return sum >= s.dropped
	})
	if sum != s.dropped {
		t.Errorf("the log has %d packets, %d were dropped", sum, s.dropped)
	}
	want := document{ENI: primary, Interface: "ens5", Pods: []string{coreDNS, "shop/cart-7f9c7d6c5b-x2x2x"}, DNS: []string{coreDNS}}
	documents := s.documents(t)
	last := documents[len(documents)-1]
	last.Dropped = nil
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("the last document (-want +got):\n%s", diff)
	}
	if page := fetch(t, "/api/v1/live"); !strings.Contains(page, coreDNS+" (cluster DNS)") {
		t.Errorf("the live page does not name CoreDNS: %s", page)
	}
}

// over: an Event says that it is, and the alert ends.
func (s *story) over(t *testing.T) {
	s.until("an Event of the end", func() bool { return s.told("LinkLocalRecovered") })
	s.until("no alert is left", func() bool { return len(s.query(t, "ALERTS")) == 0 })
	t.Log(s.kubectl("get", "events", "-n", "default"))
	for _, reason := range []string{"BandwidthInExceeded", "BandwidthOutExceeded", "PPSExceeded", "ConntrackExceeded"} {
		if found := s.events(reason, ".message"); found != "" {
			t.Errorf("an Event of what did not happen: %s", found)
		}
	}
}

// told reports whether there is an Event with that reason.
func (s *story) told(reason string) bool {
	return strings.Contains(s.get("/api/v1/namespaces/default/events?fieldSelector=source=enawatch,reason="+reason), `"reason":"`+reason+`"`)
}

// query returns the values of a query's series.
func (s *story) query(t *testing.T, query string) (values []string) {
	t.Helper()
	resp, err := http.Get("http://" + prometheusAddress + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return nil // it is starting
	}
	defer resp.Body.Close()
	var answer struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Error(err)
	}
	for _, series := range answer.Data.Result {
		values = append(values, fmt.Sprint(series.Value[1]))
	}
	return values
}

// document is what the test reads of an EMF document of an interface.
type document struct {
	Interface string   `json:"interface"`
	ENI       string   `json:"NetworkInterfaceId"`
	Dropped   []int    `json:"linklocal_allowance_exceeded"`
	Pods      []string `json:"pods"`
	DNS       []string `json:"pods_dns"`
}

// documents are those in the log that say what an interface dropped.
func (s *story) documents(t *testing.T) (found []document) {
	t.Helper()
	for line := range strings.Lines(s.get("/api/v1/namespaces/enawatch/pods/" + s.pod + "/log?container=enawatch")) {
		if !strings.Contains(line, `"linklocal_allowance_exceeded":[`) {
			continue
		}
		var d document
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if slices.ContainsFunc(d.Dropped, func(n int) bool { return n > 0 }) {
			found = append(found, d)
		}
	}
	return found
}

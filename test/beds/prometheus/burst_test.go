//go:build beds

package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/enawatch/enawatch/agent/provision/grafana"
	"github.com/enawatch/enawatch/agent/sink/remotewrite"
)

// scripted are the packets per second of the script, by counter, for a minute.
var scripted = map[string]float64{
	"bw_in_allowance_exceeded": 70, "bw_out_allowance_exceeded": 50, "pps_allowance_exceeded": 640,
	"conntrack_allowance_exceeded": 20, "linklocal_allowance_exceeded": 330,
}

const burstSeconds = 60

// alertNames are those of the guide.
var alertNames = []string{"BWINAllowanceExceeded", "BWOutAllowanceExceeded", "ConntrackAllowanceExceeded", "LinkLocalAllowanceExceeded", "PPSAllowanceExceeded"}

// notifications are what Alertmanager told the webhook, by alert and status.
type notifications struct {
	mu   sync.Mutex
	seen map[string]int
}

func (n *notifications) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body struct {
		Alerts []struct {
			Status              string
			Labels, Annotations map[string]string
		}
	}
	must(json.NewDecoder(r.Body).Decode(&body))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, a := range body.Alerts {
		if a.Labels["instance"] == "bed-host" && a.Labels["device"] == "ens5" && strings.Contains(a.Annotations["description"], "packets per second on ens5") {
			n.seen[a.Status+" "+a.Labels["alertname"]]++
		}
	}
}

// missing lists the alerts that were not told with a status.
func (n *notifications) missing(status string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	faults := []string{}
	for _, name := range alertNames {
		if n.seen[status+" "+name] == 0 {
			faults = append(faults, name+" is not "+status)
		}
	}
	return faults
}

const prometheusConfig = `
global: {evaluation_interval: 5s}
rule_files: [%s]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:9093"]}]}]}
scrape_configs:
- {job_name: scraped, scrape_interval: 500ms, static_configs: [{targets: ["127.0.0.1:9109"]}]}
`

const alertmanagerConfig = `
route: {receiver: hook, group_by: [alertname, device], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers: [{name: hook, webhook_configs: [{url: "http://127.0.0.1:9999/", send_resolved: true}]}]
`

// startAgent starts an agent that pushes.
func startAgent(e errand, dir string, args ...string) *exec.Cmd {
	return start(e.Agent, append([]string{
		"run", "--identity.mode=static", "--identity.host=bed-host", "--identity.cluster=bed", "--sinks.emf=false", "--state-dir=" + filepath.Join(e.Dir, dir),
	}, args...)...)
}

func burst(e errand, found checks) {
	began := time.Now() // and with it the script
	hook := &notifications{seen: map[string]int{}}
	l, err := net.Listen("tcp", "127.0.0.1:9999")
	must(err)
	go http.Serve(l, hook)
	config, am := filepath.Join(e.Dir, "prometheus.yml"), filepath.Join(e.Dir, "alertmanager.yml")
	must(os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, filepath.Join(e.Root, "deploy", "amp", "rules.yaml")), 0o644))
	must(os.WriteFile(am, []byte(alertmanagerConfig), 0o644))
	empty := filepath.Join(e.Dir, "empty.yml")
	must(os.WriteFile(empty, nil, 0o644))

	alertmanager := start("prometheus-alertmanager", "--config.file="+am, "--storage.path="+filepath.Join(e.Dir, "am"),
		"--web.listen-address=127.0.0.1:9093", "--cluster.listen-address=")
	defer stop(alertmanager)
	two := start("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(e.Dir, "two"),
		"--web.listen-address=127.0.0.1:9090", "--web.enable-remote-write-receiver", "--log.level=warn")
	defer stop(two)
	startThree := func() *exec.Cmd {
		return start(filepath.Join(e.Tools, "prometheus3"), "--config.file="+empty, "--storage.tsdb.path="+filepath.Join(e.Dir, "three"),
			"--web.listen-address=127.0.0.1:9190", "--web.enable-remote-write-receiver", "--log.level=warn")
	}
	three := startThree()
	ready("http://127.0.0.1:9090/-/ready")
	ready("http://127.0.0.1:9190/-/ready")
	ready("http://127.0.0.1:9093/-/ready")
	first := startAgent(e, "first", "--sinks.prometheus.listen=127.0.0.1:9109", "--sinks.remote-write.url=http://127.0.0.1:9090/api/v1/write")
	second := startAgent(e, "second", "--sinks.prometheus.listen=127.0.0.1:9110", "--sinks.remote-write.url=http://127.0.0.1:9190/api/v1/write",
		"--sinks.remote-write.interval=1s", "--sinks.remote-write.names=native,showmax,node_exporter")

	found["refusals of 2.42"] = refusals(remotewrite.Options{URL: "http://127.0.0.1:9090/api/v1/write"})
	found["refusals of 3.16"] = refusals(remotewrite.Options{URL: "http://127.0.0.1:9190/api/v1/write"})
	prom2, prom3 := server{address: "http://127.0.0.1:9090"}, server{address: "http://127.0.0.1:9190"}
	until(began.Add(45 * time.Second))
	stop(three)
	until(began.Add(53 * time.Second))
	three = startThree()
	until(began.Add(78 * time.Second))
	found["rates of the guide's queries"] = guideRates(prom2, began)
	found["dashboards"] = panels(prom2)
	found["alerts fire"] = hook.missing("firing")
	await(began.Add(4*time.Minute), func() bool { return len(hook.missing("resolved")) == 0 })
	found["alerts resolve"] = hook.missing("resolved")
	found["pushed equals scraped"] = scrapedToo(prom2, began)
	found["protocol with 2.42"] = speaks("http://127.0.0.1:9109/metrics", 1)
	found["protocol with 3.16"] = speaks("http://127.0.0.1:9110/metrics", 2)
	missed, missedToo := missedTicks("http://127.0.0.1:9109/metrics"), missedTicks("http://127.0.0.1:9110/metrics")

	stop(first)
	stop(second)
	ended := time.Now()
	found["conservation with 2.42"] = grown(prom2, began, ended, `node_net_ethtool{instance="bed-host",device="ens5",type=%q}`, 15*time.Second, missed)
	found["conservation with 3.16, which is down for a while"] = slices.Concat(
		grown(prom3, began, ended, `node_net_ethtool{instance="bed-host",device="ens5",type=%q}`, time.Second, missedToo),
		grown(prom3, began, ended, `{__name__="node_ethtool_%s",device="ens5"}`, time.Second, missedToo),
		grown(prom3, began, ended, `{__name__="ena_%s_total",interface="ens5"}`, time.Second, missedToo))
	found["end of series"] = []string{}
	for _, s := range []server{prom2, prom3} {
		if left, err := s.query(`{instance="bed-host",__name__!~"metric:.*|ALERTS.*"}`, ended.Add(time.Second)); err != nil || len(left) > 0 {
			found["end of series"] = append(found["end of series"], fmt.Sprintf("%s: after the end there are still %d, %v", s.address, len(left), err))
		}
	}
	stop(three)
}

func until(t time.Time) { time.Sleep(time.Until(t)) }

func await(latest time.Time, done func() bool) {
	for !done() && time.Now().Before(latest) {
		time.Sleep(200 * time.Millisecond)
	}
}

// guideRates asks for the guide's rates over thirty seconds of samples that are
// fifteen apart, in the middle of the burst.
func guideRates(s server, began time.Time) []string {
	faults := []string{}
	for stat, rate := range scripted {
		expr := fmt.Sprintf(`rate(node_net_ethtool{instance="bed-host",device="ens5",type=%q}[30s])`, stat)
		list, err := s.queryRange(expr, began.Add(56*time.Second), began.Add(74*time.Second), 2*time.Second)
		if err != nil || len(list) != 1 || len(list[0].Points) < 10 {
			faults = append(faults, fmt.Sprintf("%s: %v, %v", expr, list, err))
			continue
		}
		for _, p := range list[0].Points {
			if math.Abs(p.Value-rate) > rate/10 {
				faults = append(faults, fmt.Sprintf("%s is %v at %v, scripted are %v", expr, p.Value, p.At, rate))
			}
		}
	}
	return faults
}

// panels runs every query of every dashboard as Grafana would with all values
// chosen. None may be empty.
func panels(s server) []string {
	faults := []string{}
	list, err := grafana.Dashboards()
	must(err)
	fill := strings.NewReplacer("$__rate_interval", "1m", "$__range", "5m", "$cluster", ".*", "$node", ".*", "$eni", ".*")
	queries := 0
	for _, d := range list {
		for panel, exprs := range d.Exprs {
			for _, expr := range exprs {
				queries++
				if got, err := s.query(fill.Replace(expr), time.Now()); err != nil || len(got) == 0 {
					faults = append(faults, fmt.Sprintf("%s, %s: %s returns %d series, %v", d.Path, panel, expr, len(got), err))
				}
			}
		}
	}
	if queries < 20 {
		faults = append(faults, fmt.Sprintf("only %d queries", queries))
	}
	return faults
}

// scrapedToo compares each sample that was pushed with those that were scraped
// around its time: the same reading is among them.
func scrapedToo(s server, began time.Time) []string {
	faults := []string{}
	now := time.Now()
	window := fmt.Sprintf("[%ds]", int(now.Sub(began).Seconds()))
	pushed, err := s.query(`node_net_ethtool{instance="bed-host"}`+window, now)
	must(err)
	scraped, err := s.query(`node_net_ethtool{job="scraped"}`+window, now)
	must(err)
	by := map[string]series{}
	for _, v := range scraped {
		by[v.Metric["device"]+" "+v.Metric["type"]] = v
	}
	compared := 0
	for _, v := range pushed {
		key := v.Metric["device"] + " " + v.Metric["type"]
		other, ok := by[key]
		if !ok {
			faults = append(faults, key+" is not scraped")
			continue
		}
		for _, p := range v.Points {
			same, near := false, 0
			for _, q := range other.Points {
				if q.At >= p.At && q.At < p.At+2 {
					near++
					same = same || q.Value == p.Value
				}
			}
			if near < 2 {
				continue // before the first scrape or after the last
			}
			compared++
			// The readings of these two are counted by the driver itself, so that
			// no two are alike.
			if !same {
				faults = append(faults, fmt.Sprintf("%s: %v was pushed at %v, and never scraped then", key, p.Value, p.At))
			}
		}
	}
	if compared < 100 {
		faults = append(faults, fmt.Sprintf("only %d samples were compared", compared))
	}
	return faults
}

// speaks reports where the agent does not speak that version.
func speaks(address string, version int) []string {
	page, err := get(context.Background(), address, nil)
	if want := fmt.Sprintf("enawatch_remote_write_protocol_version %d", version); err != nil || !strings.Contains(string(page), want) {
		return []string{fmt.Sprintf("%s does not say %s, %v", address, want, err)}
	}
	return []string{}
}

// missedTicks returns how many seconds the agent says that it was not given the
// processor in time.
func missedTicks(address string) float64 {
	page, err := get(context.Background(), address, nil)
	must(err)
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, "enawatch_missed_ticks_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(err)
			return n
		}
	}
	must(fmt.Errorf("%s does not say how many ticks were missed", address))
	return 0
}

// grown compares what each counter grew by with the script, and that samples are
// that far apart, but for what missed ticks delay: each makes one gap longer by a
// second, and the next shorter.
func grown(s server, began, ended time.Time, selector string, every time.Duration, missed float64) []string {
	faults := []string{}
	for stat, rate := range scripted {
		expr := fmt.Sprintf(selector, stat)
		list, err := s.query(expr+fmt.Sprintf("[%ds]", int(ended.Sub(began).Seconds())+1), ended)
		if err != nil || len(list) != 1 {
			faults = append(faults, fmt.Sprintf("%s: %d series, %v", expr, len(list), err))
			continue
		}
		points := list[0].Points
		if growth := points[len(points)-1].Value - points[0].Value; growth != rate*burstSeconds {
			faults = append(faults, fmt.Sprintf("%s grew by %v, scripted are %v", expr, growth, rate*burstSeconds))
		}
		astray, where := 0.0, ""
		for i := 2; i < len(points)-1; i++ { // the first and the last are taken out of turn
			if gap := points[i].At - points[i-1].At; math.Abs(gap-every.Seconds()) > 0.001 {
				astray += math.Abs(gap - every.Seconds())
				where += fmt.Sprintf(", %v s until %v", gap, points[i].At)
			}
		}
		if astray > 2*missed+0.001 {
			faults = append(faults, fmt.Sprintf("%s: with %v ticks missed, samples are unevenly apart%s", expr, missed, where))
		}
	}
	return faults
}

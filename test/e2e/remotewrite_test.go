package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/test/awsfake"
)

// What a workspace has of each counter grew by what the script says, through
// resets of the device and a workspace that is away for three seconds; each
// series has a sample for every second, and an end.
func TestRemoteWrite(t *testing.T) {
	t.Parallel()
	for _, scenario := range []string{"steady-growth", "true-reset"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ledgerPath := filepath.Join(dir, "ledger.json")
			var r pushResult
			runErrand(t, errand{Do: "push", Dir: dir}, &r,
				"--scenario", "../enasim/testdata/scenarios/"+scenario+".yaml", "--ledger", ledgerPath, "--stop-when-done")
			ledger := readLedger(t, ledgerPath)
			grown, named := grownBy(t, r.Series)
			for i := range ena.Catalogue() {
				e := ena.Stat(i).Entry()
				if e.Kind != metric.Counter || e.Internal || e.Group == ena.Queue || e.Name == "interface_up" {
					continue
				}
				for _, d := range ledger.Devices {
					key := d.MAC + " ena_" + strings.TrimPrefix(e.Name, "ena_") + "_total"
					if want := d.Stats[e.Name].Added; grown[key] != float64(want) {
						t.Errorf("%s: grew by %v, %d happened", key, grown[key], want)
					}
				}
			}
			if named["node_net_ethtool"] == 0 || named["node_ethtool_bw_in_allowance_exceeded"] == 0 {
				t.Errorf("other name sets are missing: %v", named)
			}
			if r.Refused == 0 {
				t.Error("the workspace was never away")
			}
			if strings.Contains(r.Log, "data were dropped") {
				t.Errorf("samples were dropped:\n%s", r.Log)
			}
		})
	}
}

// grownBy returns what counters grew by from their first sample to their last,
// by MAC address and name, and how many series each name has.
func grownBy(t *testing.T, all []awsfake.Series) (grown map[string]float64, named map[string]int) {
	t.Helper()
	grown, named = map[string]float64{}, map[string]int{}
	for _, s := range all {
		name := s.Label("__name__")
		named[name]++
		last := len(s.Samples) - 1
		if last < 1 || !s.Samples[last].Stale() {
			t.Errorf("%s: %d samples, and no end", name, last+1)
			continue
		}
		if s.Label("instance_id") != "i-0123456789abcdef0" || s.Label("instance") == "" || s.Label("team") != "net" {
			t.Errorf("%v", s.Labels)
		}
		for n := 1; n < last; n++ {
			gap := s.Samples[n].Timestamp - s.Samples[n-1].Timestamp
			// The first and the last are taken when the agent starts and ends.
			if regular := n > 1 && n < last-1; regular && gap != 1000 || gap < 0 || gap > 1500 {
				t.Errorf("%s: %d ms from sample %d to the next", name, gap, n-1)
			}
		}
		if strings.HasPrefix(name, "ena_") && strings.HasSuffix(name, "_total") {
			grown[s.Label("mac")+" "+name] += s.Samples[last-1].Value - s.Samples[0].Value
		}
	}
	return grown, named
}

type pushResult struct {
	Series  []awsfake.Series
	Refused int // attempts that failed
	Log     string
}

// pushing runs an agent beside a workspace that goes away for three seconds,
// until the rig asks it to stop.
func pushing(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	const workspace = "ws-12345678-1234-1234-1234-123456789012"
	c := exec.Command(e.Agent, "run", "--sinks.emf=false", "--sinks.prometheus=false", "--state-dir", e.Dir,
		"--identity.mode", "static", "--identity.instance-id", "i-0123456789abcdef0",
		"--sinks.remote-write.url", aws.URL()+"/workspaces/"+workspace+"/api/v1/remote_write", "--sinks.remote-write.auth", "sigv4",
		"--sinks.remote-write.interval", "1s", "--sinks.remote-write.names", "native,showmax,node_exporter", "--sinks.remote-write.external-labels", "team=net")
	c.Env = []string{
		"AWS_EC2_METADATA_DISABLED=true", "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID=" + awsfake.DefaultCredential.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + awsfake.DefaultCredential.SecretAccessKey,
	}
	var log bytes.Buffer
	c.Stderr = &log
	must(c.Start())
	time.AfterFunc(2*time.Second, func() { aws.Refuse(3 * time.Second) })
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	os.Stderr.Write(log.Bytes())
	must(json.NewEncoder(os.Stdout).Encode(pushResult{
		aws.Prometheus.Series(workspace, nil), strings.Count(log.String(), "delivery failed"), log.String(),
	}))
}

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/awsfake"
)

// Forty windows, of a second each for want of forty minutes, in which nothing
// listens: they all arrive, in order, each with its own time. Only a request that
// was cut off on its way, which the agent says, may arrive twice.
func TestOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	scenario, ledgerPath := filepath.Join(dir, "outage.yaml"), filepath.Join(dir, "ledger.json")
	text := `
devices:
- {name: ens5, driver: 2.17.0, initial: {bw_in_allowance_exceeded: 11072}}
steps:
- {at: 8s, rate: {bw_in_allowance_exceeded: 7, linklocal_allowance_exceeded: 31}, for: 44s}
end: {at: 54s}
`
	if err := os.WriteFile(scenario, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var r outageResult
	runErrand(t, errand{Do: "outage", Dir: filepath.Join(dir, "state")}, &r,
		"--scenario", scenario, "--ledger", ledgerPath, "--stop-when-done")
	ledger := readLedger(t, ledgerPath)
	if added := ledger.Devices[0].Stats["bw_in_allowance_exceeded"].Added; r.Sum != float64(added) || added == 0 {
		t.Errorf("CloudWatch has %v, %d happened", r.Sum, added)
	}
	if r.Twice > 2*r.Doubts {
		t.Errorf("%d data of two metrics arrived twice, the agent was in doubt about %d windows", r.Twice, r.Doubts)
	}
	late := 0
	for i, w := range r.Windows {
		again := r.Doubts > 0 && i > 0 && w.Of.Equal(r.Windows[i-1].Of)
		if i > 0 && !w.Of.After(r.Windows[i-1].Of) && !again {
			t.Errorf("window %v arrived after %v", w.Of, r.Windows[i-1].Of)
		}
		if w.Arrived.Sub(w.Of) > 5*time.Second {
			late++
		}
	}
	if len(r.Windows) < 45 || late < 30 {
		t.Errorf("%d windows, %d of them late: the outage did not hold them up", len(r.Windows), late)
	}
}

type outageResult struct {
	Sum     float64 // without what arrived twice
	Twice   int
	Doubts  int // windows that the agent said it might have sent twice
	Windows []struct{ Of, Arrived time.Time }
}

// throughOutage runs an agent whose destination is gone for 40 s, until the rig
// asks it to stop.
func throughOutage(e errand) {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	aws, err := awsfake.Start(awsfake.Options{})
	must(err)
	var log bytes.Buffer
	c := startAgent(e, aws, &log)
	for len(aws.Journal.Requests("cloudwatch", "PutMetricData")) < 2 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-stop.Done():
			must(errors.New("no window arrived before the outage"))
		}
	}
	aws.Refuse(40 * time.Second)
	<-stop.Done()
	must(c.Process.Signal(syscall.SIGTERM))
	must(c.Wait())
	os.Stderr.Write(log.Bytes())

	r := outageResult{Doubts: strings.Count(log.String(), "may count twice")}
	for _, m := range []string{"bw_in_allowance_exceeded", "heartbeat"} {
		s := aws.CloudWatch.Summarize(awsfake.MetricQuery{Name: m})
		r.Twice += s.Duplicates
		if m == "bw_in_allowance_exceeded" {
			r.Sum = s.Sum - s.DuplicateSum
		}
	}
	beats := aws.CloudWatch.Data(awsfake.MetricQuery{Name: "heartbeat"})
	requests := aws.Journal.Requests("cloudwatch", "PutMetricData")
	for i, d := range beats {
		w := struct{ Of, Arrived time.Time }{Of: d.Timestamp}
		if i < len(requests) {
			w.Arrived = requests[i].At // each request holds one heartbeat
		}
		r.Windows = append(r.Windows, w)
	}
	must(json.NewEncoder(os.Stdout).Encode(r))
}

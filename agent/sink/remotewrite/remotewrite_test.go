package remotewrite

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/test/awsfake"
)

func TestMain(m *testing.M) {
	awsfake.ForgetEnvironment()
	os.Exit(m.Run())
}

const workspace = "ws-0f3c9a52-b1d7-e864-0000-0a1b2c3d4e5f"

// writePath is that of the workspace's receiver.
const writePath = "/workspaces/" + workspace + "/api/v1/remote_write"

func options(url string) Options {
	c := awsfake.DefaultCredential
	return Options{
		URL: url, Auth: SigV4, Region: "us-east-1", Version: V1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		Names:       []string{"showmax"}, Want: func(stat string) bool { return strings.Contains(stat, "_allowance_") }, AgentVersion: "1",
		Host: func() Host { return Host{Cluster: "blue", Node: "node-7", Zone: "us-east-1a"} },
	}
}

func newSink(t testing.TB, o Options) *Sink {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// snapshot returns a host with interfaces that have each counted so much.
func snapshot(at time.Time, counted uint64, interfaces ...string) *metric.Snapshot {
	s := &metric.Snapshot{At: at, Resource: metric.Resource{Host: "ip-10-0-0-7", InstanceID: "i-0123456789abcdef0"}}
	for _, name := range interfaces {
		s.Interfaces = append(s.Interfaces, metric.InterfaceState{
			Interface: metric.Interface{Name: name, MAC: "0a:00:00:00:00:0" + name[3:], ENI: "eni-0" + name[3:]}, Driver: metric.Driver{Name: "ena"}, Verdict: "valid",
			Raw: []metric.RawStat{
				{Name: "bw_in_allowance_exceeded", Value: counted}, {Name: "linklocal_allowance_exceeded", Value: 2 * counted},
				{Name: "queue_0_tx_cnt", Value: 7},
			},
		})
	}
	return s
}

// deliver hands requests to the sink as a delivery does, halving what is to be
// halved, and returns what became of how many samples.
func deliver(t testing.TB, s *Sink, requests []sink.Request) (accepted int, dropped map[sink.Kind]int) {
	t.Helper()
	dropped = map[sink.Kind]int{}
	for len(requests) > 0 {
		r := requests[0]
		requests = requests[1:]
		err := s.Deliver(t.Context(), r.Data)
		if err == nil {
			accepted += r.Points
			continue
		}
		e, ok := err.(*sink.Error)
		if !ok {
			t.Fatalf("%T: %v", err, err)
		}
		parts := s.Split(r.Data)
		if e.Kind == sink.Poisoned && parts != nil {
			requests = append(parts, requests...)
			continue
		}
		dropped[e.Kind] += r.Points
	}
	return accepted, dropped
}

// A host whose clock is an hour behind gets the credentials of a role all the same,
// and then the workspace: each learns the difference from one refusal.
func TestClockOfRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/monitoring"
	aws, err := awsfake.Start(awsfake.Options{Roles: []awsfake.Role{{ARN: role}}})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	aws.SetSkew(time.Hour)
	t.Setenv("AWS_ENDPOINT_URL_STS", aws.URL())
	o := options(aws.URL() + writePath)
	o.RoleARN = role
	s := newSink(t, o)
	request := s.Sample(snapshot(time.Now().Truncate(time.Second).Add(time.Hour), 5, "ens5"))[0]
	for _, who := range []string{"get AWS credentials", "remote write"} {
		err := s.Deliver(t.Context(), request.Data)
		if e, ok := err.(*sink.Error); !ok || e.Kind != sink.Credentials || !strings.HasPrefix(err.Error(), who) {
			t.Fatalf("%v, want the clock refused at %s", err, who)
		}
	}
	if err := s.Deliver(t.Context(), request.Data); err != nil {
		t.Error(err)
	}
}

// Once a signature had the workspace's own time, what is refused is not the clock's.
func TestForbiddenWithAWrongClock(t *testing.T) {
	ahead := time.Hour
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer receiver.Close()
	s := newSink(t, options(receiver.URL+writePath))
	request := s.Sample(snapshot(time.Now().Truncate(time.Second), 5, "ens5"))[0]
	for n, clock := range []bool{true, false, false, true, false} {
		if n == 3 {
			ahead = 0 // the clock was set
		}
		e, ok := s.Deliver(t.Context(), request.Data).(*sink.Error)
		if !ok || e.Kind != sink.Credentials || (e.Remedy == awsclient.RemedyClock) != clock {
			t.Errorf("request %d: %v (%s), want the clock to be blamed: %t", n, e, e.Remedy, clock)
		}
	}
}

// What a workspace of AMP has after two snapshots, of which the second lacks an
// interface, and the end. The stand-in checks each signature.
func TestWorkspace(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	o := options(aws.URL() + writePath)
	o.ExternalLabels = map[string]string{"cluster": "green", "team": "net"}
	s := newSink(t, o)
	at := time.Now().Truncate(time.Second).Add(-15 * time.Second)
	requests := s.Sample(snapshot(at, 5, "ens5", "ens6"))
	requests = append(requests, s.Sample(snapshot(at.Add(15*time.Second), 9, "ens5"))...)
	requests = append(requests, s.End()...)
	if accepted, dropped := deliver(t, s, requests); len(dropped) > 0 {
		t.Fatalf("accepted %d, dropped %v", accepted, dropped)
	}
	var got []string
	for _, v := range aws.Prometheus.Series(workspace, nil) {
		var b strings.Builder
		for _, l := range v.Labels {
			if l.Name != "goversion" {
				fmt.Fprintf(&b, "%s=%s ", l.Name, l.Value)
			}
		}
		for _, sample := range v.Samples {
			value := fmt.Sprint(sample.Value)
			if sample.Stale() {
				value = "stale"
			}
			fmt.Fprintf(&b, "[%s@%d]", value, sample.Timestamp-at.UnixMilli())
		}
		got = append(got, b.String())
	}
	const common = "availability_zone=us-east-1a cluster=green "
	const common2 = "instance=ip-10-0-0-7 instance_id=i-0123456789abcdef0 "
	const after = "node=node-7 team=net "
	want := []string{
		"__name__=enawatch_build_info " + common + common2 + after + "version=1 [1@0][1@15000][stale@15001]",
		"__name__=enawatch_host_info " + common + "host=ip-10-0-0-7 " + common2 + after + "[1@0][1@15000][stale@15001]",
		"__name__=enawatch_interface_verdict " + common + "eni=eni-05 " + common2 + "interface=ens5 mac=0a:00:00:00:00:05 " + after + "verdict=valid [1@0][1@15000][stale@15001]",
		"__name__=enawatch_interface_verdict " + common + "eni=eni-06 " + common2 + "interface=ens6 mac=0a:00:00:00:00:06 " + after + "verdict=valid [1@0][stale@15000]",
		"__name__=node_net_ethtool " + common + "device=ens5 eni=eni-05 " + common2 + after + "type=bw_in_allowance_exceeded [5@0][9@15000][stale@15001]",
		"__name__=node_net_ethtool " + common + "device=ens5 eni=eni-05 " + common2 + after + "type=linklocal_allowance_exceeded [10@0][18@15000][stale@15001]",
		"__name__=node_net_ethtool " + common + "device=ens6 eni=eni-06 " + common2 + after + "type=bw_in_allowance_exceeded [5@0][stale@15000]",
		"__name__=node_net_ethtool " + common + "device=ens6 eni=eni-06 " + common2 + after + "type=linklocal_allowance_exceeded [10@0][stale@15000]",
		"__name__=node_net_ethtool_info " + common + "device=ens5 eni=eni-05 " + common2 + after + "[1@0][1@15000][stale@15001]",
		"__name__=node_net_ethtool_info " + common + "device=ens6 eni=eni-06 " + common2 + after + "[1@0][stale@15000]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	families := map[string]int32{}
	for _, m := range aws.Prometheus.Metadata(workspace) {
		families[m.Family] = m.Type
		if m.Help == "" {
			t.Errorf("%s has no help", m.Family)
		}
	}
	if diff := cmp.Diff(map[string]int32{"enawatch_build_info": 2, "enawatch_host_info": 2, "enawatch_interface_verdict": 2, "node_net_ethtool": 2, "node_net_ethtool_info": 2}, families); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

// A receiver is down for ten minutes. What is then too old is dropped and
// counted, nothing else is, and nothing waits for it.
func TestTenMinutesDown(t *testing.T) {
	const every, down, length = 15 * time.Second, 10 * time.Minute, 20 * time.Minute
	for _, window := range []time.Duration{time.Minute, 10 * time.Minute} {
		t.Run(window.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				aws, err := awsfake.New(awsfake.Options{OutOfOrderWindow: window})
				if err != nil {
					t.Fatal(err)
				}
				o := options("http://aps.invalid" + writePath)
				o.MaxAge = window
				s := newSink(t, o)
				start := time.Now()
				back := start.Add(5*time.Minute + down)
				up := func() bool { now := time.Now(); return now.Before(back.Add(-down)) || !now.Before(back) }
				signer, failure := s.aws.Signer(t.Context(), "aps")
				if failure != nil {
					t.Fatal(failure)
				}
				signer.HTTP = &awsfake.Direct{Server: aws, Up: up}
				s.signer = signer
				state, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				spool := &sink.Spool{Store: state}
				d := sink.NewDelivery(s, state.Queue(s.Name()), 0, slog.New(slog.DiscardHandler))
				var instants []int64
				perSnapshot := 0
				for n := range int(length / every) {
					at := time.Now()
					requests := s.Sample(snapshot(at, uint64(n), "ens5"))
					perSnapshot = requests[0].Points
					instants = append(instants, at.UnixMilli())
					spool.Keep(s, at, requests)
					time.Sleep(every) // simulated
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				d.Close(ctx)

				series := aws.Prometheus.Series(workspace, map[string]string{"type": "bw_in_allowance_exceeded"})
				if len(series) != 1 {
					t.Fatalf("%d series", len(series))
				}
				stored := map[int64]float64{}
				firstBack := int64(0)
				for _, v := range series[0].Samples {
					stored[v.Timestamp] = v.Value
					if v.Timestamp >= back.Add(-window).UnixMilli() && firstBack == 0 {
						firstBack = v.Timestamp
					}
				}
				missing := 0
				for n, at := range instants {
					v, ok := stored[at]
					if !ok {
						missing++
						if age := back.Sub(time.UnixMilli(at)); age < 0 || age > down {
							t.Errorf("the sample %v before the return is missing", age)
						}
						continue
					}
					if v != float64(n) {
						t.Errorf("sample %d is %v", n, v)
					}
				}
				dropped := 0.0
				for _, m := range state.Self() {
					if m.Name == "enawatch_dropped_data_total" {
						dropped += m.Value
						if m.Labels[1].Value != "too_old" {
							t.Errorf("dropped as %s", m.Labels[1].Value)
						}
					}
				}
				if dropped != float64(missing*perSnapshot) {
					t.Errorf("%v samples are counted as dropped, %d are missing", dropped, missing*perSnapshot)
				}
				// The next attempt after the return comes within 15 s.
				most := int((down - window + maxPatience) / every)
				if least := int((down - window) / every); missing < least-1 || missing > most+1 {
					t.Errorf("%d of %d snapshots are missing, want %d to %d", missing, len(instants), least, most)
				}
				if age := back.Sub(time.UnixMilli(firstBack)); age < window-maxPatience-every {
					t.Errorf("the first sample that came is from %v before the return: more of the window fits", age)
				}
				if err := state.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// One series that is refused costs no other.
func TestOneBadSeries(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	s := newSink(t, options(aws.URL()+writePath))
	at := time.Now().Truncate(time.Second)
	var list []*series
	for n := range 40 {
		name := fmt.Sprintf("good_%02d", n)
		if n == 23 {
			name = "bad-name"
		}
		list = append(list, &series{labels: []label{{"__name__", name}}, value: float64(n)})
	}
	accepted, dropped := deliver(t, s, []sink.Request{encode(at.UnixMilli(), list)})
	if accepted != 39 || dropped[sink.Poisoned] != 1 || len(dropped) != 1 {
		t.Errorf("accepted %d, dropped %v", accepted, dropped)
	}
	if got := aws.Prometheus.Series(workspace, nil); len(got) != 39 {
		t.Errorf("%d series are stored", len(got))
	}
	if requests := len(aws.Journal.Requests("prometheus", "")); requests > 13 {
		t.Errorf("%d requests to find one series of 40", requests)
	}
}

// A snapshot all of which is refused for its time takes few requests, and all of
// it is counted.
func TestAllOutOfOrder(t *testing.T) {
	aws, err := awsfake.Start(awsfake.Options{OutOfOrderWindow: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	s := newSink(t, options(aws.URL()+writePath))
	at := time.Now().Truncate(time.Second)
	var list []*series
	for n := range 200 {
		list = append(list, &series{labels: []label{{"__name__", fmt.Sprintf("x_%03d", n)}}, value: 1})
	}
	if accepted, dropped := deliver(t, s, []sink.Request{encode(at.UnixMilli(), list)}); accepted != 200 {
		t.Fatalf("accepted %d, dropped %v", accepted, dropped)
	}
	_, dropped := deliver(t, s, []sink.Request{encode(at.Add(-10*time.Second).UnixMilli(), list)})
	if dropped[sink.TooOld] != 200 || len(dropped) != 1 {
		t.Errorf("dropped %v", dropped)
	}
	if requests := len(aws.Journal.Requests("prometheus", "")); requests > 30 {
		t.Errorf("%d requests", requests)
	}
	if accepted, dropped := deliver(t, s, []sink.Request{encode(at.Add(time.Second).UnixMilli(), list)}); accepted != 200 {
		t.Errorf("the next snapshot: accepted %d, dropped %v", accepted, dropped)
	}
}

// The memory of one interface's series does not outlive it.
func TestEndOfSeries(t *testing.T) {
	s := newSink(t, options("http://aps.invalid"+writePath))
	at := time.Unix(1_790_000_000, 0)
	s.Sample(snapshot(at, 1, "ens5", "ens6"))
	count := func(requests []sink.Request) (live, ended int) {
		for _, r := range requests {
			m, err := decode(r.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range m.series {
				if v.value != v.value {
					ended++
				} else {
					live++
				}
			}
		}
		return live, ended
	}
	for n, want := range [][2]int{{6, 4}, {6, 0}} {
		live, ended := count(s.Sample(snapshot(at.Add(time.Duration(n+1)*time.Second), 1, "ens5")))
		if got := [2]int{live, ended}; got != want {
			t.Errorf("snapshot %d: %v, want %v", n, got, want)
		}
	}
	if live, ended := count(s.End()); live != 0 || ended != 6 {
		t.Errorf("the end: %d, %d", live, ended)
	}
	if again := s.End(); again != nil {
		t.Errorf("a second end: %v", again)
	}
	if got := s.SelfMetrics()[0].Value; got != 0 {
		t.Errorf("%v series", got)
	}
}

// What the agent counts of itself is sent if that is asked for.
func TestSelf(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		o := options("http://aps.invalid" + writePath)
		o.Self = wanted
		of := snapshot(time.Unix(1_790_000_000, 0), 1, "ens5")
		of.Self = []metric.SelfMetric{{Name: "enawatch_windows_total", Help: "Windows.", Kind: metric.Counter, Value: 3}}
		sent := false
		for _, r := range newSink(t, o).Sample(of) {
			m, err := decode(r.Data)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range m.series {
				sent = sent || v.name() == "enawatch_windows_total"
			}
		}
		if sent != wanted {
			t.Errorf("self %t: sent %t", wanted, sent)
		}
	}
}

// Requests hold at most as many series as Prometheus sends.
func TestManySeries(t *testing.T) {
	o := options("http://aps.invalid" + writePath)
	o.Want = nil
	s := newSink(t, o)
	big := snapshot(time.Now(), 1, "ens5")
	for n := range 4500 {
		big.Interfaces[0].Raw = append(big.Interfaces[0].Raw, metric.RawStat{Name: fmt.Sprintf("stat_%d", n)})
	}
	var points []int
	for _, r := range s.Sample(big) {
		points = append(points, r.Points)
	}
	if !slices.Equal(points, []int{2000, 2000, 507}) {
		t.Errorf("%v", points)
	}
}

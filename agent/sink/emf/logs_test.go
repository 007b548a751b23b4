package emf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/emf"
	"github.com/enawatch/enawatch/test/awsfake"
)

func startFake(t testing.TB, o awsfake.Options) *awsfake.Server {
	t.Helper()
	s, err := awsfake.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// account is that of the stand-in.
func account(s *awsfake.Server) awsclient.Options {
	key := awsfake.DefaultCredential
	return awsclient.Options{
		Region: "us-east-1", Endpoint: s.URL(), Timeout: 10 * time.Second,
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
	}
}

func newLogs(t testing.TB, s *awsfake.Server, change ...func(*emf.Options)) *emf.Logs {
	t.Helper()
	first := func(o *emf.Options) { o.Logs.Account = account(s) }
	return newSink(t, "logs:///enawatch/emf/{instance_id}", append([]func(*emf.Options){first}, change...)...).(*emf.Logs)
}

// now returns b as a window that has just ended.
func now(b *metric.Batch) *metric.Batch {
	b.Start = time.Now().UTC().Truncate(time.Minute).Add(-time.Minute)
	return b
}

// stored returns the text of the events that the stand-in has.
func stored(s *awsfake.Server) []byte {
	var text []byte
	for _, e := range s.Logs.Events("", "") {
		text = append(append(text, e.Message...), '\n')
	}
	return text
}

// A role is had in spite of the clock, as soon as it is known how far it is off:
// by STS after one refusal, and by CloudWatch Logs after another.
func TestLogsClockOfRole(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/monitoring"
	server := startFake(t, awsfake.Options{Roles: []awsfake.Role{{ARN: role}}})
	server.SetSkew(time.Hour)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL())
	s := newLogs(t, server, func(o *emf.Options) { o.Logs.Account.RoleARN = role })
	request := pack(t, s, now(dnsBurst()))[0]
	for _, who := range []string{"get AWS credentials", "PutLogEvents"} {
		checkError(t, s.Deliver(t.Context(), request.Data), sink.Credentials, false, who+": ")
	}
	deliver(t, s, request)
	for _, q := range server.Journal.Requests("logs", "PutLogEvents")[1:] {
		if !strings.HasPrefix(q.AccessKeyID, "ASIA") {
			t.Errorf("signed with %s, not by the role", q.AccessKeyID)
		}
	}
}

// Every window becomes log events, each of them a document with the window's
// time, in a group and a stream that were made for it.
func TestLogs(t *testing.T) {
	for name, b := range goldens() {
		b.Resource.Simulated = false
		server := startFake(t, awsfake.Options{})
		s := newLogs(t, server)
		requests := pack(t, s, now(b))
		deliver(t, s, requests...)
		checkExtraction(t, b, stored(server), 60)
		want := []awsfake.LogGroup{{Name: "/enawatch/emf", Class: "STANDARD", RetentionDays: 30, Tags: madeHere, Streams: []string{b.Resource.InstanceID}}}
		switch name {
		case "dns-burst-without-ids":
			want[0].Streams[0] = "ip-10-0-1-7.ec2.internal"
		case "odd-dimensions":
			want[0].Streams[0] = "quote\" back\\slash tab_ nul_ del_ ü € 😀 nel_ ls\u2028 bad__( end"
		}
		if diff := cmp.Diff(want, server.Logs.Groups()); diff != "" {
			t.Errorf("%s: groups (-want +got):\n%s", name, diff)
		}
		for _, e := range server.Logs.Events("", "") {
			if !e.Timestamp.Equal(b.Start.Truncate(time.Millisecond)) {
				t.Errorf("%s: an event of %v, want %v", name, e.Timestamp, b.Start)
			}
		}
	}
}

// What is there already is used as it is, and asked for only once.
func TestLogsOnDemand(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	operations := func() string {
		var all []string
		for _, q := range server.Journal.Requests("logs", "") {
			all = append(all, q.Operation)
		}
		return strings.Join(all, " ")
	}
	s := newLogs(t, server, func(o *emf.Options) { o.Logs.Retention = 3 })
	request := pack(t, s, now(dnsBurst()))[0]
	deliver(t, s, request, request)
	want := "PutLogEvents DescribeLogGroups CreateLogGroup PutRetentionPolicy CreateLogStream PutLogEvents PutLogEvents"
	if got := operations(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Another host finds the group.
	other := dnsBurst()
	other.Resource.InstanceID = "i-2"
	deliver(t, s, pack(t, s, now(other))...)
	want += " PutLogEvents DescribeLogGroups CreateLogStream PutLogEvents"
	if got := operations(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	groups := []awsfake.LogGroup{{Name: "/enawatch/emf", Class: "STANDARD", RetentionDays: 3, Tags: madeHere, Streams: []string{"i-0123456789abcdef0", "i-2"}}}
	if diff := cmp.Diff(groups, server.Logs.Groups()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	// Another agent makes the stream first.
	if err := server.Faults.Add(awsfake.Rule{Operation: "CreateLogStream", Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 400, Code: "ResourceAlreadyExistsException", Store: true}}}); err != nil {
		t.Fatal(err)
	}
	other.Resource.InstanceID = "i-3"
	deliver(t, s, pack(t, s, now(other))...)
}

// Without a retention nothing is sent, and a group that is there is never given
// one.
func TestLogsRetention(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	denied := awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "AccessDeniedException", Message: "no"}
	gone := awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "ResourceNotFoundException"}
	if err := server.Faults.Add(awsfake.Rule{Operation: "PutRetentionPolicy", Faults: []awsfake.Fault{denied, gone}}); err != nil {
		t.Fatal(err)
	}
	s := newLogs(t, server)
	request := pack(t, s, now(dnsBurst()))[0]
	checkError(t, s.Deliver(t.Context(), request.Data), sink.Credentials, false,
		"PutRetentionPolicy: AccessDeniedException: no: give the identity that enawatch has on this host the action logs:PutRetentionPolicy on the log group /enawatch/emf")
	checkError(t, s.Deliver(t.Context(), request.Data), sink.Transient, false, "PutRetentionPolicy: ResourceNotFoundException")
	if n := len(server.Logs.Events("", "")); n != 0 {
		t.Errorf("%d events were stored in a group that keeps them for ever", n)
	}
	deliver(t, s, request)
	if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != 30 {
		t.Errorf("groups %+v", g)
	}
}

// TestLogsFaults lets the stand-in fail, and holds what the sink makes of it
// against what happened. Nothing that goes wrong before the events are sent may
// cost them.
func TestLogsFaults(t *testing.T) {
	type outcome struct {
		kind      sink.Kind
		ambiguous bool
	}
	status := func(n int, code string) awsfake.Fault {
		return awsfake.Fault{Kind: awsfake.Status, Status: n, Code: code}
	}
	all := []string{"PutLogEvents", "DescribeLogGroups", "CreateLogStream", "CreateLogGroup", "PutRetentionPolicy"}
	for _, tt := range []struct {
		fault     awsfake.Fault
		put, make outcome
	}{
		{awsfake.Fault{Kind: awsfake.Reset}, outcome{sink.Transient, true}, outcome{sink.Transient, false}},
		{awsfake.Fault{Kind: awsfake.Reset, Store: true}, outcome{sink.Transient, true}, outcome{sink.Transient, false}},
		{awsfake.Fault{Kind: awsfake.Hang}, outcome{sink.Transient, true}, outcome{sink.Transient, false}},
		{awsfake.Fault{Kind: awsfake.Throttle, RetryAfter: 7 * time.Second}, outcome{sink.Throttled, false}, outcome{sink.Throttled, false}},
		{awsfake.Fault{Kind: awsfake.ExpiredToken}, outcome{sink.Credentials, false}, outcome{sink.Credentials, false}},
		{awsfake.Fault{Kind: awsfake.HTML, Status: 502, Store: true}, outcome{sink.Transient, true}, outcome{sink.Transient, false}},
		{status(400, "InvalidParameterException"), outcome{sink.Poisoned, false}, outcome{sink.Transient, false}},
		{status(400, "OperationAbortedException"), outcome{sink.Poisoned, false}, outcome{sink.Transient, false}},
		{status(400, "LimitExceededException"), outcome{sink.Throttled, false}, outcome{sink.Throttled, false}},
		{status(400, "UnrecognizedClientException"), outcome{sink.Credentials, false}, outcome{sink.Credentials, false}},
		{status(400, "AccessDeniedException"), outcome{sink.Credentials, false}, outcome{sink.Credentials, false}},
		{status(413, ""), outcome{sink.TooLarge, false}, outcome{sink.Transient, false}},
		{status(500, "ServiceUnavailableException"), outcome{sink.Transient, true}, outcome{sink.Transient, false}},
		{status(503, "ServiceUnavailableException"), outcome{sink.Transient, false}, outcome{sink.Transient, false}},
	} {
		for _, operation := range all {
			if operation == "DescribeLogGroups" && tt.fault.Code == "AccessDeniedException" {
				continue // TestLogsMayNotLook
			}
			t.Run(fmt.Sprint(tt.fault.Kind, " ", tt.fault.Status, " ", tt.fault.Code, " ", operation), func(t *testing.T) {
				server := startFake(t, awsfake.Options{})
				s := newLogs(t, server, func(o *emf.Options) {
					if tt.fault.Kind == awsfake.Hang {
						o.Logs.Account.Timeout = 2 * time.Second // which every other call is within, on a slow machine too
					}
				})
				request := pack(t, s, now(dnsBurst()))[0]
				want := tt.make
				if operation == "PutLogEvents" {
					want = tt.put
					deliver(t, s, request)
				}
				before := len(server.Logs.Events("", ""))
				if err := server.Faults.Add(awsfake.Rule{Operation: operation, Faults: []awsfake.Fault{tt.fault}}); err != nil {
					t.Fatal(err)
				}
				err := s.Deliver(t.Context(), request.Data)
				checkError(t, err, want.kind, want.ambiguous, "")
				e, _ := errors.AsType[*sink.Error](err)
				if e.RetryAfter != tt.fault.RetryAfter || strings.Contains(err.Error(), awsfake.DefaultCredential.SecretAccessKey) {
					t.Errorf("retry after %v: %v", e.RetryAfter, e)
				}
				if n := len(server.Logs.Events("", "")); n > before && !want.ambiguous {
					t.Errorf("%d events were stored, and the error is not ambiguous", n-before)
				}
				if s := server.Logs.Groups(); len(s) > 0 && s[0].RetentionDays == 0 && len(s[0].Streams) > 0 {
					t.Errorf("a stream in a group without a retention")
				}
				// The next attempt finds the service well.
				deliver(t, s, request)
				if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != 30 {
					t.Errorf("groups %+v", g)
				}
			})
		}
	}
}

// Events that are rejected are counted, and are dropped data.
func TestLogsRejected(t *testing.T) {
	day := 24 * time.Hour
	for name, tt := range map[string]struct {
		retention int
		age       time.Duration
		kind      sink.Kind
		text      string
		metric    string
	}{
		"too old": {30, 14*day + time.Hour, sink.TooOld, "the events are too old: CloudWatch Logs takes events of the last two weeks", "too_old"},
		"expired": {3, 4 * day, sink.TooOld, "the events are older than the log group keeps them: raise the retention", "expired"},
		"too new": {30, -3 * time.Hour, sink.Poisoned, "the events are more than two hours in the future: the clock was ahead", "too_new"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			s := newLogs(t, server, func(o *emf.Options) { o.Logs.Retention = tt.retention })
			b := goldens()["three-interfaces"]
			b.Start = time.Now().Add(-tt.age)
			request := pack(t, s, b)[0]
			err := s.Deliver(t.Context(), request.Data)
			checkError(t, err, tt.kind, false, "PutLogEvents: "+tt.text)
			if e, _ := errors.AsType[*sink.Error](err); tt.kind == sink.Poisoned && !e.All {
				t.Error("it would be halved, although all of it has one time")
			}
			want := []metric.SelfMetric{{
				Name: "enawatch_emf_logs_rejected_events_total", Help: "Events that CloudWatch Logs rejected of requests that it took, by reason.",
				Labels: []metric.Dimension{{Name: "reason", Value: tt.metric}}, Value: 3,
			}}
			if diff := cmp.Diff(want, counted(s)); diff != "" {
				t.Errorf("self-metrics (-want +got):\n%s", diff)
			}
		})
	}
}

// The delivery counts them, too, and goes on with what is good.
func TestLogsRejectedAreDropped(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	dir := t.TempDir()
	s := newLogs(t, server)
	good, ahead := minutes(3), minutes(1)
	ahead[0].Start = time.Now().Add(3 * time.Hour)
	w := newWay(t, dir, s)
	for _, b := range []*metric.Batch{good[0], ahead[0], good[1], good[2]} {
		w.commit(t, b)
	}
	for deadline := time.Now().Add(30 * time.Second); w.self("enawatch_delivered_data_total") < 9; {
		if time.Now().After(deadline) {
			t.Fatal("not all is delivered")
		}
	}
	w.end(t)
	if n := w.self("enawatch_dropped_data_total"); n != 3 {
		t.Errorf("%v data dropped, want 3", n)
	}
	got, copies := sums(t, stored(server))
	if diff := cmp.Diff(wantSums(3), got); diff != "" || copies > 0 {
		t.Errorf("%d copies (-want +got):\n%s", copies, diff)
	}
}

// If the service should take only a part, what it took is not sent again.
func TestLogsRejectedInPart(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	var log bytes.Buffer
	s := newLogs(t, server, logTo(&log))
	// No window has events of two times; one that is read from a spool may.
	half := fmt.Appendf(nil, `{"v":1,"group":"g","stream":"s","t":%d}`+"\n{}\n{}\n", time.Now().Add(-14*24*time.Hour-time.Second).UnixMilli())
	checkError(t, s.Deliver(t.Context(), half), sink.TooOld, false, "too old")
	answers := serveLogs(t, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":2,"tooNewLogEventStartIndex":3}}`)
	s = newLogs(t, server, logTo(&log), func(o *emf.Options) { o.Logs.Account.Endpoint = answers })
	four := fmt.Appendf(nil, `{"v":1,"group":"g","stream":"s","t":1}`+"\n%s", strings.Repeat("{}\n", 4))
	if err := s.Deliver(t.Context(), four); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "events were rejected and are lost") {
		t.Errorf("log: %s", &log)
	}
	for _, m := range counted(s) {
		if m.Value != 1 {
			t.Errorf("%v: %v", m.Labels, m.Value)
		}
	}
	for _, nonsense := range []string{`{"tooNewLogEventStartIndex":-5}`, `{"tooOldLogEventEndIndex":99}`, `{"expiredLogEventEndIndex":99,"tooOldLogEventEndIndex":-1}`} {
		s := newLogs(t, server, func(o *emf.Options) {
			o.Logs.Account.Endpoint = serveLogs(t, `{"rejectedLogEventsInfo":`+nonsense+`}`)
		})
		if err := s.Deliver(t.Context(), four); err == nil || len(counted(s)) != 1 || counted(s)[0].Value != 4 {
			t.Errorf("%s: %v, %+v", nonsense, err, counted(s))
		}
	}
}

// The entity is that of the instance, and if it is refused the events count.
func TestLogsEntity(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newLogs(t, server, func(o *emf.Options) {
		o.Logs.Entity = true
		o.Logs.Host = func() emf.Host { return emf.Host{AutoScalingGroup: "eks-nodes", Cluster: "prod", Node: "ip-10-0-1-7"} }
	})
	deliver(t, s, pack(t, s, now(dnsBurst()))...)
	requests := server.Journal.Requests("logs", "PutLogEvents")
	var in struct{ Entity awsfake.Entity }
	if err := json.Unmarshal(requests[len(requests)-1].Body, &in); err != nil {
		t.Fatal(err)
	}
	want := awsfake.Entity{
		KeyAttributes: map[string]string{"Type": "AWS::Resource", "ResourceType": "AWS::EC2::Instance", "Identifier": "i-0123456789abcdef0"},
		Attributes: map[string]string{
			"PlatformType": "AWS::EKS", "EC2.InstanceId": "i-0123456789abcdef0", "EC2.AutoScalingGroup": "eks-nodes", "EKS.Cluster": "prod", "K8s.Node": "ip-10-0-1-7",
		},
	}
	if diff := cmp.Diff(want, in.Entity); diff != "" {
		t.Errorf("entity (-want +got):\n%s", diff)
	}
	if len(counted(s)) != 0 {
		t.Errorf("%+v", counted(s))
	}
	// Without an id there is none.
	unknown := now(dnsBurst())
	unknown.Resource.InstanceID = ""
	if data := pack(t, s, unknown)[0].Data; bytes.Contains(data, []byte("entity")) {
		t.Errorf("%.200s", data)
	}
	var log bytes.Buffer
	s = newLogs(t, server, logTo(&log))
	for range 2 {
		bad := fmt.Appendf(nil, `{"v":1,"group":"/enawatch/emf","stream":"i-0123456789abcdef0","t":%d,"entity":{"k":{"Type":"x","Name":"y"}}}`+"\n{}\n", time.Now().UnixMilli())
		deliver(t, s, sink.Request{Data: bad})
	}
	if got := counted(s); len(got) != 1 || got[0].Value != 2 || got[0].Labels[0].Value != "InvalidTypeValue" {
		t.Errorf("%+v", got)
	}
	if n := strings.Count(log.String(), "but not the entity"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
}

// A large window goes in batches that the stand-in, which knows the limits,
// takes.
func TestLogsLimits(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newLogs(t, server, func(o *emf.Options) { o.Shape = emf.PerInterface })
	b := now(fleet(60))
	for i := range 700 {
		b.Series = append(b.Series, gauge(fmt.Sprintf("%03d%s", i, strings.Repeat("é", 250)), wide()...))
	}
	requests := pack(t, s, b)
	if len(requests) < 2 {
		t.Errorf("%d requests", len(requests))
	}
	deliver(t, s, requests...)
	checkMetrics(t, b, stored(server), 60)
	if len(server.Logs.Events("", "")) < 62 {
		t.Errorf("%d events", len(server.Logs.Events("", "")))
	}
}

func TestLogsSplitAndDescribe(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	s := newLogs(t, server)
	b := now(goldens()["three-interfaces"])
	request := pack(t, s, b)[0]
	parts := s.Split(request.Data)
	if len(parts) != 2 || parts[0].Points+parts[1].Points != request.Points {
		t.Fatalf("%d parts of %d data", len(parts), request.Points)
	}
	parts = append(s.Split(parts[1].Data), parts[0])
	for _, p := range parts {
		if p.Points > 3 {
			t.Errorf("a part of %d data", p.Points)
		}
	}
	deliver(t, s, parts...)
	checkExtraction(t, b, stored(server), 60)
	if again := s.Split(parts[0].Data); again != nil {
		t.Errorf("one document splits into %d", len(again))
	}
	want := "EMF of " + b.Start.Format(time.RFC3339) + ` (lines: 1): "heartbeat", "bw_in_allowance_exceeded", "conntrack_allowance_available" for log group "/enawatch/emf", log stream "i-0123456789abcdef0"`
	if got := s.Describe(parts[2].Data); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for data, want := range map[string]string{
		"":                                 "read a spooled request: unexpected end of JSON input",
		"{}\n{}\n":                         "its version 0 is not 1",
		`{"v":2,"group":"g","stream":"s"}`: "its version 2 is not 1",
		`{"v":1,"stream":"s"}` + "\n{}\n":  "no log group",
		`{"v":1,"group":"g","stream":"s"}`: "0 bytes that are no EMF documents",
		`{"v":1,"group":"g","stream":"s"}` + "\n{}\n\n":      "a document is empty",
		`{"v":1,"group":"g","stream":"s","t":-1}` + "\n{}\n": "no time",
	} {
		checkError(t, s.Deliver(t.Context(), []byte(data)), sink.Poisoned, false, want)
		if parts := s.Split([]byte(data)); parts != nil {
			t.Errorf("%q splits into %d", data, len(parts))
		}
		if got, want := s.Describe([]byte(data)), fmt.Sprintf("%d bytes that are no request of this program", len(data)); got != want {
			t.Errorf("%q: %s", data, got)
		}
	}
}

// What an older version spooled stays readable: the file is never written anew.
func TestLogsSpoolFormat(t *testing.T) {
	data, err := os.ReadFile("testdata/spool-logs-1")
	if err != nil {
		t.Fatal(err)
	}
	// For the stand-in it is the day of the events; the client learns that from
	// the first answer.
	server := startFake(t, awsfake.Options{Now: func() time.Time { return time.UnixMilli(1795421760000) }})
	s := newLogs(t, server)
	if err := s.Deliver(t.Context(), data); err != nil {
		deliver(t, s, sink.Request{Data: data})
	}
	checkExtraction(t, dnsBurst(), stored(server), 60)
}

func TestLogsRefuse(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	for want, change := range map[string]func(*emf.LogsOptions){
		"retention of 31 days: CloudWatch Logs has [1 3 5": func(o *emf.LogsOptions) { o.Retention = 31 },
		"retention of -1 days":                             func(o *emf.LogsOptions) { o.Retention = -1 },
		`role "x": give the ARN`:                           func(o *emf.LogsOptions) { o.Account.RoleARN = "x" },
		"read the CA file":                                 func(o *emf.LogsOptions) { o.Account.CAFile = "/nowhere" },
		"a simulation is never published to AWS":           func(o *emf.LogsOptions) { o.Simulated = true },
	} {
		out, err := emf.ParseOutput("logs://g/s", "")
		if err != nil {
			t.Fatal(err)
		}
		o := emf.Options{Output: out, Namespace: "ENA", Interval: time.Minute, Logs: emf.LogsOptions{Account: account(server)}}
		change(&o.Logs)
		if s, err := emf.New(o); s != nil || err == nil || !strings.HasPrefix(err.Error(), "emf sink: "+want) {
			t.Errorf("%v, error %v, want %q", s, err, want)
		}
	}
	s := newLogs(t, server)
	if requests, err := s.Pack(goldens()["simulated"]); requests != nil || err == nil || !strings.Contains(err.Error(), "never published to AWS") {
		t.Errorf("%v, %v", requests, err)
	}
	requests, err := s.Pack(batch(1, heartbeat, counter("n", math.NaN())))
	if len(requests) != 1 || err == nil {
		t.Errorf("beside a bad series: %d requests, %v", len(requests), err)
	}
	s = newLogs(t, server, func(o *emf.Options) { o.Logs.Account.Region = "" })
	checkError(t, s.Deliver(t.Context(), requests[0].Data), sink.Credentials, false, "the AWS region is not known: set the region of the emf sink, or AWS_REGION")
}

// CloudWatch Logs is down for long and then fails at random: if whoever delivers
// tries again, as package sink does, it has every window in the end, and copies
// only where that was said.
func TestLogsConserve(t *testing.T) {
	server := startFake(t, awsfake.Options{Seed: 7})
	const windows = 120
	s := newLogs(t, server)
	faults := []awsfake.Fault{
		{Kind: awsfake.Reset}, {Kind: awsfake.Reset, Store: true}, {Kind: awsfake.Cut, Store: true}, {Kind: awsfake.Throttle},
		{Kind: awsfake.Status, Status: 500, Store: true}, {Kind: awsfake.HTML, Status: 503}, {Kind: awsfake.Status, Status: 503, Code: "ServiceUnavailableException"},
	}
	if err := server.Faults.Add(
		awsfake.Rule{After: 20, Times: 60, Faults: []awsfake.Fault{{Kind: awsfake.Reset}}},
		awsfake.Rule{After: 30, Probability: 0.4, Faults: faults},
	); err != nil {
		t.Fatal(err)
	}
	doubt := 0
	for _, b := range minutes(windows) {
		for _, r := range pack(t, s, b) {
			for attempt := 0; ; attempt++ {
				err := s.Deliver(t.Context(), r.Data)
				if err == nil {
					break
				}
				e, ok := errors.AsType[*sink.Error](err)
				if !ok || e.Kind > sink.Credentials || attempt > 100 {
					t.Fatalf("attempt %d: %v", attempt, err)
				}
				if e.Ambiguous {
					doubt++
				}
			}
		}
	}
	got, copies := sums(t, stored(server))
	if diff := cmp.Diff(wantSums(windows), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Each request has two documents.
	if requests, _ := server.Journal.Ambiguous("logs"); requests == 0 || copies == 0 || copies > 2*doubt {
		t.Errorf("%d documents arrived twice, %d requests in doubt, %d ambiguous", copies, doubt, requests)
	}
}

// counted returns the self-metrics that are not zero.
func counted(s interface{ SelfMetrics() []metric.SelfMetric }) (list []metric.SelfMetric) {
	for _, m := range s.SelfMetrics() {
		if m.Value != 0 {
			list = append(list, m)
		}
	}
	return list
}

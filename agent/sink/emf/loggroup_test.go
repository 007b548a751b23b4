package emf_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

// madeHere are the tags of a log group that the sink has made.
var madeHere = map[string]string{"enawatch:made-by": "sinks.emf"}

// ofHost returns the window of another host.
func ofHost(id string) *metric.Batch {
	b := now(dnsBurst())
	b.Resource.InstanceID = id
	return b
}

// A host that is gone after any of the calls that make a group leaves nothing
// that keeps events for ever: whoever comes next ends what it began. The next may
// be the same host, started anew, or another.
func TestLogsKilledWhileMakingAGroup(t *testing.T) {
	for _, last := range []string{"DescribeLogGroups", "CreateLogGroup", "PutRetentionPolicy", "CreateLogStream"} {
		for _, done := range []bool{false, true} { // whether the last call is carried out
			for _, next := range []string{"i-0123456789abcdef0", "i-2"} {
				server := startFake(t, awsfake.Options{})
				killed, kill := context.WithCancel(t.Context())
				// It is cut off in its first call of that kind.
				rule := awsfake.Rule{Operation: last, Times: 1, Choose: func(*awsfake.Request) *awsfake.Fault {
					kill()
					return &awsfake.Fault{Kind: awsfake.Hang, Store: done}
				}}
				if err := server.Faults.Add(rule); err != nil {
					t.Fatal(err)
				}
				first := newLogs(t, server)
				request := pack(t, first, now(dnsBurst()))[0]
				if err := first.Deliver(killed, request.Data); err == nil {
					t.Fatalf("%s: delivered", last)
				}
				if n := len(server.Logs.Events("", "")); n != 0 {
					t.Errorf("%s: %d events", last, n)
				}
				second := newLogs(t, server)
				deliver(t, second, pack(t, second, ofHost(next))...)
				if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != 30 {
					t.Errorf("killed in %s (done: %t), then %s: groups %+v", last, done, next, g)
				}
			}
		}
	}
}

// A group that somebody else has made, or that holds events, is as its owner
// wants it.
func TestLogsLeavesGroups(t *testing.T) {
	for name, tt := range map[string]struct {
		tags      map[string]string
		retention int32
		event     bool
		class     types.LogGroupClass
		log       string
	}{
		"of somebody else":          {},
		"tagged by somebody else":   {tags: map[string]string{"enawatch:made-by": "terraform", "team": "net"}},
		"with another retention":    {tags: madeHere, retention: 7},
		"whose retention was taken": {tags: madeHere, event: true},
		"that extracts no metrics":  {class: types.LogGroupClassInfrequentAccess, log: "extracts no metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{})
			api := logsClient(server)
			create := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/enawatch/emf"), Tags: tt.tags, LogGroupClass: tt.class}
			_, err := api.CreateLogGroup(t.Context(), create)
			if err == nil && tt.retention > 0 {
				_, err = api.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: create.LogGroupName, RetentionInDays: &tt.retention})
			}
			if err == nil && tt.event {
				_, err = api.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: create.LogGroupName, LogStreamName: aws.String("i-1")})
				if err == nil {
					_, err = api.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{
						LogGroupName: create.LogGroupName, LogStreamName: aws.String("i-1"),
						LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(time.Now().UnixMilli()), Message: aws.String("{}")}},
					})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := newLogs(t, server, logTo(&log))
			deliver(t, s, pack(t, s, ofHost("i-2"))...)
			if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != int(tt.retention) || !cmp.Equal(g[0].Tags, tt.tags) {
				t.Errorf("groups %+v", g)
			}
			if !strings.Contains(log.String(), tt.log) || (tt.log == "") != (log.Len() == 0) {
				t.Errorf("log %q, want %q", &log, tt.log)
			}
		})
	}
}

// Names that begin alike are those of other groups.
func TestLogsLongerName(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	other := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/enawatch/emf-old"), Tags: madeHere}
	if _, err := logsClient(server).CreateLogGroup(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	s := newLogs(t, server)
	deliver(t, s, pack(t, s, now(dnsBurst()))...)
	if g := server.Logs.Groups(); len(g) != 2 || g[0].RetentionDays != 30 || g[1].RetentionDays != 0 {
		t.Errorf("groups %+v", g)
	}
}

// Two hosts make one group: neither uses it before it has a retention.
func TestLogsGroupOfAFasterHost(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	// The group is there by the time of the call, and its maker gone.
	there := awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "ResourceAlreadyExistsException", Store: true}
	if err := server.Faults.Add(awsfake.Rule{Operation: "CreateLogGroup", Faults: []awsfake.Fault{there}}); err != nil {
		t.Fatal(err)
	}
	s := newLogs(t, server)
	deliver(t, s, pack(t, s, now(dnsBurst()))...)
	if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != 30 {
		t.Errorf("groups %+v", g)
	}
}

// An identity that may not look at groups, or their tags, still writes to one
// that is there, and still makes one with a retention. It is said once.
func TestLogsMayNotLook(t *testing.T) {
	denied := awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "AccessDeniedException", Message: "no"}
	for operation, orphan := range map[string]bool{"DescribeLogGroups": false, "ListTagsForResource": true} {
		server := startFake(t, awsfake.Options{})
		if err := server.Faults.Add(awsfake.Rule{Operation: operation, Times: 99, Faults: []awsfake.Fault{denied}}); err != nil {
			t.Fatal(err)
		}
		want := 30
		if orphan { // nobody can tell whose it is
			if _, err := logsClient(server).CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/enawatch/emf"), Tags: madeHere}); err != nil {
				t.Fatal(err)
			}
			want = 0
		}
		var log bytes.Buffer
		s := newLogs(t, server, logTo(&log))
		for _, id := range []string{"i-1", "i-2"} {
			deliver(t, s, pack(t, s, ofHost(id))...)
		}
		if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != want || len(g[0].Streams) != 2 {
			t.Errorf("%s: groups %+v", operation, g)
		}
		if n := strings.Count(log.String(), "whether it has a retention can't be seen"); n != 1 || !strings.Contains(log.String(), "the action logs:"+operation+" on ") {
			t.Errorf("%s: said %d times: %s", operation, n, &log)
		}
	}
	// What it has made itself, it knows.
	for _, operation := range []string{"DescribeLogGroups", "ListTagsForResource"} {
		server := startFake(t, awsfake.Options{})
		once := awsfake.Fault{Kind: awsfake.Status, Status: 400, Code: "ThrottlingException"}
		if err := server.Faults.Add(
			awsfake.Rule{Operation: operation, Times: 99, Faults: []awsfake.Fault{denied}},
			awsfake.Rule{Operation: "PutRetentionPolicy", Times: 2, Faults: []awsfake.Fault{once}},
		); err != nil {
			t.Fatal(err)
		}
		s := newLogs(t, server)
		request := pack(t, s, now(dnsBurst()))[0]
		for range 2 {
			checkError(t, s.Deliver(t.Context(), request.Data), sink.Throttled, false, "PutRetentionPolicy")
		}
		deliver(t, s, request)
		if g := server.Logs.Groups(); len(g) != 1 || g[0].RetentionDays != 30 {
			t.Errorf("%s: groups %+v", operation, g)
		}
	}
	// Nobody's wish to forbid it is a token that has expired.
	server := startFake(t, awsfake.Options{})
	if err := server.Faults.Add(awsfake.Rule{Operation: "DescribeLogGroups", Faults: []awsfake.Fault{{Kind: awsfake.ExpiredToken}}}); err != nil {
		t.Fatal(err)
	}
	s := newLogs(t, server)
	err := s.Deliver(t.Context(), pack(t, s, now(dnsBurst()))[0].Data)
	if e, ok := errors.AsType[*sink.Error](err); !ok || e.Kind != sink.Credentials || len(server.Logs.Groups()) != 0 {
		t.Errorf("%v, groups %+v", err, server.Logs.Groups())
	}
}

// logsClient is the SDK's own client of the stand-in.
func logsClient(s *awsfake.Server) *cloudwatchlogs.Client {
	o := account(s)
	return cloudwatchlogs.New(cloudwatchlogs.Options{Region: o.Region, BaseEndpoint: &o.Endpoint, Credentials: o.Credentials})
}

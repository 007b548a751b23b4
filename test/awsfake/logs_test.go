package awsfake_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// withStream returns a client and a server with group g and stream s.
func withStream(t *testing.T) (*awsfake.Server, *cloudwatchlogs.Client) {
	t.Helper()
	s := start(t, awsfake.Options{})
	c := logs(t, s)
	if _, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	return s, c
}

func event(after time.Duration, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(frozen.Add(after).UnixMilli()), Message: &message}
}

func putEvents(t *testing.T, c *cloudwatchlogs.Client, events ...types.InputLogEvent) (*cloudwatchlogs.PutLogEventsOutput, error) {
	t.Helper()
	return c.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{
		LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: events,
	})
}

// TestLogsOnDemand is the way of a writer that finds nothing there.
func TestLogsOnDemand(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := logs(t, s)
	_, err := putEvents(t, c, event(0, "m"))
	if gone := new(types.ResourceNotFoundException); !errors.As(err, &gone) || !strings.Contains(err.Error(), "log group does not exist") {
		t.Fatalf("no group: %v", err)
	}
	group := &cloudwatchlogs.CreateLogGroupInput{
		LogGroupName: aws.String("g"), LogGroupClass: types.LogGroupClassInfrequentAccess, Tags: map[string]string{"k": "v"},
	}
	if _, err := c.CreateLogGroup(t.Context(), group); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: aws.Int32(30)}); err != nil {
		t.Fatal(err)
	}
	_, err = putEvents(t, c, event(0, "m"))
	if gone := new(types.ResourceNotFoundException); !errors.As(err, &gone) || !strings.Contains(err.Error(), "log stream does not exist") {
		t.Fatalf("no stream: %v", err)
	}
	stream := &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")}
	if _, err := c.CreateLogStream(t.Context(), stream); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateLogGroup(t.Context(), group)
	if there := new(types.ResourceAlreadyExistsException); !errors.As(err, &there) {
		t.Errorf("the group again: %v", err)
	}
	_, err = c.CreateLogStream(t.Context(), stream)
	if there := new(types.ResourceAlreadyExistsException); !errors.As(err, &there) {
		t.Errorf("the stream again: %v", err)
	}
	out, err := putEvents(t, c, event(-time.Second, "one"), event(0, "zwei ü"), event(0, "one"))
	if err != nil || out.RejectedLogEventsInfo != nil || out.RejectedEntityInfo != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	seq := s.Journal.Requests("logs", "PutLogEvents")[2].Seq
	want := []awsfake.LogEvent{
		{Timestamp: frozen.Add(-time.Second), Message: "one"},
		{Timestamp: frozen, Message: "zwei ü"},
		{Timestamp: frozen, Message: "one"},
	}
	for i := range want {
		want[i].Group, want[i].Stream, want[i].Request, want[i].Arrived = "g", "s", seq, frozen
	}
	if diff := cmp.Diff(want, s.Logs.Events("g", "s")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(s.Logs.Events("other", "")) + len(s.Logs.Events("", "other")); n != 0 {
		t.Errorf("%d events elsewhere", n)
	}
	if s.Logs.DuplicateEvents() != 0 {
		t.Error("duplicates before there are any")
	}
	if _, err := putEvents(t, c, event(0, "zwei ü")); err != nil || s.Logs.DuplicateEvents() != 1 {
		t.Errorf("%d duplicates, want 1 (%v)", s.Logs.DuplicateEvents(), err)
	}
	groups := []awsfake.LogGroup{{Name: "g", Class: "INFREQUENT_ACCESS", RetentionDays: 30, Tags: group.Tags, Streams: []string{"s"}}}
	if diff := cmp.Diff(groups, s.Logs.Groups()); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
}

// TestPutLogEventsLimits sends what is just allowed and what is just not.
func TestPutLogEventsLimits(t *testing.T) {
	const mib = 1 << 20
	repeat := func(n int, e types.InputLogEvent) []types.InputLogEvent {
		return slices.Repeat([]types.InputLogEvent{e}, n)
	}
	half := strings.Repeat("x", mib/2-26)
	tests := []struct {
		name    string
		ok, bad []types.InputLogEvent
		message string
	}{
		{"event", repeat(1, event(0, strings.Repeat("x", mib-26))), repeat(1, event(0, strings.Repeat("x", mib-25))),
			"Log event too large: 1048577 bytes exceeds limit of 1048576"},
		{"batch", repeat(2, event(0, half)), append(repeat(1, event(0, half)), event(0, half+"x")),
			"Upload too large: 1048577 bytes exceeds limit of 1048576"},
		{"batch counts UTF-8", repeat(2, event(0, strings.Repeat("é", mib/4-13))), append(repeat(1, event(0, half)), event(0, half[1:]+"é")),
			"Upload too large: 1048577 bytes exceeds limit of 1048576"},
		{"events", repeat(10000, event(0, "m")), repeat(10001, event(0, "m")), "less than or equal to 10000"},
		{"no events", nil, []types.InputLogEvent{}, "greater than or equal to 1"},
		{"order", []types.InputLogEvent{event(0, "a"), event(0, "b"), event(time.Millisecond, "c")},
			[]types.InputLogEvent{event(time.Millisecond, "a"), event(0, "b")},
			"Log events in a single PutLogEvents request must be in chronological order."},
		{"span", []types.InputLogEvent{event(-24*time.Hour, "a"), event(0, "b")},
			[]types.InputLogEvent{event(-24*time.Hour-time.Millisecond, "a"), event(0, "b")}, "cannot span more than 24 hours"},
		{"empty message", nil, repeat(1, event(0, "")), "logEvents.1.member.message"},
		{"negative time", nil, []types.InputLogEvent{{Message: aws.String("m"), Timestamp: aws.Int64(-1)}}, "logEvents.1.member.timestamp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := withStream(t)
			if tt.ok != nil {
				if out, err := putEvents(t, c, tt.ok...); err != nil || out.RejectedLogEventsInfo != nil {
					t.Errorf("at the limit: %v", err)
				}
			}
			before := len(s.Logs.Events("", ""))
			if before != len(tt.ok) {
				t.Errorf("%d events stored, want %d", before, len(tt.ok))
			}
			_, err := putEvents(t, c, tt.bad...)
			if bad := new(types.InvalidParameterException); !errors.As(err, &bad) || !strings.Contains(bad.ErrorMessage(), tt.message) {
				t.Errorf("beyond the limit: %v", err)
			}
			if after := len(s.Logs.Events("", "")); after != before {
				t.Errorf("a refused batch stored %d events", after-before)
			}
		})
	}
}

// TestPutLogEventsRejected: what is too old or too new is left out, and does
// not count towards the span of the batch.
func TestPutLogEventsRejected(t *testing.T) {
	const day = 24 * time.Hour
	type rejected struct{ tooNew, tooOld, expired int } // -1 for none
	tests := []struct {
		name      string
		retention int32
		after     []time.Duration
		want      rejected
		stored    int
	}{
		{"just good", 0, []time.Duration{-14 * day}, rejected{-1, -1, -1}, 1},
		{"just good ahead", 0, []time.Duration{2 * time.Hour}, rejected{-1, -1, -1}, 1},
		{"too old", 0, []time.Duration{-14*day - time.Millisecond}, rejected{-1, 1, -1}, 0},
		{"too new", 0, []time.Duration{2*time.Hour + time.Millisecond}, rejected{0, -1, -1}, 0},
		{"both ends", 0, []time.Duration{-15 * day, -15 * day, -time.Minute, 0, 3 * time.Hour, 4 * time.Hour}, rejected{4, 2, -1}, 2},
		{"nothing left", 0, []time.Duration{-15 * day, 3 * time.Hour}, rejected{1, 1, -1}, 0},
		{"expired", 3, []time.Duration{-15 * day, -4 * day, -3*day - time.Millisecond, -3 * day, -3*day + time.Hour}, rejected{-1, 1, 3}, 2},
		{"long retention", 30, []time.Duration{-15 * day, -14 * day}, rejected{-1, 1, -1}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, c := withStream(t)
			if tt.retention > 0 {
				if _, err := c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: &tt.retention}); err != nil {
					t.Fatal(err)
				}
			}
			var events []types.InputLogEvent
			for _, d := range tt.after {
				events = append(events, event(d, "m"))
			}
			out, err := putEvents(t, c, events...)
			if err != nil {
				t.Fatal(err)
			}
			got := rejected{-1, -1, -1}
			if r := out.RejectedLogEventsInfo; r != nil {
				for _, f := range []struct {
					from *int32
					to   *int
				}{{r.TooNewLogEventStartIndex, &got.tooNew}, {r.TooOldLogEventEndIndex, &got.tooOld}, {r.ExpiredLogEventEndIndex, &got.expired}} {
					if f.from != nil {
						*f.to = int(*f.from)
					}
				}
			}
			if got != tt.want {
				t.Errorf("rejected %+v, want %+v", got, tt.want)
			}
			if n := len(s.Logs.Events("", "")); n != tt.stored {
				t.Errorf("%d stored, want %d", n, tt.stored)
			}
			if q := s.Journal.Requests("logs", "PutLogEvents")[0]; q.Items != tt.stored {
				t.Errorf("%d items in the journal, want %d", q.Items, tt.stored)
			}
		})
	}
}

func TestPutLogEventsEntity(t *testing.T) {
	s, c := withStream(t)
	put := func(key map[string]string) *types.RejectedEntityInfo {
		t.Helper()
		out, err := c.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{
			LogGroupName: aws.String("g"), LogStreamName: aws.String("s"),
			LogEvents: []types.InputLogEvent{event(0, "m")}, Entity: &types.Entity{KeyAttributes: key},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out.RejectedEntityInfo
	}
	if got := put(map[string]string{"Type": "Service", "Name": "n", "Environment": "e"}); got != nil {
		t.Errorf("a good entity: %s", got.ErrorType)
	}
	if got := put(map[string]string{"Type": "Pod", "Name": "n"}); got == nil || got.ErrorType != types.EntityRejectionErrorTypeInvalidTypeValue {
		t.Errorf("a bad entity: %+v", got)
	}
	if n := len(s.Logs.Events("", "")); n != 2 {
		t.Errorf("%d events stored, want both", n)
	}
}

// TestQueryToken: what comes twice with one token is there once.
func TestQueryToken(t *testing.T) {
	c := logs(t, start(t, awsfake.Options{}))
	put := func(token string) (string, error) {
		out, err := c.PutQueryDefinition(t.Context(), &cloudwatchlogs.PutQueryDefinitionInput{Name: aws.String("q"), QueryString: aws.String("fields @message"), ClientToken: &token})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.QueryDefinitionId), nil
	}
	one, err1 := put(strings.Repeat("a", 36))
	again, err2 := put(strings.Repeat("a", 36))
	two, err3 := put(strings.Repeat("b", 128))
	if err := errors.Join(err1, err2, err3); err != nil || one != again || one == two {
		t.Errorf("%s, %s, %s, %v", one, again, two, err)
	}
	for _, bad := range []string{"", strings.Repeat("a", 35), strings.Repeat("a", 129), strings.Repeat("a", 36) + " "} {
		if _, err := put(bad); err == nil || !strings.Contains(err.Error(), "InvalidParameterException") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestLogNames(t *testing.T) {
	c := logs(t, start(t, awsfake.Options{}))
	createGroup := func(name string) error {
		_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name})
		return err
	}
	if err := createGroup("g"); err != nil {
		t.Fatal(err)
	}
	createStream := func(name string) error {
		_, err := c.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: &name})
		return err
	}
	retain := func(days int32) error {
		_, err := c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: &days})
		return err
	}
	tags := map[string]string{}
	for i := range 51 {
		tags[fmt.Sprint(i)] = "v"
	}
	tagged := func() error {
		_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("tagged"), Tags: tags})
		return err
	}
	tooMany := tagged()
	delete(tags, "0")
	tag := func(group, key, value string) error {
		_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group, Tags: map[string]string{key: value}})
		return err
	}
	class := func(class types.LogGroupClass) error {
		_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("c" + string(class)), LogGroupClass: class})
		return err
	}
	for _, tt := range []struct {
		name    string
		ok, bad error
	}{
		{"group length", createGroup(strings.Repeat("g", 512)), createGroup(strings.Repeat("g", 513))},
		{"group characters", createGroup("/a_B-9.#"), createGroup("a b")},
		{"group empty", nil, createGroup("")},
		{"group of AWS", createGroup("awsome"), createGroup("aws/x")},
		{"stream length", createStream(strings.Repeat("s", 512)), createStream(strings.Repeat("s", 513))},
		{"stream colon", createStream("a b/[c]"), createStream("a:b")},
		{"stream star", nil, createStream("a*")},
		{"retention", retain(3653), retain(31)},
		{"tags", tagged(), tooMany},
		{"tag of AWS", tag("t1", "enawatch:made-by", "sinks.emf"), tag("t2", "AWS:x", "v")},
		{"tag characters", tag("t3", "k @ö", ""), tag("t4", "k", "a\nb")},
		{"class", class("ESSENTIALS"), class("CHEAP")},
	} {
		if tt.ok != nil {
			t.Errorf("%s: %v", tt.name, tt.ok)
		}
		if bad := new(types.InvalidParameterException); !errors.As(tt.bad, &bad) {
			t.Errorf("%s: %v", tt.name, tt.bad)
		}
	}
}

func TestDescribeLogGroups(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := logs(t, s)
	for i := range 60 {
		if _, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String(fmt.Sprintf("/ena/%02d", i))}); err != nil {
			t.Fatal(err)
		}
	}
	pages := func(in *cloudwatchlogs.DescribeLogGroupsInput) (sizes []int, names []string) {
		t.Helper()
		p := cloudwatchlogs.NewDescribeLogGroupsPaginator(c, in)
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, len(out.LogGroups))
			for _, g := range out.LogGroups {
				names = append(names, *g.LogGroupName)
			}
		}
		return sizes, names
	}
	sizes, names := pages(&cloudwatchlogs.DescribeLogGroupsInput{})
	if diff := cmp.Diff([]int{50, 10}, sizes); diff != "" || !slices.IsSorted(names) || len(slices.Compact(names)) != 60 {
		t.Errorf("pages of %v, %d names", sizes, len(names))
	}
	if _, names := pages(&cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/ena/1"), Limit: aws.Int32(3)}); len(names) != 10 || names[9] != "/ena/19" {
		t.Errorf("prefix: %v", names)
	}
	if _, names := pages(&cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePattern: aws.String("/05")}); len(names) != 1 {
		t.Errorf("pattern: %v", names)
	}
	if _, names := pages(&cloudwatchlogs.DescribeLogGroupsInput{LogGroupClass: types.LogGroupClassEssentials}); len(names) != 0 {
		t.Errorf("class: %v", names)
	}
	out, err := c.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/ena/07")})
	if err != nil {
		t.Fatal(err)
	}
	g := out.LogGroups[0]
	if *g.Arn != "arn:aws:logs:us-east-1:123456789012:log-group:/ena/07:*" || g.LogGroupClass != types.LogGroupClassStandard || g.RetentionInDays != nil || *g.CreationTime != frozen.UnixMilli() {
		t.Errorf("%+v", g)
	}
	for _, in := range []*cloudwatchlogs.DescribeLogGroupsInput{
		{Limit: aws.Int32(51)}, {NextToken: aws.String("x")}, {NextToken: aws.String("-1")},
		{LogGroupNamePrefix: aws.String("a"), LogGroupNamePattern: aws.String("a")},
	} {
		if _, err := c.DescribeLogGroups(t.Context(), in); code(t, err) != "InvalidParameterException" {
			t.Errorf("%v", err)
		}
	}
}

func TestListTags(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := logs(t, s)
	want := map[string]string{"k": "v", "team": "net"}
	for name, tags := range map[string]map[string]string{"g": want, "none": nil} {
		if _, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name, Tags: tags}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("g")})
	if err != nil {
		t.Fatal(err)
	}
	list := func(arn string) (map[string]string, error) {
		out, err := c.ListTagsForResource(t.Context(), &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: &arn})
		if err != nil {
			return nil, err
		}
		return out.Tags, nil
	}
	arn := *out.LogGroups[0].LogGroupArn
	if got, err := list(arn); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := list(strings.TrimSuffix(arn, "g") + "none"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	for arn, want := range map[string]string{arn + "2": "ResourceNotFoundException", *out.LogGroups[0].Arn: "InvalidParameterException", "g": "InvalidParameterException"} {
		if _, err := list(arn); code(t, err) != want {
			t.Errorf("%s: %v", arn, err)
		}
	}
}

func TestLogsMalformed(t *testing.T) {
	s := start(t, awsfake.Options{})
	send := func(operation, contentType, body string) reply {
		return post(t, s, "logs", "/", []byte(body), map[string]string{"X-Amz-Target": "Logs_20140328." + operation, "Content-Type": contentType})
	}
	const media = "application/x-amz-json-1.1"
	for name, r := range map[string]reply{
		"no JSON":       send("PutLogEvents", media, "nonsense"),
		"a wrong type":  send("CreateLogGroup", media, `{"logGroupName":1}`),
		"another media": send("CreateLogGroup", "application/json", `{}`),
	} {
		if r.status != http.StatusBadRequest || !strings.Contains(r.body, `"__type":"SerializationException"`) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := send("DeleteLogGroup", media, `{}`); !strings.Contains(r.body, "UnknownOperationException") {
		t.Errorf("another operation: %+v", r)
	}
}

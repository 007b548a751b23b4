package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/test/awsfake"
)

func TestMain(m *testing.M) {
	awsfake.ForgetEnvironment()
	os.Exit(m.Run())
}

// clock is that of both sides: who sleeps is there at once.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

func open(t *testing.T) (*Account, *awsfake.Server) {
	t.Helper()
	c := &clock{now: time.Now()}
	s, err := awsfake.Start(awsfake.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL())
	key := awsfake.DefaultCredential
	a, err := Open(t.Context(), Options{
		AWS: awsclient.Options{
			Region: "us-east-1", Endpoint: s.URL(), Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
		},
		LogsEndpoint: s.URL(), Clock: c,
	})
	if err != nil {
		t.Fatal(err)
	}
	return a, s
}

func options(scopes ...provision.Scope) provision.Options {
	return provision.Options{
		Name: "ena", Namespace: "ENA", Interval: time.Minute, Scopes: scopes, Level: provision.Levels[1], Region: "us-east-1",
		Dimensions:    []metric.Dimension{{Name: "Zone", Value: "a"}, {Name: "env", Value: "prod"}},
		ConntrackLeft: 5000, ConntrackCapacity: 100_000, ConntrackPercent: 10, LogGroup: "/enawatch/emf", Insights: true,
		Instances: []string{"i-0123456789abcdef0", "i-0123456789abcdef1"}, QueryRole: "arn:aws:iam::123456789012:role/query",
		Groups:       []provision.GroupOf{{{Name: "AutoScalingGroupName", Value: "web"}}},
		AlarmActions: []string{"arn:aws:sns:us-east-1:123456789012:pages"},
	}
}

func alarms(t *testing.T, o provision.Options) *provision.Set {
	t.Helper()
	s, err := provision.Alarms(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plan(t *testing.T, a *Account, s *provision.Set, kinds Kinds, prune bool) *Plan {
	t.Helper()
	p, err := a.Plan(t.Context(), s, kinds, prune)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func apply(t *testing.T, a *Account, p *Plan) {
	t.Helper()
	if done, err := a.Apply(t.Context(), p); err != nil || done[Create]+done[Update]+done[Delete] != p.Changes() {
		t.Fatalf("%v of %d: %v", done, p.Changes(), err)
	}
}

// steps writes the steps of a plan, a line each.
func steps(p *Plan) (list []string) {
	for _, s := range p.Steps {
		list = append(list, strings.TrimSpace(fmt.Sprintln(s.Action, s.Kind, s.Name, strings.Join(s.Fields, ","))))
	}
	slices.Sort(list)
	return list
}

// What is applied is as it was planned, everything of it; and goes again.
func TestPlanApplyDestroy(t *testing.T) {
	a, s := open(t)
	set := alarms(t, options(provision.Scopes...))
	views, err := provision.Dashboards(options())
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		set   *provision.Set
		kinds Kinds
	}{{set, Alarms}, {views, Views}} {
		p := plan(t, a, part.set, part.kinds, true)
		if p.Count(Create) != part.set.Len() || len(p.Steps) != part.set.Len() {
			t.Fatalf("%d of %d steps create", p.Count(Create), part.set.Len())
		}
		apply(t, a, p)
		if p := plan(t, a, part.set, part.kinds, true); len(p.Steps) > 0 || p.Unchanged != part.set.Len() {
			t.Errorf("after apply, %d are unchanged of %d, and:\n%s", p.Unchanged, part.set.Len(), strings.Join(steps(p), "\n"))
		}
	}
	for _, kinds := range []Kinds{Alarms, Views} {
		p, err := a.Owned(t.Context(), "ena", kinds)
		if err != nil {
			t.Fatal(err)
		}
		apply(t, a, p)
		if p, err := a.Owned(t.Context(), "ena", kinds); err != nil || len(p.Steps) > 0 {
			t.Errorf("after destroy: %v, %v", steps(p), err)
		}
	}
	allowed := provision.Applying("ena")
	if !allows(allowed, "cloudwatch:PutCompositeAlarm", "*") {
		t.Error("CloudWatch takes PutCompositeAlarm of * alone")
	}
	for _, r := range s.Journal.Requests("", "") {
		if r.Service == "sts" {
			continue // needs no permission
		}
		for _, arn := range changed(t, r) {
			if action := r.Service + ":" + r.Operation; !allows(allowed, action, arn) {
				t.Errorf("the policy does not allow %s of %s", action, arn)
			} else if strings.HasPrefix(arn, "arn:") && r.Operation != "PutCompositeAlarm" && allows(allowed, action, strings.Replace(arn, "ena", "other", 1)) {
				t.Errorf("the policy allows %s of others than %s", action, arn)
			}
		}
	}
}

// changed lists the ARNs of what a call changes, or a word that only * matches.
func changed(t *testing.T, r awsfake.Request) (arns []string) {
	t.Helper()
	if r.Service != "cloudwatch" || !strings.HasPrefix(r.Operation, "Put") && !strings.HasPrefix(r.Operation, "Delete") {
		return []string{"anything"}
	}
	v, err := cbor.Decode(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for member, prefix := range map[string]string{
		"AlarmName": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:", "DashboardName": "arn:aws:cloudwatch::123456789012:dashboard/",
		"RuleName": "arn:aws:cloudwatch:us-east-1:123456789012:insight-rule/",
	} {
		if name, ok := v.(cbor.Map)[member].(cbor.String); ok {
			arns = append(arns, prefix+string(name))
		}
		names, _ := v.(cbor.Map)[member+"s"].(cbor.List)
		for _, n := range names {
			arns = append(arns, prefix+string(n.(cbor.String)))
		}
	}
	if len(arns) == 0 {
		t.Errorf("what does %s change?", r.Operation)
	}
	return arns
}

// allows evaluates a policy without conditions (IAM User Guide, "Policy evaluation
// logic"): * stands for anything.
func allows(d provision.Document, action, arn string) bool {
	return slices.ContainsFunc(d.Statement, func(s provision.Statement) bool {
		return slices.Contains(s.Action, action) && slices.ContainsFunc(s.Resource, func(pattern string) bool {
			return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(arn)
		})
	})
}

// A query that was made although no answer came is not made twice.
func TestQueryOnce(t *testing.T) {
	a, s := open(t)
	views, err := provision.Dashboards(options())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Faults.Add(awsfake.Rule{Operation: "PutQueryDefinition", Times: 2, Faults: []awsfake.Fault{{Kind: awsfake.Reset, Store: true}}}); err != nil {
		t.Fatal(err)
	}
	apply(t, a, plan(t, a, views, Views, true))
	if list, err := a.findQueries(t.Context(), "ena"); err != nil || len(list) != len(views.Queries) || len(list) < 2 {
		t.Errorf("%d queries, want %d, %v", len(list), len(views.Queries), err)
	}
}

// What somebody changed by hand shows, by field, and is put right.
func TestHandEdits(t *testing.T) {
	a, _ := open(t)
	set := alarms(t, options(provision.PerHost, provision.Fleet, provision.Logs))
	apply(t, a, plan(t, a, set, Alarms, false))
	edit := func(name string, change func(*cloudwatch.PutMetricAlarmInput)) {
		t.Helper()
		i := slices.IndexFunc(set.MetricAlarms, func(m provision.MetricAlarm) bool { return m.AlarmName == name })
		in, err := convert[cloudwatch.PutMetricAlarmInput](set.MetricAlarms[i])
		if err != nil {
			t.Fatal(err)
		}
		in.ActionsEnabled = aws.Bool(true)
		change(in)
		if err := a.call(t.Context(), "PutMetricAlarm", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutMetricAlarm(t.Context(), in, through(x))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	edit("ena-i-0123456789abcdef0-pps-exceeded", func(in *cloudwatch.PutMetricAlarmInput) { in.Threshold = aws.Float64(99) })
	edit("ena-i-0123456789abcdef0-bw-in-exceeded", func(in *cloudwatch.PutMetricAlarmInput) {
		in.ActionsEnabled, in.Unit = aws.Bool(false), types.StandardUnitSeconds
	})
	edit("ena-fleet-pps-exceeded", func(in *cloudwatch.PutMetricAlarmInput) { in.Metrics[0].Expression = aws.String("SELECT 1") })
	// The order of dimensions means nothing.
	edit("ena-i-0123456789abcdef1-pps-exceeded", func(in *cloudwatch.PutMetricAlarmInput) { slices.Reverse(in.Dimensions) })
	p := plan(t, a, set, Alarms, false)
	want := []string{
		"update metric alarm ena-fleet-pps-exceeded Metrics",
		"update metric alarm ena-i-0123456789abcdef0-bw-in-exceeded ActionsEnabled,Unit",
		"update metric alarm ena-i-0123456789abcdef0-pps-exceeded Threshold",
	}
	if diff := cmp.Diff(want, steps(p)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	apply(t, a, p)
	if p := plan(t, a, set, Alarms, false); len(p.Steps) > 0 {
		t.Errorf("not put right: %v", steps(p))
	}
}

// Rules are found to be the set's without its dashboard: by the next destroy, and
// if somebody deleted it by hand.
func TestDestroyDeniedHalfway(t *testing.T) {
	a, s := open(t)
	views, err := provision.Dashboards(options())
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, plan(t, a, views, Views, true))
	if err := s.Faults.Add(awsfake.Rule{Operation: "DeleteInsightRules", Times: -1, Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 403}}}); err != nil {
		t.Fatal(err)
	}
	destroy := func() (*Plan, error) {
		p, err := a.Owned(t.Context(), "ena", Views)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Apply(t.Context(), p)
		return p, err
	}
	first, err := destroy()
	if err == nil || !strings.Contains(err.Error(), "DeleteInsightRules") {
		t.Errorf("denied: %v", err)
	}
	s.Faults.Clear()
	second, err := destroy()
	rules := func(p *Plan) (n int) {
		for _, s := range p.Steps {
			if s.Kind == insightRule {
				n++
			}
		}
		return n
	}
	if err != nil || rules(second) == 0 || rules(second) != rules(first) {
		t.Errorf("%d rules, then %d; %v", rules(first), rules(second), err)
	}
	if p, err := a.Owned(t.Context(), "ena", Views); err != nil || len(p.Steps) > 0 {
		t.Errorf("left: %v, %v", steps(p), err)
	}
}

// Dashboards are global: that of another region has the name, and stays.
func TestDashboardOfAnotherRegion(t *testing.T) {
	a, _ := open(t)
	o := options()
	o.Insights = false
	views, err := provision.Dashboards(o)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, plan(t, a, views, Views, true))
	there := *a
	there.config.Region = "eu-west-1"
	o.Region = "eu-west-1"
	if views, err = provision.Dashboards(o); err != nil {
		t.Fatal(err)
	}
	p := plan(t, &there, views, Views, true)
	if p.Count(Conflict) != 1 {
		t.Errorf("planned:\n%s", strings.Join(steps(p), "\n"))
	}
	if _, err := there.Apply(t.Context(), &Plan{Steps: p.Steps[:1]}); err == nil || !strings.Contains(err.Error(), "dashboards are global") {
		t.Errorf("applied: %v", err)
	}
	if p, err = there.Owned(t.Context(), "ena", Views); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Steps {
		if s.Kind == dashboard {
			t.Errorf("destroy %ss %s", s.Action, s.Name)
		}
	}
}

// What others own is neither changed nor deleted, whatever its name.
func TestStrangers(t *testing.T) {
	a, s := open(t)
	other := options(provision.PerHost)
	other.Name, other.Instances = "ena-i-0123456789abcdef0", other.Instances[1:]
	apply(t, a, plan(t, a, alarms(t, other), Alarms, false))
	foreign := func(name string) {
		if err := a.call(t.Context(), "PutMetricAlarm", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutMetricAlarm(t.Context(), &cloudwatch.PutMetricAlarmInput{
				AlarmName: &name, Namespace: aws.String("Mine"), MetricName: aws.String("m"), Statistic: types.StatisticSum, Period: aws.Int32(60),
				EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold,
			}, through(x))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	foreign("ena-i-0123456789abcdef0-pps-exceeded")
	foreign("ena-of-mine")
	foreign("payments")

	set := alarms(t, options(provision.PerHost))
	p := plan(t, a, set, Alarms, true)
	if p.Count(Delete) != 0 || p.Count(Conflict) != 1 || p.Count(Create) != set.Len()-1 {
		t.Fatalf("planned:\n%s", strings.Join(steps(p), "\n"))
	}
	done, err := a.Apply(t.Context(), p)
	if !errors.Is(err, ErrConflict) || done[Create] != set.Len()-1 {
		t.Errorf("%d created, %v", done[Create], err)
	}

	// An instance is gone: its alarms are kept, or deleted if that is asked for.
	one := options(provision.PerHost)
	one.Instances = one.Instances[:1]
	kept := plan(t, a, alarms(t, one), Alarms, false)
	if kept.Changes() != 0 || kept.Count(Keep) != set.Len()/2 {
		t.Errorf("without prune:\n%s", strings.Join(steps(kept), "\n"))
	}
	pruned := plan(t, a, alarms(t, one), Alarms, true)
	if pruned.Count(Delete) != set.Len()/2 {
		t.Errorf("with prune:\n%s", strings.Join(steps(pruned), "\n"))
	}
	p, err = a.Owned(t.Context(), "ena", Alarms)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, p)
	left, err := a.findAlarms(t.Context(), "ena")
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != set.Len()/2+2 {
		t.Errorf("%d alarms are left, want those of the other set and two strangers", len(left))
	}
	if n := len(s.Journal.Requests("cloudwatch", "DeleteAlarms")); n > 6 {
		t.Errorf("%d calls delete %d alarms", n, set.Len())
	}
}

// 2,000 alarms meet no throttle, and go again.
func TestTwoThousandAlarms(t *testing.T) {
	a, s := open(t)
	o := options(provision.PerHost)
	o.Instances = nil
	for i := range 2000/12 + 1 {
		o.Instances = append(o.Instances, fmt.Sprintf("i-%017x", i))
	}
	set := alarms(t, o)
	if set.Len() < 2000 {
		t.Fatalf("only %d alarms", set.Len())
	}
	apply(t, a, plan(t, a, set, Alarms, false))
	if p := plan(t, a, set, Alarms, false); len(p.Steps) > 0 || p.Unchanged != set.Len() {
		t.Errorf("%d of %d unchanged, %v", p.Unchanged, set.Len(), steps(p))
	}
	p, err := a.Owned(t.Context(), "ena", Alarms)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, a, p)
	for _, r := range s.Journal.Requests("", "") {
		if r.Status != http.StatusOK {
			t.Fatalf("%s answered %d %s", r.Operation, r.Status, r.Code)
		}
	}
}

// A quota that is used up is no throttle: it is said once, with the remedy.
func TestQuota(t *testing.T) {
	a, s := open(t)
	o := options(provision.PerHost)
	o.Instances = nil
	for i := range provision.MaxInsights + 2 {
		o.Instances = append(o.Instances, fmt.Sprintf("i-%017x", i))
	}
	set := alarms(t, o)
	set.CompositeAlarms = nil
	set.MetricAlarms = slices.DeleteFunc(set.MetricAlarms, func(m provision.MetricAlarm) bool { return len(m.Metrics) != 1 })
	if set.Len() != provision.MaxInsights+2 || set.Insights() != set.Len() {
		t.Fatalf("%d alarms, %d of them on queries", set.Len(), set.Insights())
	}
	done, err := a.Apply(t.Context(), plan(t, a, set, Alarms, false))
	if done[Create] != provision.MaxInsights || err == nil || strings.Count(err.Error(), "Service Quotas") != 2 {
		t.Errorf("%d created, %v", done[Create], err)
	}
	if n := len(s.Journal.Requests("cloudwatch", "PutMetricAlarm")); n != set.Len() {
		t.Errorf("%d calls for %d alarms", n, set.Len())
	}
}

// The stand-in throttles as documented: without the pace, the fourth call of a
// second is refused; with it, a call that is throttled by others is made again.
func TestThrottled(t *testing.T) {
	a, s := open(t)
	set := alarms(t, options(provision.Group))
	if err := s.Faults.Add(awsfake.Rule{Service: "cloudwatch", Operation: "PutMetricAlarm", Times: 3, Faults: []awsfake.Fault{{Kind: awsfake.Throttle}, {Kind: awsfake.Status, Status: 500}, {Kind: awsfake.Reset}}}); err != nil {
		t.Fatal(err)
	}
	apply(t, a, plan(t, a, set, Alarms, false))
	calls := 0
	for range 5 {
		_, err := a.cloudwatch.DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{}}, func(o *cloudwatch.Options) {
			o.HTTPClient = &awsclient.Exchange{Owner: a.client, HTTP: a.config.HTTPClient}
		})
		if err == nil {
			calls++
		} else if !strings.Contains(err.Error(), "Rate exceeded") {
			t.Error(err)
		}
	}
	if calls != 3 {
		t.Errorf("%d of 5 calls in one second pass", calls)
	}
}

func TestDenied(t *testing.T) {
	a, s := open(t)
	if err := s.Faults.Add(awsfake.Rule{Operation: "PutMetricAlarm", Times: -1, Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 403}}}); err != nil {
		t.Fatal(err)
	}
	o := options(provision.Group)
	p := plan(t, a, alarms(t, o), Alarms, false)
	done, err := a.Apply(t.Context(), p)
	if done[Create] != 0 || err == nil || !strings.Contains(err.Error(), "deploy/iam/apply.json") {
		t.Errorf("%v, %v", done, err)
	}
	if _, err := a.Plan(t.Context(), &provision.Set{Name: "ena", Parameters: []provision.Parameter{{Name: "InstanceId"}}}, Alarms, false); !errors.Is(err, errParameters) {
		t.Errorf("a set with parameters: %v", err)
	}
}

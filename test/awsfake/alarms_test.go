package awsfake_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/test/awsfake"
)

// alarm is one that CloudWatch takes.
func alarm(name string) *cloudwatch.PutMetricAlarmInput {
	return &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, Namespace: aws.String("ENA"), MetricName: aws.String("heartbeat"), Statistic: types.StatisticSum, Period: aws.Int32(60),
		EvaluationPeriods: aws.Int32(3), Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorLessThanThreshold,
	}
}

// ticking is a clock on which every look is a second later.
func ticking() func() time.Time {
	now := frozen
	return func() time.Time { now = now.Add(time.Second); return now }
}

// What CloudWatch refuses of an alarm, by its documentation.
func TestAlarmLimits(t *testing.T) {
	s := start(t, awsfake.Options{Now: ticking()})
	c := cloudWatch(t, s)
	query := func(id, expression string, returns bool) types.MetricDataQuery {
		return types.MetricDataQuery{Id: &id, Expression: &expression, Period: aws.Int32(60), ReturnData: &returns}
	}
	tests := map[string]func(*cloudwatch.PutMetricAlarmInput){
		"longer than 255":  func(in *cloudwatch.PutMetricAlarmInput) { in.AlarmName = aws.String(strings.Repeat("a", 256)) },
		"AlarmDescription": func(in *cloudwatch.PutMetricAlarmInput) { in.AlarmDescription = aws.String(strings.Repeat("a", 1025)) },
		"size greater than 5": func(in *cloudwatch.PutMetricAlarmInput) {
			in.AlarmActions = slices.Repeat([]string{"arn:aws:sns:us-east-1:1:a"}, 6)
		},
		"Invalid arn": func(in *cloudwatch.PutMetricAlarmInput) { in.OKActions = []string{"me@example.com"} },
		"Exactly one of MetricName": func(in *cloudwatch.PutMetricAlarmInput) {
			in.Metrics = []types.MetricDataQuery{query("q1", "m1", true)}
		},
		"DatapointsToAlarm": func(in *cloudwatch.PutMetricAlarmInput) { in.DatapointsToAlarm = aws.Int32(4) },
		"period 45":         func(in *cloudwatch.PutMetricAlarmInput) { in.Period = aws.Int32(45) },
		"more than a day":   func(in *cloudwatch.PutMetricAlarmInput) { in.EvaluationPeriods = aws.Int32(1441) },
		"TreatMissingData":  func(in *cloudwatch.PutMetricAlarmInput) { in.TreatMissingData = aws.String("never") },
		"Threshold":         func(in *cloudwatch.PutMetricAlarmInput) { in.Threshold = nil },
		"SEARCH is not supported": func(in *cloudwatch.PutMetricAlarmInput) {
			in.MetricName, in.Metrics = nil, []types.MetricDataQuery{query("q1", "SEARCH('x', 'Sum')", true)}
		},
		"should return data": func(in *cloudwatch.PutMetricAlarmInput) {
			in.MetricName, in.Metrics = nil, []types.MetricDataQuery{query("q1", "1", true), query("q2", "1", true)}
		},
	}
	for want, change := range tests {
		in := alarm("a")
		change(in)
		_, err := c.PutMetricAlarm(t.Context(), in)
		if api, ok := errors.AsType[smithy.APIError](err); !ok || !strings.Contains(api.ErrorMessage(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if _, err := c.PutMetricAlarm(t.Context(), alarm("a")); err != nil {
		t.Errorf("an alarm as it should be: %v", err)
	}
	composite := func(name, rule string) error {
		_, err := c.PutCompositeAlarm(t.Context(), &cloudwatch.PutCompositeAlarmInput{AlarmName: &name, AlarmRule: &rule})
		return err
	}
	if err := composite("c1", `ALARM("b")`); err == nil || !strings.Contains(err.Error(), "do not exist") {
		t.Errorf("a rule on an alarm that is not there: %v", err)
	}
	if err := composite("a", `ALARM("a")`); err == nil {
		t.Error("a composite alarm takes the name of another")
	}
	if err := errors.Join(composite("c1", `ALARM("a")`), composite("c2", `ALARM("a")`)); err != nil {
		t.Error(err)
	}
	// Metric alarms alone are shown unless more is asked for.
	out, err := c.DescribeAlarms(t.Context(), &cloudwatch.DescribeAlarmsInput{})
	if err != nil || len(out.MetricAlarms) != 1 || len(out.CompositeAlarms) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := c.DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"a", "c1", "c2"}}); err == nil {
		t.Error("two composite alarms are deleted at once")
	}
	if _, err := c.DeleteAlarms(t.Context(), &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{"a", "c1"}}); err != nil {
		t.Error(err)
	}
}

// Tags are taken when an alarm is made, and left as they are when it changes.
func TestAlarmTags(t *testing.T) {
	s := start(t, awsfake.Options{Now: ticking()})
	c := cloudWatch(t, s)
	for _, value := range []string{"first", "second"} {
		in := alarm("a")
		in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String(value)}}
		if _, err := c.PutMetricAlarm(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	arn := "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a"
	out, err := c.ListTagsForResource(t.Context(), &cloudwatch.ListTagsForResourceInput{ResourceARN: &arn})
	if err != nil || len(out.Tags) != 1 || *out.Tags[0].Value != "first" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestAlarmPages(t *testing.T) {
	s := start(t, awsfake.Options{Now: ticking()})
	c := cloudWatch(t, s)
	for i := range 7 {
		if _, err := c.PutMetricAlarm(t.Context(), alarm(fmt.Sprint("a", i))); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	pages := cloudwatch.NewDescribeAlarmsPaginator(c, &cloudwatch.DescribeAlarmsInput{MaxRecords: aws.Int32(3), AlarmNamePrefix: aws.String("a")})
	for pages.HasMorePages() {
		out, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range out.MetricAlarms {
			names = append(names, *a.AlarmName)
		}
	}
	if strings.Join(names, " ") != "a0 a1 a2 a3 a4 a5 a6" {
		t.Errorf("got %q", names)
	}
}

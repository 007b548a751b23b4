package account

import (
	"context"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Watch is an alarm and what it reads.
type Watch struct {
	Alarm, State string
	// Acts is true if it, or a composite alarm over it, tells somebody.
	Acts    bool
	Metrics []WatchedMetric
}

// WatchedMetric is one metric that an alarm reads. Name and Dimensions are empty
// where a query says it.
type WatchedMetric struct {
	Namespace, Name string
	Dimensions      map[string]string
}

// maxPages bounds how many answers Watches asks for, of pageSize alarms each.
const maxPages = 10

// Watches lists the alarms of an instance in a set, or, if there are none, those
// of the set: a thousand at most.
func (a *Account) Watches(ctx context.Context, set, instance string) ([]Watch, error) {
	var list []Watch
	for _, prefix := range []string{set + "-" + instance + "-", set + "-"} {
		if instance == "" && prefix == set+"--" {
			continue
		}
		in := &cloudwatch.DescribeAlarmsInput{
			AlarmNamePrefix: &prefix, MaxRecords: aws.Int32(pageSize), AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm},
		}
		for range maxPages {
			var out *cloudwatch.DescribeAlarmsOutput
			err := a.call(ctx, "DescribeAlarms", func(x *awsclient.Exchange) (err error) {
				out, err = a.cloudwatch.DescribeAlarms(ctx, in, through(x))
				return err
			})
			if err != nil {
				return nil, err
			}
			list = append(list, watchesOf(out)...)
			if in.NextToken = out.NextToken; in.NextToken == nil {
				break
			}
		}
		if len(list) > 0 {
			break
		}
	}
	return list, nil
}

// watchesOf lists the alarms of one answer.
func watchesOf(out *cloudwatch.DescribeAlarmsOutput) (list []Watch) {
	for i := range out.MetricAlarms {
		m := &out.MetricAlarms[i]
		list = append(list, Watch{aws.ToString(m.AlarmName), string(m.StateValue), len(m.AlarmActions) > 0, metricsOf(m)})
	}
	for i := range out.CompositeAlarms {
		c := &out.CompositeAlarms[i]
		list = append(list, Watch{Alarm: aws.ToString(c.AlarmName), State: string(c.StateValue), Acts: len(c.AlarmActions) > 0})
	}
	return list
}

// schema finds the namespace of a Metrics Insights query.
var schema = regexp.MustCompile(`FROM SCHEMA\("((?:[^"\\]|\\.)*)"`)

func metricsOf(m *types.MetricAlarm) (list []WatchedMetric) {
	add := func(namespace, name *string, dimensions []types.Dimension) {
		w := WatchedMetric{aws.ToString(namespace), aws.ToString(name), map[string]string{}}
		for _, d := range dimensions {
			w.Dimensions[aws.ToString(d.Name)] = aws.ToString(d.Value)
		}
		list = append(list, w)
	}
	if m.MetricName != nil {
		add(m.Namespace, m.MetricName, m.Dimensions)
	}
	for _, q := range m.Metrics {
		if s := q.MetricStat; s != nil && s.Metric != nil {
			add(s.Metric.Namespace, s.Metric.MetricName, s.Metric.Dimensions)
		}
		if of := schema.FindStringSubmatch(aws.ToString(q.Expression)); of != nil {
			add(&of[1], nil, nil)
		}
	}
	return list
}

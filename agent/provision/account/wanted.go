package account

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// What kinds of resources are called.
const (
	metricAlarm    = "metric alarm"
	logAlarm       = "log alarm"
	compositeAlarm = "composite alarm"
	dashboard      = "dashboard"
	insightRule    = "insight rule"
	savedQuery     = "query"
)

// wantedOf lists what a set has, in the order in which it is made.
func wantedOf(s *provision.Set) (list []resource, err error) {
	tags := []types.Tag{{Key: aws.String(provision.OwnerTag), Value: &s.Name}}
	add := func(kind, name string, input any, failed error) {
		if failed != nil && err == nil {
			err = fmt.Errorf("%s %s: %w", kind, name, failed)
		}
		list = append(list, resource{kind, name, input})
	}
	for _, a := range s.MetricAlarms {
		criteria := a.EvaluationCriteria
		a.EvaluationCriteria = nil // a union, which JSON can't fill
		in, failed := convert[cloudwatch.PutMetricAlarmInput](a)
		in.Tags, in.ActionsEnabled = tags, aws.Bool(true)
		if criteria != nil {
			in.EvaluationCriteria = &types.EvaluationCriteriaMemberPromQLCriteria{Value: types.AlarmPromQLCriteria{
				Query: aws.String(criteria.PromQLCriteria.Query), PendingPeriod: aws.Int32(criteria.PromQLCriteria.PendingPeriod), RecoveryPeriod: aws.Int32(criteria.PromQLCriteria.RecoveryPeriod),
			}}
		}
		add(metricAlarm, a.AlarmName, in, failed)
	}
	for _, a := range s.LogAlarms {
		in, failed := convert[cloudwatch.PutLogAlarmInput](a)
		in.Tags, in.ActionsEnabled = tags, aws.Bool(true)
		add(logAlarm, a.AlarmName, in, failed)
	}
	for _, a := range s.CompositeAlarms {
		in, failed := convert[cloudwatch.PutCompositeAlarmInput](a)
		in.Tags, in.ActionsEnabled = tags, aws.Bool(true)
		add(compositeAlarm, a.AlarmName, in, failed)
	}
	for _, d := range s.Dashboards {
		add(dashboard, d.DashboardName, &cloudwatch.PutDashboardInput{DashboardName: &d.DashboardName, DashboardBody: &d.DashboardBody, Tags: tags}, nil)
	}
	for _, r := range s.InsightRules {
		add(insightRule, r.RuleName, &cloudwatch.PutInsightRuleInput{RuleName: &r.RuleName, RuleDefinition: &r.RuleDefinition, RuleState: &r.RuleState, Tags: tags}, nil)
	}
	for _, q := range s.Queries {
		add(savedQuery, q.Name, &logs.PutQueryDefinitionInput{Name: q.Name, QueryString: q.QueryString, LogGroupNames: q.LogGroupNames}, nil)
	}
	return list, err
}

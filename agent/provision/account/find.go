package account

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/enawatch/enawatch/agent/provision"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// pageSize is how many alarms one call returns at most.
const pageSize = 100

// find lists what is there under the set's prefix.
func (a *Account) find(ctx context.Context, set string, kinds Kinds, wanted []resource) ([]existing, error) {
	if kinds == Alarms {
		return a.findAlarms(ctx, set)
	}
	list, err := a.findDashboards(ctx, set)
	if err != nil {
		return nil, err
	}
	rules, err := a.findRules(ctx, set)
	if err != nil {
		return nil, err
	}
	queries, err := a.findQueries(ctx, set)
	return slices.Concat(list, rules, queries), err
}

func (a *Account) findAlarms(ctx context.Context, set string) (list []existing, err error) {
	in := &cloudwatch.DescribeAlarmsInput{
		AlarmNamePrefix: aws.String(set + "-"), MaxRecords: aws.Int32(pageSize),
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm, types.AlarmTypeLogAlarm},
	}
	for {
		var out *cloudwatch.DescribeAlarmsOutput
		a.o.Progress(len(list), 0, "reading alarms")
		err := a.call(ctx, "DescribeAlarms", func(x *awsclient.Exchange) (err error) {
			out, err = a.cloudwatch.DescribeAlarms(ctx, in, through(x))
			return err
		})
		if err != nil {
			return nil, err
		}
		for i := range out.MetricAlarms {
			m := &out.MetricAlarms[i]
			list = append(list, existing{metricAlarm, aws.ToString(m.AlarmName), aws.ToString(m.AlarmArn), "", m})
		}
		for i := range out.LogAlarms {
			m := &out.LogAlarms[i]
			list = append(list, existing{logAlarm, aws.ToString(m.AlarmName), aws.ToString(m.AlarmArn), "", m})
		}
		for i := range out.CompositeAlarms {
			m := &out.CompositeAlarms[i]
			list = append(list, existing{compositeAlarm, aws.ToString(m.AlarmName), aws.ToString(m.AlarmArn), "", m})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, nil
		}
	}
}

// findDashboards finds those whose name is the set's, or begins with it.
func (a *Account) findDashboards(ctx context.Context, set string) (list []existing, err error) {
	in := &cloudwatch.ListDashboardsInput{DashboardNamePrefix: &set}
	for {
		var out *cloudwatch.ListDashboardsOutput
		if err := a.call(ctx, "ListDashboards", func(x *awsclient.Exchange) (err error) {
			out, err = a.cloudwatch.ListDashboards(ctx, in, through(x))
			return err
		}); err != nil {
			return nil, err
		}
		for _, d := range out.DashboardEntries {
			name := aws.ToString(d.DashboardName)
			if name != set && !strings.HasPrefix(name, set+"-") {
				continue
			}
			var body *cloudwatch.GetDashboardOutput
			if err := a.call(ctx, "GetDashboard", func(x *awsclient.Exchange) (err error) {
				body, err = a.cloudwatch.GetDashboard(ctx, &cloudwatch.GetDashboardInput{DashboardName: d.DashboardName}, through(x))
				return err
			}); err != nil {
				return nil, err
			}
			list = append(list, existing{dashboard, name, aws.ToString(d.DashboardArn), "", body})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, nil
		}
	}
}

// rule is a rule with the fields' names of PutInsightRule.
type rule struct {
	RuleName, RuleDefinition, RuleState *string
	ApplyOnTransformedLogs              *bool
}

// findRules finds rules. The API does not tell their ARNs.
func (a *Account) findRules(ctx context.Context, set string) (list []existing, err error) {
	in, prefix := &cloudwatch.DescribeInsightRulesInput{}, ""
	for {
		var out *cloudwatch.DescribeInsightRulesOutput
		if err := a.call(ctx, "DescribeInsightRules", func(x *awsclient.Exchange) (err error) {
			out, err = a.cloudwatch.DescribeInsightRules(ctx, in, through(x))
			return err
		}); err != nil {
			return nil, err
		}
		for _, r := range out.InsightRules {
			name := aws.ToString(r.Name)
			if !strings.HasPrefix(name, set+"-") {
				continue
			}
			if prefix == "" {
				if prefix, err = a.rulePrefix(ctx); err != nil {
					return nil, err
				}
			}
			list = append(list, existing{insightRule, name, prefix + name, "", &rule{r.Name, r.Definition, r.State, r.ApplyOnTransformedLogs}})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return list, nil
		}
	}
}

// rulePrefix returns the ARN of a rule without its name, by the caller's own ARN,
// which IAM lets anyone ask for.
func (a *Account) rulePrefix(ctx context.Context) (string, error) {
	var who *sts.GetCallerIdentityOutput
	if err := a.call(ctx, "GetCallerIdentity", func(x *awsclient.Exchange) (err error) {
		who, err = a.sts.GetCallerIdentity(ctx, nil, func(o *sts.Options) { o.HTTPClient = x })
		return err
	}); err != nil {
		return "", err
	}
	partition := "aws"
	if parts := strings.SplitN(aws.ToString(who.Arn), ":", 3); len(parts) == 3 {
		partition = parts[1]
	}
	return fmt.Sprintf("arn:%s:cloudwatch:%s:%s:insight-rule/", partition, a.config.Region, aws.ToString(who.Account)), nil
}

// findQueries finds the queries in the set's folder: what is in it is the set's,
// as queries take no tags.
func (a *Account) findQueries(ctx context.Context, set string) (list []existing, err error) {
	in := &logs.DescribeQueryDefinitionsInput{QueryDefinitionNamePrefix: set + "/"}
	for {
		var out logs.DescribeQueryDefinitionsOutput
		if err := a.call(ctx, "DescribeQueryDefinitions", func(x *awsclient.Exchange) error {
			out = logs.DescribeQueryDefinitionsOutput{}
			return a.logs.Call(ctx, x, "DescribeQueryDefinitions", in, &out)
		}); err != nil {
			return nil, err
		}
		for _, q := range out.QueryDefinitions {
			list = append(list, existing{savedQuery, q.Name, "", q.QueryDefinitionId, &query{q.Name, q.QueryString, q.LogGroupNames}})
		}
		if in.NextToken = out.NextToken; in.NextToken == "" {
			return list, nil
		}
	}
}

// query has what is compared of a query.
type query struct {
	Name, QueryString string
	LogGroupNames     []string
}

// owns reports whether something has the set's tag. A dashboard that shows another
// region is that region's, as dashboards are global.
func (a *Account) owns(ctx context.Context, set string, f existing) (bool, error) {
	if f.kind == savedQuery {
		return true, nil
	}
	if d, ok := f.current.(*cloudwatch.GetDashboardOutput); ok {
		if r := regionOf(aws.ToString(d.DashboardBody)); r != "" && r != a.config.Region {
			return false, nil
		}
	}
	var out *cloudwatch.ListTagsForResourceOutput
	err := a.call(ctx, "ListTagsForResource", func(x *awsclient.Exchange) (err error) {
		out, err = a.cloudwatch.ListTagsForResource(ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: &f.arn}, through(x))
		return err
	})
	if err != nil {
		return false, fmt.Errorf("%s %s: %w", f.kind, f.name, err)
	}
	return slices.ContainsFunc(out.Tags, func(t types.Tag) bool {
		return aws.ToString(t.Key) == provision.OwnerTag && aws.ToString(t.Value) == set
	}), nil
}

// regionOf returns the region of a dashboard's widgets, or "" if they name none.
func regionOf(body string) string {
	var b struct {
		Widgets []struct {
			Properties struct {
				Region string `json:"region"`
			} `json:"properties"`
		} `json:"widgets"`
	}
	if json.Unmarshal([]byte(body), &b) == nil {
		for _, w := range b.Widgets {
			if w.Properties.Region != "" {
				return w.Properties.Region
			}
		}
	}
	return ""
}

func through(x *awsclient.Exchange) func(*cloudwatch.Options) {
	return func(o *cloudwatch.Options) { o.HTTPClient = x }
}

package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// ErrConflict says that something with a wanted name is not the set's.
var ErrConflict = errors.New("something else has the name")

// Apply carries a plan out. It goes on after an error of one step, and returns
// all of them, with ErrConflict for steps that can't be done; done counts those
// that were.
func (a *Account) Apply(ctx context.Context, p *Plan) (done map[Action]int, err error) {
	done = map[Action]int{}
	var failed []error
	var gone []Step
	n, all := 0, p.Changes()
	for i := range p.Steps {
		s := &p.Steps[i]
		switch s.Action {
		case Conflict:
			why := ""
			if s.Kind == dashboard {
				why = " (perhaps another region's, as dashboards are global)"
			}
			failed = append(failed, fmt.Errorf("%s %s: %w%s: rename or delete it, or choose another --name", s.Kind, s.Name, ErrConflict, why))
		case Create, Update:
			a.o.Progress(n, all, string(s.Action)+" "+s.Name)
			if err := a.put(ctx, s); err != nil {
				failed = append(failed, fmt.Errorf("%s %s: %w", s.Kind, s.Name, err))
			} else {
				done[s.Action]++
			}
			n++
		case Delete:
			gone = append(gone, *s)
		}
		if ctx.Err() != nil {
			return done, errors.Join(append(failed, ctx.Err())...)
		}
	}
	for _, batch := range batches(gone) {
		a.o.Progress(n, all, "delete "+batch[0].Name)
		if err := a.remove(ctx, batch); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", batch[0].Kind, batch[0].Name, err))
		} else {
			done[Delete] += len(batch)
		}
		n += len(batch)
	}
	return done, errors.Join(failed...)
}

// put makes or changes one resource.
func (a *Account) put(ctx context.Context, s *Step) error {
	switch in := s.resource.input.(type) {
	case *cloudwatch.PutMetricAlarmInput:
		return a.call(ctx, "PutMetricAlarm", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutMetricAlarm(ctx, in, through(x))
			return err
		})
	case *cloudwatch.PutLogAlarmInput:
		return a.call(ctx, "PutLogAlarm", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutLogAlarm(ctx, in, through(x))
			return err
		})
	case *cloudwatch.PutCompositeAlarmInput:
		return a.call(ctx, "PutCompositeAlarm", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutCompositeAlarm(ctx, in, through(x))
			return err
		})
	case *cloudwatch.PutDashboardInput:
		return a.call(ctx, "PutDashboard", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutDashboard(ctx, in, through(x))
			return err
		})
	case *cloudwatch.PutInsightRuleInput:
		return a.call(ctx, "PutInsightRule", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.PutInsightRule(ctx, in, through(x))
			return err
		})
	case *logs.PutQueryDefinitionInput:
		// What is tried again must not be there twice.
		in.QueryDefinitionId, in.ClientToken = s.id, rand.Text()+rand.Text()
		return a.call(ctx, "PutQueryDefinition", func(x *awsclient.Exchange) error {
			return a.logs.Call(ctx, x, "PutQueryDefinition", in, nil)
		})
	}
	return fmt.Errorf("no call makes a %T", s.resource.input)
}

// batches groups steps into calls: composite alarms go first and alone, as
// DeleteAlarms takes one of them, then up to 100 alarms at once.
func batches(steps []Step) (list [][]Step) {
	var alarms, rest [][]Step
	for _, s := range steps {
		switch last := len(alarms) - 1; {
		case s.Kind == compositeAlarm:
			list = append(list, []Step{s})
		case family(s.Kind) != "alarm":
			rest = append(rest, []Step{s})
		case last < 0 || len(alarms[last]) == pageSize:
			alarms = append(alarms, []Step{s})
		default:
			alarms[last] = append(alarms[last], s)
		}
	}
	return slices.Concat(list, alarms, rest)
}

// remove deletes a batch.
func (a *Account) remove(ctx context.Context, batch []Step) error {
	var names []string
	for _, s := range batch {
		names = append(names, s.Name)
	}
	switch batch[0].Kind {
	case dashboard:
		return a.call(ctx, "DeleteDashboards", func(x *awsclient.Exchange) error {
			_, err := a.cloudwatch.DeleteDashboards(ctx, &cloudwatch.DeleteDashboardsInput{DashboardNames: names}, through(x))
			return err
		})
	case insightRule:
		return a.call(ctx, "DeleteInsightRules", func(x *awsclient.Exchange) error {
			out, err := a.cloudwatch.DeleteInsightRules(ctx, &cloudwatch.DeleteInsightRulesInput{RuleNames: names}, through(x))
			if err == nil && len(out.Failures) > 0 && out.Failures[0].FailureDescription != nil {
				err = errors.New(*out.Failures[0].FailureDescription)
			}
			return err
		})
	case savedQuery:
		return a.call(ctx, "DeleteQueryDefinition", func(x *awsclient.Exchange) error {
			return a.logs.Call(ctx, x, "DeleteQueryDefinition", &logs.DeleteQueryDefinitionInput{QueryDefinitionId: batch[0].id}, nil)
		})
	}
	return a.call(ctx, "DeleteAlarms", func(x *awsclient.Exchange) error {
		_, err := a.cloudwatch.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: names}, through(x))
		return err
	})
}

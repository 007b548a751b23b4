package doctor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/enawatch/enawatch/agent/provision/account"
)

// Published says which metrics this host publishes to CloudWatch.
type Published struct {
	Namespace string
	// Dimensions are those of the host's metrics.
	Dimensions map[string]string
	// Metric reports whether a metric has the name.
	Metric func(name string) bool
}

// Alarms checks whether alarms of a set watch this host, and read what it
// publishes. err says why CloudWatch did not tell.
func Alarms(set string, list []account.Watch, host Published, err error) []Check {
	const name = "alarms"
	if _, api := errors.AsType[smithy.APIError](err); api {
		return []Check{{name, Warning, "not known: this identity may not call cloudwatch:DescribeAlarms", "run doctor with one that may (AWS_PROFILE; deploy/iam/plan.json): the agent's own needs not"}}
	}
	if err != nil {
		return []Check{{name, Warning, "not known: " + err.Error(), "nothing, if only this host can't reach CloudWatch itself: look from another"}}
	}
	if len(list) == 0 {
		return []Check{{name, Warning, fmt.Sprintf("there is none whose name begins with %s-", set), "make them: enawatch alarms apply --help; of another set, give its --name"}}
	}
	var wrong []Check
	raised, silent := 0, 0
	for _, w := range list {
		if w.State == "ALARM" {
			raised++
		}
		if !w.Acts {
			silent++
		}
		if text := host.differs(w); text != "" {
			wrong = append(wrong, Check{name, Failed, w.Alarm + " " + text, "run enawatch alarms plan with the agent's configuration, then apply"})
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	found := fmt.Sprintf("%s read what is published, %d raised", count(len(list), "alarm"), raised)
	if len(list) == 1 {
		found = fmt.Sprintf("1 alarm reads what is published, %d raised", raised)
	}
	if silent == len(list) {
		return []Check{{name, Warning, found + "; none of them tells anybody", "give them --alarm-actions, such as the ARN of an SNS topic"}}
	}
	return []Check{fine(name, "%s", found)}
}

// differs says how what an alarm reads is not what the host publishes.
func (p Published) differs(w account.Watch) string {
	for _, m := range w.Metrics {
		dimensions := m.Dimensions
		switch {
		case strings.HasPrefix(m.Namespace, "AWS/"):
			continue
		case m.Namespace != p.Namespace:
			return fmt.Sprintf("reads the namespace %s, and this host publishes in %s", m.Namespace, p.Namespace)
		case m.Name != "" && !p.Metric(m.Name):
			return fmt.Sprintf("reads %s, which enawatch does not publish", m.Name)
		case dimensions["InstanceId"] == p.Dimensions["InstanceId"] && dimensions["InstanceId"] != "" && dimensions["NetworkInterfaceId"] == "" && !maps.Equal(dimensions, p.Dimensions):
			return fmt.Sprintf("reads %s with the dimensions %s, and this host publishes it with %s", m.Name, text(dimensions), text(p.Dimensions))
		}
	}
	return ""
}

// text writes dimensions in order.
func text(dimensions map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(dimensions)) {
		list = append(list, name+"="+dimensions[name])
	}
	return strings.Join(list, ",")
}

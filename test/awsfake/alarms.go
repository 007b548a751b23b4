package awsfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Limits of alarms (CloudWatch API reference, PutMetricAlarm, PutCompositeAlarm,
// PutLogAlarm, DeleteAlarms, DescribeAlarms).
const (
	maxAlarmName        = 255
	maxAlarmDescription = 1024
	maxAlarmActions     = 5
	maxAlarmMetrics     = 20
	maxAlarmRule        = 10_240
	maxAlarmDelete      = 100
	alarmPage           = 50
	maxAlarmPage        = 100
	maxAlarmWindow      = 24 * 60 * 60
	maxInsightsAlarms   = 200
)

// rates are calls a second of one account (User Guide, "CloudWatch quotas");
// DeleteAlarms and the alarms' Put share theirs with nobody.
var rates = map[string]int{
	"PutMetricAlarm": 3, "PutCompositeAlarm": 3, "PutLogAlarm": 3, "DeleteAlarms": 3, "DescribeAlarms": 9,
	"PutDashboard": 10, "GetDashboard": 10, "ListDashboards": 10, "DeleteDashboards": 10,
}

// provisioned is an alarm, dashboard or rule.
type provisioned struct {
	name, arn string
	// list is the member of DescribeAlarms' output that an alarm is in.
	list   string
	fields cbor.Map // as they were sent, without tags
	tags   map[string]string
}

// throttle refuses a call that is one too many in its second.
func (cw *CloudWatch) throttle(c *call) *apiError {
	limit, ok := rates[c.operation]
	if !ok {
		return nil
	}
	recent := slices.DeleteFunc(cw.calls[c.operation], func(t time.Time) bool { return c.now.Sub(t) >= time.Second })
	cw.calls[c.operation] = append(recent, c.now)
	if len(recent) >= limit {
		return errThrottled(http.StatusBadRequest, 0)
	}
	return nil
}

// locked makes an operation of one that needs the lock and has a rate.
func (cw *CloudWatch) locked(f func(c *call, root cborShape, bad *complaints) (cbor.Map, *apiError)) cloudWatchOperation {
	return func(c *call, in cbor.Map) (cloudWatchReply, *apiError) {
		cw.mu.Lock()
		defer cw.mu.Unlock()
		if e := cw.throttle(c); e != nil {
			return cloudWatchReply{}, e
		}
		var malformed error
		var bad complaints
		out, e := f(c, cborShape{in, "", &malformed}, &bad)
		switch {
		case malformed != nil:
			return cloudWatchReply{}, errSerialization(malformed.Error())
		case e != nil:
			return cloudWatchReply{}, e
		case bad.err() != nil:
			return cloudWatchReply{}, bad.err()
		}
		return cloudWatchReply{body: out, stored: strings.HasPrefix(c.operation, "Put") || strings.HasPrefix(c.operation, "Delete")}, nil
	}
}

// put stores what was sent under a name, unless there are complaints. Tags count
// only if it is new.
func (cw *CloudWatch) put(in map[string]*provisioned, root cborShape, bad *complaints, p *provisioned) {
	tags := map[string]string{}
	for _, t := range root.shapes("Tags") {
		tags[t.text("Key")] = t.text("Value")
	}
	if *root.err != nil || bad.first != "" {
		return
	}
	p.fields, p.tags = cbor.Map{}, tags
	for k, v := range root.m {
		if k != "Tags" {
			p.fields[k] = v
		}
	}
	if old := in[p.name]; old != nil {
		p.tags = old.tags
	}
	in[p.name] = p
}

func (cw *CloudWatch) alarmARN(name string) string {
	return fmt.Sprintf("arn:aws:cloudwatch:%s:%s:alarm:%s", cw.region, cw.account, name)
}

var anyARN = regexp.MustCompile(`^arn:aws[a-z-]*:[a-z-]+:[^:]*:[^:]*:.+$`)

// checkAlarm checks what all alarms have.
func (cw *CloudWatch) checkAlarm(root cborShape, bad *complaints, list string) *provisioned {
	name := root.text("AlarmName")
	switch {
	case name == "":
		bad.missing("AlarmName")
	case len(name) > maxAlarmName:
		bad.value("The value %s for parameter AlarmName is longer than %d.", name, maxAlarmName)
	}
	if other := cw.alarms[name]; other != nil && other.list != list {
		bad.value("An alarm of another type has the name %s.", name)
	}
	if len(root.text("AlarmDescription")) > maxAlarmDescription {
		bad.value("The parameter AlarmDescription is longer than %d.", maxAlarmDescription)
	}
	for _, member := range []string{"AlarmActions", "OKActions", "InsufficientDataActions"} {
		actions := root.texts(member)
		if len(actions) > maxAlarmActions {
			bad.value("The collection %s must not have a size greater than %d.", member, maxAlarmActions)
		}
		for _, a := range actions {
			if !anyARN.MatchString(a) {
				bad.value("Invalid arn syntax: %s", a)
			}
			if list == "CompositeAlarms" && strings.Contains(a, ":autoscaling:") {
				bad.value("Unsupported action for a composite alarm: %s", a)
			}
		}
	}
	return &provisioned{name: name, arn: cw.alarmARN(name), list: list}
}

func oneOf(root cborShape, bad *complaints, name string, required bool, values ...string) {
	v := root.text(name)
	if v == "" && required {
		bad.missing(name)
	} else if v != "" && !slices.Contains(values, v) {
		bad.value("The value %s for parameter %s is invalid.", v, name)
	}
}

// checkThreshold checks what metric and log alarms compare.
func checkThreshold(root cborShape, bad *complaints) {
	oneOf(root, bad, "ComparisonOperator", true, "GreaterThanOrEqualToThreshold", "GreaterThanThreshold", "LessThanThreshold", "LessThanOrEqualToThreshold")
	oneOf(root, bad, "TreatMissingData", false, "breaching", "notBreaching", "ignore", "missing")
	if root.number("Threshold") == nil {
		bad.missing("Threshold")
	}
}

func (cw *CloudWatch) putMetricAlarm(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	p := cw.checkAlarm(root, bad, "MetricAlarms")
	metrics := root.shapes("Metrics")
	_, promQL := root.shape("EvaluationCriteria")
	ways := 0
	for _, way := range []bool{root.text("MetricName") != "", len(metrics) > 0, promQL} {
		if way {
			ways++
		}
	}
	if ways != 1 {
		bad.combination("Exactly one of MetricName, Metrics and EvaluationCriteria must be specified.")
	}
	if promQL {
		if n, ok := root.integer("EvaluationInterval"); !ok || !validPeriod(n) {
			bad.value("The value %d for parameter EvaluationInterval is invalid.", n)
		}
	} else {
		checkThreshold(root, bad)
		n, ok := root.integer("EvaluationPeriods")
		if m, some := root.integer("DatapointsToAlarm"); !ok || n < 1 || some && (m < 1 || m > n) {
			bad.value("The values for EvaluationPeriods and DatapointsToAlarm are invalid.")
		}
		period, _ := root.integer("Period")
		if len(metrics) > 0 {
			period = checkQueries(metrics, bad)
		} else {
			oneOf(root, bad, "Statistic", true, "SampleCount", "Average", "Sum", "Minimum", "Maximum")
			checkNamespace(bad, strings.TrimPrefix(root.text("Namespace"), "AWS/"))
			readDimensions(bad, root)
		}
		if !validPeriod(period) || int(period)*int(n) > maxAlarmWindow {
			bad.value("The period %d is invalid, or more than a day is evaluated.", period)
		}
	}
	if cw.alarms[p.name] == nil && isInsightsAlarm(root) && cw.insightsAlarms() == maxInsightsAlarms {
		return nil, &apiError{status: http.StatusBadRequest, shape: "LimitExceededFault", query: "LimitExceeded", message: "The maximum limit of Metrics Insights alarms has been reached"}
	}
	cw.put(cw.alarms, root, bad, p)
	return cbor.Map{}, nil
}

// isInsightsAlarm reports whether an alarm is on a Metrics Insights query.
func isInsightsAlarm(root cborShape) bool {
	metrics := root.shapes("Metrics")
	return len(metrics) == 1 && strings.HasPrefix(metrics[0].text("Expression"), "SELECT ")
}

func (cw *CloudWatch) insightsAlarms() (n int) {
	for _, p := range cw.alarms {
		var malformed error
		if p.list == "MetricAlarms" && isInsightsAlarm(cborShape{p.fields, "", &malformed}) {
			n++
		}
	}
	return n
}

func validPeriod(n int32) bool { return n == 10 || n == 20 || n == 30 || n > 0 && n%60 == 0 }

// checkQueries checks the metrics of an alarm on several and returns their period.
func checkQueries(metrics []cborShape, bad *complaints) (period int32) {
	if len(metrics) > maxAlarmMetrics {
		bad.value("The collection Metrics must not have a size greater than %d.", maxAlarmMetrics)
	}
	results := 0
	for _, m := range metrics {
		if returns, ok := m.boolean("ReturnData"); returns || !ok {
			results++
		}
		expression := m.text("Expression")
		stat, isMetric := m.shape("MetricStat")
		if isMetric == (expression != "") {
			bad.combination("Exactly one of %sExpression and %sMetricStat must be specified.", m.path, m.path)
		}
		if strings.Contains(expression, "SEARCH(") {
			bad.value("SEARCH is not supported on Metric Alarms.")
		}
		if n, ok := m.integer("Period"); ok {
			period = n
		}
		if isMetric {
			period, _ = stat.integer("Period")
			if of, ok := stat.shape("Metric"); ok {
				readDimensions(bad, of)
			} else {
				bad.missing(stat.path + "Metric")
			}
		}
	}
	if results != 1 {
		bad.value("Exactly one element of the metrics list should return data.")
	}
	return period
}

func (cw *CloudWatch) putLogAlarm(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	p := cw.checkAlarm(root, bad, "LogAlarms")
	checkThreshold(root, bad)
	n, _ := root.integer("QueryResultsToEvaluate")
	m, _ := root.integer("QueryResultsToAlarm")
	if n < 1 || n > 100 || m < 1 || m > n {
		bad.value("The values for QueryResultsToEvaluate and QueryResultsToAlarm are invalid.")
	}
	q, ok := root.shape("ScheduledQueryConfiguration")
	if !ok {
		bad.missing("ScheduledQueryConfiguration")
		return nil, nil
	}
	if groups := q.texts("LogGroupIdentifiers"); len(groups) < 1 || len(groups) > 50 {
		bad.value("The collection LogGroupIdentifiers must have a size from 1 to 50.")
	}
	if n := len(q.text("AggregationExpression")); n < 1 || n > 2048 {
		bad.value("The parameter AggregationExpression must have a length from 1 to 2048.")
	}
	if !anyARN.MatchString(q.text("ScheduledQueryRoleARN")) {
		bad.value("Invalid arn syntax: %s", q.text("ScheduledQueryRoleARN"))
	}
	cw.put(cw.alarms, root, bad, p)
	return cbor.Map{}, nil
}

var ruleAlarm = regexp.MustCompile(`\b(?:ALARM|OK|INSUFFICIENT_DATA)\("([^"]+)"\)`)

func (cw *CloudWatch) putCompositeAlarm(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	p := cw.checkAlarm(root, bad, "CompositeAlarms")
	rule := root.text("AlarmRule")
	children := ruleAlarm.FindAllStringSubmatch(rule, -1)
	if rule == "" || len(rule) > maxAlarmRule || len(children) > 100 {
		bad.value("The parameter AlarmRule must have a length from 1 to %d and at most 100 alarms.", maxAlarmRule)
	}
	for _, m := range children {
		if cw.alarms[m[1]] == nil {
			bad.value("Could not save the composite alarm as alarms [%s] in the alarm rule do not exist", m[1])
		}
	}
	cw.put(cw.alarms, root, bad, p)
	return cbor.Map{}, nil
}

// describeAlarms lists metric alarms only, unless types are asked for.
func (cw *CloudWatch) describeAlarms(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	lists := map[string]bool{"MetricAlarms": true}
	if kinds := root.texts("AlarmTypes"); len(kinds) > 0 {
		lists = map[string]bool{}
		for _, k := range kinds {
			lists[k+"s"] = true
		}
	}
	prefix, names := root.text("AlarmNamePrefix"), root.texts("AlarmNames")
	most := int32(alarmPage)
	if n, ok := root.integer("MaxRecords"); ok {
		most = n
	}
	if most < 1 || most > maxAlarmPage {
		bad.value("The value %d for parameter MaxRecords is invalid.", most)
	}
	out := cbor.Map{}
	found, next := pageOf(cw.alarms, root.text("NextToken"), int(most), func(p *provisioned) bool {
		return lists[p.list] && strings.HasPrefix(p.name, prefix) && (len(names) == 0 || slices.Contains(names, p.name))
	})
	for l := range lists {
		out[l] = cbor.List{}
	}
	for _, p := range found {
		shown := cbor.Map{"AlarmArn": cbor.String(p.arn), "StateValue": cbor.String("INSUFFICIENT_DATA")}
		for k, v := range p.fields {
			shown[k] = v
		}
		out[p.list] = append(out[p.list].(cbor.List), shown)
	}
	if next != "" {
		out["NextToken"] = cbor.String(next)
	}
	return out, nil
}

// pageOf returns what is behind a token, in order of names, and the next token.
func pageOf(all map[string]*provisioned, token string, most int, want func(*provisioned) bool) (found []*provisioned, next string) {
	for _, p := range all {
		if p.name > token && want(p) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *provisioned) int { return strings.Compare(a.name, b.name) })
	if len(found) > most {
		found = found[:most]
		next = found[most-1].name
	}
	return found, next
}

// deleteAlarms deletes all or, if one can't be, none.
func (cw *CloudWatch) deleteAlarms(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	names, composites := root.texts("AlarmNames"), 0
	for _, n := range names {
		if p := cw.alarms[n]; p != nil && p.list == "CompositeAlarms" {
			composites++
		}
	}
	if len(names) > maxAlarmDelete || composites > 1 {
		bad.value("At most %d alarms can be deleted at once, one of them a composite alarm.", maxAlarmDelete)
		return nil, nil
	}
	for _, n := range names {
		if cw.alarms[n] == nil {
			return nil, &apiError{status: http.StatusNotFound, shape: "ResourceNotFound", query: "ResourceNotFound", message: "Alarm " + n + " does not exist"}
		}
		delete(cw.alarms, n)
	}
	return cbor.Map{}, nil
}

// tagged finds a resource by its ARN.
func (cw *CloudWatch) tagged(arn string) (*provisioned, *apiError) {
	for _, all := range []map[string]*provisioned{cw.alarms, cw.dashboards, cw.rules} {
		for _, p := range all {
			if p.arn == arn {
				return p, nil
			}
		}
	}
	return nil, &apiError{status: http.StatusNotFound, shape: "ResourceNotFoundException", query: "ResourceNotFoundException", message: "Unknown resource: " + arn}
}

func (cw *CloudWatch) listTags(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	p, e := cw.tagged(root.text("ResourceARN"))
	if e != nil {
		return nil, e
	}
	list := cbor.List{}
	for k, v := range p.tags {
		list = append(list, cbor.Map{"Key": cbor.String(k), "Value": cbor.String(v)})
	}
	return cbor.Map{"Tags": list}, nil
}

func (cw *CloudWatch) tagResource(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	p, e := cw.tagged(root.text("ResourceARN"))
	if e != nil {
		return nil, e
	}
	for _, t := range root.shapes("Tags") {
		p.tags[t.text("Key")] = t.text("Value")
	}
	return cbor.Map{}, nil
}

// decodeBody reads a JSON body of a dashboard or a rule.
func decodeBody(text string, to any) bool { return json.Unmarshal([]byte(text), to) == nil }

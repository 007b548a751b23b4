package evaluate

import "github.com/enawatch/enawatch/agent/provision"

// State is that of an alarm.
type State string

const (
	OK           State = "OK"
	Alarm        State = "ALARM"
	Insufficient State = "INSUFFICIENT_DATA"
)

// extra is how many periods CloudWatch looks at before those that it evaluates,
// in case some are missing. It says that this depends on the period and does not
// say how; this is the number of its examples (User Guide, "Configuring how
// CloudWatch alarms treat missing data").
const extra = 2

// rule says when points make an alarm: at least m of n breach.
type rule struct {
	n, m     int
	breaches func(float64) bool
	missing  string
}

func ruleOf(a *provision.MetricAlarm) (rule, error) {
	r := rule{n: int(a.EvaluationPeriods), m: int(a.DatapointsToAlarm), missing: a.TreatMissingData}
	if r.m == 0 {
		r.m = r.n
	}
	if r.missing == "" {
		r.missing = "missing"
	}
	if a.Threshold == nil {
		return r, unsupported("alarm without threshold", a.AlarmName)
	}
	threshold := *a.Threshold
	switch a.ComparisonOperator {
	case "GreaterThanOrEqualToThreshold":
		r.breaches = func(v float64) bool { return v >= threshold }
	case "GreaterThanThreshold":
		r.breaches = func(v float64) bool { return v > threshold }
	case "LessThanThreshold":
		r.breaches = func(v float64) bool { return v < threshold }
	case "LessThanOrEqualToThreshold":
		r.breaches = func(v float64) bool { return v <= threshold }
	default:
		return r, unsupported("comparison", a.ComparisonOperator)
	}
	return r, nil
}

// state returns the state that the points of the evaluation range, the oldest
// first, bring an alarm to that is in state now.
func (r rule) state(points values, now State) State {
	found, breaching, good, oldest := 0, 0, 0, 0
	for age := 1; age <= len(points) && found < r.n; age++ {
		p := points[len(points)-age]
		if p == nil {
			continue
		}
		found++
		if r.breaches(*p) {
			breaching++
			oldest = age
		} else {
			good++
		}
	}
	if breaching >= r.m {
		return Alarm
	}
	absent := r.n - found
	switch {
	case absent == 0:
		return OK
	case r.missing == "breaching" && breaching+absent >= r.m:
		return Alarm
	case r.missing == "breaching" || r.missing == "notBreaching":
		return OK
	case found == 0 && r.missing == "missing":
		return Insufficient
	case found == 0:
		return now
	case good == 0 && oldest >= r.m && r.missing == "missing":
		// What is there breaches, and the oldest of it is old enough.
		return Alarm
	case good == 0 && oldest >= r.m:
		return now
	}
	return OK
}

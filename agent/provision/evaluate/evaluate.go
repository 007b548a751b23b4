// Package evaluate says what CloudWatch would make of alarms and data: when each
// alarm changes its state. It follows the documented rules (User Guide, "Alarm
// evaluation", "Configuring how CloudWatch alarms treat missing data", "Using
// metric math", "Metrics Insights alarms", "Composite alarms") and does no I/O.
//
//	e, err := evaluate.New(alarms)
//	e.Metrics.Add("ENA", batch)         // of each window, in any order
//	transitions, err := e.Until(time)   // what happened since the last call
//
// It knows what the alarms of package provision use: M of N data points, all
// four ways to treat missing data, the five statistics, arithmetic and FILL,
// Metrics Insights queries with their contributors, composite rules, and
// suppressors. Log and PromQL alarms read what a window is not: see
// [Evaluator.Skipped].
package evaluate

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/enawatch/enawatch/agent/provision"
)

// interval is how often CloudWatch evaluates alarms with periods of a minute and
// more.
const interval = time.Minute

// Transition is a change of an alarm's state, or of one contributor's.
type Transition struct {
	At    time.Time
	Alarm string
	// Contributor names the group of a Metrics Insights alarm ("i-0abc", with a
	// space between the values of several dimensions), or is "" for the alarm.
	Contributor string
	From, To    State
	// SuppressedBy says why a composite alarm takes no actions yet. When it takes
	// them after all, there is another transition, from the state to itself.
	SuppressedBy Suppression
}

// Evaluator evaluates alarms minute by minute. It is not safe for concurrent use.
type Evaluator struct {
	// Metrics are what the alarms read.
	Metrics Metrics
	// Skipped names the alarms that are not evaluated, as they read logs or
	// PromQL.
	Skipped []string

	alarms     []*alarm
	composites []*composite
	states     map[string]State
	next       time.Time // zero before the first call of Until
}

// alarm is a metric alarm.
type alarm struct {
	provision.MetricAlarm
	rule   rule
	period time.Duration
	// query is set for Metrics Insights; grouped, if each group is a contributor.
	query        *insights
	contributors map[string]State
}

// New returns an evaluator in which every alarm has INSUFFICIENT_DATA, as one
// that was just made. The error names what it does not know of an alarm.
func New(set *provision.Set) (*Evaluator, error) {
	e := &Evaluator{states: map[string]State{}}
	for _, a := range set.MetricAlarms {
		if a.EvaluationCriteria != nil {
			e.Skipped = append(e.Skipped, a.AlarmName)
			continue
		}
		next, err := newAlarm(a)
		if err != nil {
			return nil, fmt.Errorf("alarm %s: %w", a.AlarmName, err)
		}
		e.alarms = append(e.alarms, next)
		e.states[a.AlarmName] = Insufficient
	}
	for _, a := range set.LogAlarms {
		e.Skipped = append(e.Skipped, a.AlarmName)
	}
	for _, a := range set.CompositeAlarms {
		e.composites = append(e.composites, &composite{CompositeAlarm: a})
		e.states[a.AlarmName] = Insufficient
	}
	return e, nil
}

func newAlarm(a provision.MetricAlarm) (*alarm, error) {
	r, err := ruleOf(&a)
	if err != nil {
		return nil, err
	}
	out := &alarm{MetricAlarm: a, rule: r, period: time.Duration(a.Period) * time.Second, contributors: map[string]State{}}
	for _, q := range a.Metrics {
		if q.MetricStat != nil {
			out.period = time.Duration(q.MetricStat.Period) * time.Second
		}
		if !isInsights(q.Expression) {
			continue
		}
		out.period = time.Duration(q.Period) * time.Second
		if out.query, err = parseInsights(q.Expression); err != nil {
			return nil, err
		}
	}
	if out.period <= 0 {
		return nil, unsupported("period", fmt.Sprint(out.period))
	}
	return out, nil
}

// Until evaluates the alarms at each minute after the last call, up to and with
// t; at the first call, at t alone. It returns what changed, in order of time.
func (e *Evaluator) Until(t time.Time) ([]Transition, error) {
	t = t.Truncate(interval)
	if e.next.IsZero() {
		e.next = t
	}
	var out []Transition
	for ; !e.next.After(t); e.next = e.next.Add(interval) {
		changed, err := e.evaluate(e.next)
		if err != nil {
			return out, err
		}
		out = append(out, changed...)
	}
	return out, nil
}

// State returns the state of an alarm.
func (e *Evaluator) State(name string) State { return e.states[name] }

func (e *Evaluator) evaluate(now time.Time) (out []Transition, err error) {
	for _, a := range e.alarms {
		changed, state, err := e.measure(a, now)
		if err != nil {
			return out, fmt.Errorf("alarm %s: %w", a.AlarmName, err)
		}
		out = append(out, changed...)
		out = append(out, e.enter(a.AlarmName, state, now)...)
	}
	for _, c := range e.composites {
		in, err := holds(c.AlarmRule, func(name string) (State, bool) { s, ok := e.states[name]; return s, ok })
		if err != nil {
			return out, fmt.Errorf("alarm %s: %w", c.AlarmName, err)
		}
		state := OK
		if in {
			state = Alarm
		}
		changed := e.enter(c.AlarmName, state, now)
		if c.ActionsSuppressor != "" {
			changed = c.suppress(changed, state, e.states[c.ActionsSuppressor] == Alarm, now)
		}
		out = append(out, changed...)
	}
	return out, nil
}

// enter sets the state of an alarm, and returns the transition if it is one.
func (e *Evaluator) enter(name string, to State, now time.Time) []Transition {
	from := e.states[name]
	e.states[name] = to
	if from == to {
		return nil
	}
	return []Transition{{At: now, Alarm: name, From: from, To: to}}
}

// measure returns the state that a metric alarm comes to, and what changed of
// its contributors.
func (e *Evaluator) measure(a *alarm, now time.Time) ([]Transition, State, error) {
	in := span{now: now, period: a.period, n: a.rule.n + extra}
	state := e.states[a.AlarmName]
	if a.query == nil {
		points, err := e.points(a, in)
		return nil, a.rule.state(points, state), err
	}
	groups, err := a.query.run(&e.Metrics, in)
	switch {
	case err != nil:
		return nil, state, err
	case len(a.query.group) == 0:
		points, ok := groups[""]
		if !ok {
			points = make(values, in.n)
		}
		return nil, a.rule.state(points, state), nil
	}
	return a.contribute(groups, now), a.worst(groups), nil
}

// contribute evaluates each group. One that the query does not return any more
// is OK, whatever missing data are.
func (a *alarm) contribute(groups map[string]values, now time.Time) (out []Transition) {
	all := maps.Clone(a.contributors)
	for g := range groups {
		all[g] = OK
	}
	for _, g := range slices.Sorted(maps.Keys(all)) {
		from, known := a.contributors[g]
		if !known {
			from = OK
		}
		to := OK
		if points, ok := groups[g]; ok && a.rule.state(points, from) == Alarm {
			to = Alarm
		}
		a.contributors[g] = to
		if from != to {
			out = append(out, Transition{At: now, Alarm: a.AlarmName, Contributor: g, From: from, To: to})
		}
		if _, ok := groups[g]; !ok {
			delete(a.contributors, g)
		}
	}
	return out
}

// worst is the state of an alarm with contributors.
func (a *alarm) worst(groups map[string]values) State {
	switch {
	case len(groups) == 0:
		return Insufficient
	case slices.Contains(slices.Collect(maps.Values(a.contributors)), Alarm):
		return Alarm
	}
	return OK
}

// points returns what an alarm on one metric or an expression compares.
func (e *Evaluator) points(a *alarm, in span) (values, error) {
	if a.MetricName != "" {
		return e.Metrics.of(provision.Metric{Namespace: a.Namespace, MetricName: a.MetricName, Dimensions: a.Dimensions}).statistic(a.Statistic, in)
	}
	ids := map[string]values{}
	for _, q := range a.Metrics {
		if q.MetricStat == nil {
			continue
		}
		v, err := e.Metrics.of(q.MetricStat.Metric).statistic(q.MetricStat.Stat, in)
		if err != nil {
			return nil, err
		}
		if ids[q.Id] = v; q.ReturnData {
			return v, nil
		}
	}
	for _, q := range a.Metrics {
		if q.ReturnData {
			return calculate(q.Expression, ids, in.n)
		}
	}
	return nil, unsupported("alarm without a result", a.AlarmName)
}

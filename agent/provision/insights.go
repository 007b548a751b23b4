package provision

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/window"
)

// DefaultLogGroup is the one that the agent's EMF goes to if nothing else is said.
const DefaultLogGroup = "/enawatch/emf"

// Members of EMF documents that are no dimensions. A test holds them against
// what the agent writes.
const (
	hostMember      = "host"
	interfaceMember = "interface"
	podsMember      = "pods"
	zoneMember      = "availability_zone"
	// Who sent most to link-local services in a window, and has most tracked
	// connections, and how many: where the agent counts that.
	senderMember  = "linklocal_top_sender"
	packetsMember = "linklocal_top_packets"
	ownerMember   = "conntrack_top_owner"
	entriesMember = "conntrack_top_entries"
	sumSuffix     = "_sum"
)

// rules returns Contributor Insights rules: who has most of each counter.
func (o *Options) rules() (list []InsightRule, err error) {
	type contributor struct {
		what string
		keys []string
	}
	for _, e := range allowances() {
		by := []contributor{{"instances", []string{"$." + instanceDimension}}, {"interfaces", []string{"$." + instanceDimension, "$." + interfaceDimension}}, {"zones", []string{"$." + zoneMember}}}
		if e.Scope == metric.PerInterface {
			// The first pod of a list is one that answers DNS, if there is one.
			by = append(by, contributor{"pods", []string{"$." + podsMember + "[0]"}})
		}
		for _, d := range o.Dimensions {
			by = append(by, contributor{d.Name, []string{"$." + d.Name}})
		}
		for _, c := range by {
			r, err := o.rule("top-"+c.what, e.short(), "$."+e.Name+sumSuffix, c.keys...)
			if err != nil {
				return nil, err
			}
			list = append(list, r)
		}
		if c, ok := culprits[e.Allowance]; ok {
			r, err := o.rule(c.rule, e.short(), "$."+c.value, "$."+c.key)
			if err != nil {
				return nil, err
			}
			list = append(list, r)
		}
	}
	return list, nil
}

// culprits are, by allowance, who is named in documents of agents that count who
// spends it: pods, by their names.
var culprits = map[string]struct{ rule, key, value string }{
	"linklocal": {"top-senders", senderMember, packetsMember},
	"conntrack": {"top-owners", ownerMember, entriesMember},
}

// rule returns a rule that ranks what has certain values in certain members by the
// sum of another one.
func (o *Options) rule(what, of, value string, keys ...string) (InsightRule, error) {
	body, err := json.MarshalIndent(ruleBody{
		Schema: ruleSchema{"CloudWatchLogRule", 1}, LogGroupNames: []string{o.LogGroup}, LogFormat: "JSON", AggregateOn: "Sum",
		Contribution: contribution{Keys: keys, ValueOf: value, Filters: []filter{{Match: value, GreaterThan: 0}}},
	}, "", "  ")
	if err != nil {
		return InsightRule{}, fmt.Errorf("rule for %s: %w", value, err)
	}
	return InsightRule{RuleName: o.named(what, of), RuleState: "ENABLED", RuleDefinition: string(body)}, nil
}

// ruleBody is a rule as the User Guide writes it ("Contributor Insights rule
// syntax").
type ruleBody struct {
	Schema        ruleSchema
	LogGroupNames []string
	LogFormat     string
	Contribution  contribution
	AggregateOn   string
}

type ruleSchema struct {
	Name    string
	Version int
}

type contribution struct {
	Keys    []string
	ValueOf string
	Filters []filter
}

type filter struct {
	Match       string
	GreaterThan float64
}

// queries returns Logs Insights queries over EMF.
func (o *Options) queries() (list []Query) {
	add := func(name string, lines ...string) {
		list = append(list, Query{Name: o.Name + "/" + name, QueryString: strings.Join(lines, "\n| "), LogGroupNames: []string{o.LogGroup}})
	}
	var sums, seconds []string
	for _, e := range allowances() {
		sums = append(sums, fmt.Sprintf("sum(%s%s) as %s", e.Name, sumSuffix, e.Allowance))
		seconds = append(seconds, fmt.Sprintf("sum(%s) as %s", e.seconds.Name, e.Allowance))
		add("worst instances by "+e.short(), "filter "+e.Name+sumSuffix+" > 0",
			fmt.Sprintf("stats sum(%s%s) as packets, sum(%s) as seconds by %s", e.Name, sumSuffix, e.seconds.Name, instanceDimension), "sort packets desc", "limit 50")
	}
	for _, e := range allowances() {
		if e.Scope == metric.PerInterface {
			add("interfaces and pods by "+e.short(), fmt.Sprintf("fields @timestamp, %s, %s, %s, %s.0, %s%s, %s", hostMember, instanceDimension, interfaceMember, podsMember, e.Name, sumSuffix, e.seconds.Name),
				"filter "+e.Name+sumSuffix+" > 0", "sort "+e.Name+sumSuffix+" desc", "limit 100")
		}
	}
	add("packets by minute", "stats "+strings.Join(sums, ", ")+" by bin(1m)")
	add("seconds by instance", "stats "+strings.Join(seconds, ", ")+" by "+instanceDimension, "limit 100")
	add("readings that were not believed", "filter "+window.SuspectReadings.Name+" > 0",
		fmt.Sprintf("stats sum(%s) as readings by %s, %s", window.SuspectReadings.Name, hostMember, instanceDimension), "sort readings desc")
	return list
}

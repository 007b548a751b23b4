package awsfake

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Limits of dashboards and rules (API reference, PutDashboard; User Guide,
// "CloudWatch quotas", "Contributor Insights rule syntax").
const (
	maxWidgets     = 500
	maxVariables   = 25
	dashboardPage  = 1000
	maxRules       = 100
	maxRuleKeys    = 4
	maxRuleFilters = 4
	rulePage       = 500
)

var dashboardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

func (cw *CloudWatch) putDashboard(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	name := root.text("DashboardName")
	if !dashboardName.MatchString(name) {
		bad.value("The value %s for parameter DashboardName is invalid.", name)
	}
	var body struct {
		Widgets []struct {
			Type       string
			X, Width   int
			Properties map[string]any
		}
		Variables []any
	}
	if !decodeBody(root.text("DashboardBody"), &body) || len(body.Widgets) > maxWidgets || len(body.Variables) > maxVariables {
		return nil, &apiError{status: http.StatusBadRequest, shape: "DashboardInvalidInputError", query: "InvalidParameterInput", message: "The field DashboardBody must be a valid JSON object"}
	}
	for i, w := range body.Widgets {
		if w.Type == "" || w.Properties == nil || w.X+w.Width > 24 {
			return nil, &apiError{status: http.StatusBadRequest, shape: "DashboardInvalidInputError", query: "InvalidParameterInput", message: fmt.Sprintf("The widget %d is invalid", i)}
		}
	}
	cw.put(cw.dashboards, root, bad, &provisioned{name: name, arn: fmt.Sprintf("arn:aws:cloudwatch::%s:dashboard/%s", cw.account, name)})
	return cbor.Map{"DashboardValidationMessages": cbor.List{}}, nil
}

func errNoDashboard(name string) *apiError {
	return &apiError{status: http.StatusNotFound, shape: "DashboardNotFoundError", query: "ResourceNotFound", message: "Dashboard " + name + " does not exist"}
}

func (cw *CloudWatch) getDashboard(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	p := cw.dashboards[root.text("DashboardName")]
	if p == nil {
		return nil, errNoDashboard(root.text("DashboardName"))
	}
	return cbor.Map{"DashboardArn": cbor.String(p.arn), "DashboardName": cbor.String(p.name), "DashboardBody": p.fields["DashboardBody"]}, nil
}

func (cw *CloudWatch) listDashboards(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	prefix, list := root.text("DashboardNamePrefix"), cbor.List{}
	found, next := pageOf(cw.dashboards, root.text("NextToken"), dashboardPage, func(p *provisioned) bool { return strings.HasPrefix(p.name, prefix) })
	for _, p := range found {
		list = append(list, cbor.Map{"DashboardArn": cbor.String(p.arn), "DashboardName": cbor.String(p.name)})
	}
	out := cbor.Map{"DashboardEntries": list}
	if next != "" {
		out["NextToken"] = cbor.String(next)
	}
	return out, nil
}

// deleteDashboards deletes all or, if one is not there, none.
func (cw *CloudWatch) deleteDashboards(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	names := root.texts("DashboardNames")
	for _, n := range names {
		if cw.dashboards[n] == nil {
			return nil, errNoDashboard(n)
		}
	}
	for _, n := range names {
		delete(cw.dashboards, n)
	}
	return cbor.Map{}, nil
}

func (cw *CloudWatch) putInsightRule(_ *call, root cborShape, bad *complaints) (cbor.Map, *apiError) {
	name := root.text("RuleName")
	var body struct {
		Schema struct {
			Name    string
			Version int
		}
		LogGroupNames []string
		LogFormat     string
		Contribution  struct {
			Keys    []string
			Filters []map[string]any
		}
		AggregateOn string
	}
	switch {
	case name == "":
		bad.missing("RuleName")
	case !decodeBody(root.text("RuleDefinition"), &body) || body.Schema.Name != "CloudWatchLogRule" || body.Schema.Version != 1,
		len(body.LogGroupNames) == 0, body.LogFormat != "JSON" && body.LogFormat != "CLF", body.AggregateOn != "Sum" && body.AggregateOn != "Count",
		len(body.Contribution.Keys) < 1 || len(body.Contribution.Keys) > maxRuleKeys, len(body.Contribution.Filters) > maxRuleFilters:
		bad.value("The parameter RuleDefinition is invalid.")
	case cw.rules[name] == nil && len(cw.rules) == maxRules:
		return nil, &apiError{status: http.StatusBadRequest, shape: "LimitExceededException", query: "LimitExceededException", message: "Too many rules"}
	}
	cw.put(cw.rules, root, bad, &provisioned{name: name, arn: fmt.Sprintf("arn:aws:cloudwatch:%s:%s:insight-rule/%s", cw.region, cw.account, name)})
	return cbor.Map{}, nil
}

func (cw *CloudWatch) describeInsightRules(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	list := cbor.List{}
	found, next := pageOf(cw.rules, root.text("NextToken"), rulePage, func(*provisioned) bool { return true })
	for _, p := range found {
		list = append(list, cbor.Map{
			"Name": cbor.String(p.name), "Definition": p.fields["RuleDefinition"], "State": p.fields["RuleState"],
			"Schema": cbor.String(`{"Name":"CloudWatchLogRule","Version":1}`),
		})
	}
	out := cbor.Map{"InsightRules": list}
	if next != "" {
		out["NextToken"] = cbor.String(next)
	}
	return out, nil
}

func (cw *CloudWatch) deleteInsightRules(_ *call, root cborShape, _ *complaints) (cbor.Map, *apiError) {
	failures := cbor.List{}
	for _, n := range root.texts("RuleNames") {
		if cw.rules[n] == nil {
			failures = append(failures, cbor.Map{"FailureResource": cbor.String(n), "FailureDescription": cbor.String("there is no rule " + n)})
		}
		delete(cw.rules, n)
	}
	return cbor.Map{"Failures": failures}, nil
}

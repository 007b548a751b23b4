// Package promrules makes Prometheus rules of the catalogue, in the forms in
// which they are put to use: a rule file, a PrometheusRule of the Prometheus
// operator, and, for Amazon Managed Service for Prometheus (AMP), the ACK
// controller's resources and the API's input.
//
// The rules are those of the EKS best-practices guide (monitoring, "network
// performance issues"), made to hold on any host: of every interface instead of
// eth0, and over four samples instead of two, so that a lost one neither ends an
// alert nor hides one.
package promrules

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Window is what rates are taken over: four samples of the 15 s that remote
// write sends by default.
const Window = "1m"

// Placeholders in what is generated, for whoever deploys it.
const (
	workspaceID = "WORKSPACE-ID"
	topicARN    = "TOPIC-ARN"
	region      = "REGION"
	namespace   = "enawatch"
)

// rule records a series or raises an alert.
type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations *annotations      `yaml:"annotations,omitempty"`
}

type annotations struct {
	Summary     string `yaml:"summary"`
	Description string `yaml:"description"`
}

type group struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rules struct {
	Groups []group `yaml:"groups"`
}

// names are those of the guide, by allowance.
var names = map[string]struct{ group, alert string }{
	"pps":       {"ppsallowance", "PPSAllowanceExceeded"},
	"bw_in":     {"bw_in", "BWINAllowanceExceeded"},
	"bw_out":    {"bw_out", "BWOutAllowanceExceeded"},
	"conntrack": {"conntrack", "ConntrackAllowanceExceeded"},
	"linklocal": {"linklocal", "LinkLocalAllowanceExceeded"},
}

// exceeded lists the counters of exceeded allowances, in catalogue order.
func exceeded() (list []ena.Entry) {
	for _, e := range ena.Catalogue() {
		if e.Allowance != "" && e.Kind == metric.Counter {
			list = append(list, e)
		}
	}
	return list
}

// all returns every rule.
func all() (r rules) {
	for _, e := range exceeded() {
		expr := fmt.Sprintf("rate(node_net_ethtool{type=%q}[%s])", e.Name, Window)
		n := names[e.Allowance]
		r.Groups = append(r.Groups, group{Name: n.group, Rules: []rule{
			{Record: "metric:" + e.Name, Expr: expr},
			{
				Alert: n.alert, Expr: expr + " > 0", Labels: map[string]string{"severity": "critical", "allowance": e.Allowance},
				Annotations: &annotations{
					Summary: fmt.Sprintf("%s of {{ $labels.device }} grows on {{ $labels.instance }}", e.Name),
					Description: fmt.Sprintf(`{{ $value | printf "%%.3g" }} packets per second on {{ $labels.device }} (ENI {{ $labels.eni }}) of {{ $labels.instance }}. %s %s`,
						e.Meaning, e.Advice),
				},
			},
		}})
	}
	return r
}

// object is a resource of Kubernetes.
type object struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   map[string]string `yaml:"metadata"`
	Spec       any               `yaml:"spec"`
}

// definition is the spec of ACK's resources (services.k8s.aws, prometheusservice
// v1alpha1).
type definition struct {
	WorkspaceID   string `yaml:"workspaceID"`
	Name          string `yaml:"name,omitempty"`
	Configuration string `yaml:"configuration"`
}

// alertmanager is the configuration of Alertmanager, which AMP wants as a text
// below alertmanager_config.
type alertmanager struct {
	Route     route      `yaml:"route"`
	Receivers []receiver `yaml:"receivers"`
}

type route struct {
	Receiver       string   `yaml:"receiver"`
	GroupBy        []string `yaml:"group_by,flow"`
	GroupWait      string   `yaml:"group_wait"`
	GroupInterval  string   `yaml:"group_interval"`
	RepeatInterval string   `yaml:"repeat_interval"`
}

type receiver struct {
	Name string      `yaml:"name"`
	SNS  []snsConfig `yaml:"sns_configs"`
}

type snsConfig struct {
	TopicARN     string            `yaml:"topic_arn"`
	SigV4        map[string]string `yaml:"sigv4"`
	SendResolved bool              `yaml:"send_resolved"`
	Subject      string            `yaml:"subject"`
	Message      string            `yaml:"message"`
}

func alerting() alertmanager {
	const name = "sns"
	return alertmanager{
		Route: route{Receiver: name, GroupBy: []string{"alertname", "instance"}, GroupWait: "30s", GroupInterval: "5m", RepeatInterval: "4h"},
		Receivers: []receiver{{Name: name, SNS: []snsConfig{{
			TopicARN: topicARN, SigV4: map[string]string{"region": region}, SendResolved: true,
			Subject: "{{ .Status }}: {{ .CommonLabels.alertname }} on {{ .CommonLabels.instance }}",
			Message: "{{ range .Alerts }}{{ .Status }}: {{ .Annotations.summary }}\n{{ .Annotations.description }}\nsince {{ .StartsAt }}\n\n{{ end }}",
		}}}},
	}
}

// File is one generated file.
type File struct {
	// Path is relative to the repository.
	Path    string
	Content []byte
}

const header = "# Generated from the catalogue by agent/provision/promrules (make generate). Do not edit.\n"

// Files returns every generated file of deploy/amp.
func Files() ([]File, error) {
	var files []File
	text := func(v any) (string, error) {
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		err := e.Encode(v)
		return b.String(), err
	}
	add := func(name, comment string, v any) error {
		s, err := text(v)
		if err != nil {
			return fmt.Errorf("encode %s: %w", name, err)
		}
		files = append(files, File{"deploy/amp/" + name, []byte(header + comment + s)})
		return nil
	}
	plain, err := text(all())
	if err != nil {
		return nil, err
	}
	inner, err := text(alerting())
	if err != nil {
		return nil, err
	}
	wrapped, err := text(map[string]string{"alertmanager_config": inner})
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name, comment string
		v             any
	}{
		{"rules.yaml", "# A rule file of Prometheus, Mimir, Cortex or Thanos.\n", all()},
		{"rules_test.yaml", "# promtool test rules rules_test.yaml\n", unitTests()},
		{"prometheusrule.yaml", "# For the Prometheus operator.\n", object{
			"monitoring.coreos.com/v1", "PrometheusRule", map[string]string{"name": namespace}, all()}},
		{"rulegroupsnamespace.yaml", "# For the ACK controller of AMP: put in the workspace's id.\n", object{
			"prometheusservice.services.k8s.aws/v1alpha1", "RuleGroupsNamespace", map[string]string{"name": namespace},
			definition{WorkspaceID: workspaceID, Name: namespace, Configuration: plain}}},
		{"alertmanagerdefinition.yaml", "# For the ACK controller of AMP: put in the ids of workspace and topic, and the region.\n", object{
			"prometheusservice.services.k8s.aws/v1alpha1", "AlertManagerDefinition", map[string]string{"name": namespace},
			definition{WorkspaceID: workspaceID, Configuration: wrapped}}},
		{"alertmanager.yaml", "# For AMP's API: put in the topic and the region. Alertmanager itself takes what stands below\n# alertmanager_config.\n",
			map[string]string{"alertmanager_config": inner}},
	} {
		if err := add(f.name, f.comment, f.v); err != nil {
			return nil, err
		}
	}
	input, err := json.MarshalIndent(map[string]string{
		"workspaceId": workspaceID, "name": namespace, "data": base64.StdEncoding.EncodeToString([]byte(plain)),
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	files = append(files, File{"deploy/amp/create-rule-groups-namespace.json", append(input, '\n')})
	return files, nil
}

// Metrics returns the names of the stats that the rules read.
func Metrics() (list []string) {
	for _, e := range exceeded() {
		list = append(list, e.Name)
	}
	return list
}

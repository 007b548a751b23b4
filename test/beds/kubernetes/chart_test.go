//go:build beds

package kubernetes

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/test/beds/bed"
)

var update = flag.Bool("update", false, "rewrite the golden files and deploy/eks/base/enawatch.yaml")

// versions are the oldest and the newest Kubernetes that the chart is held
// against; Chart.yaml names the oldest.
var versions = []string{"v1.32.13", "v1.37.2"}

// sets are the value sets that have golden files.
var sets = map[string][]string{
	"default":   nil,
	"events":    {"--set", "events.condition=true"},
	"linklocal": {"--set", "linklocal.enabled=true", "--set", "config.conntrack.enabled=true"},
	"operator":  {"--set", "metrics.podMonitor=true", "--set", "metrics.serviceMonitor=true", "--set", "metrics.labels.release=prometheus"},
	"private": {
		"--set", "metrics.listen=127.0.0.1:9109", "--set", "networkPolicy.enabled=true", "--set", "state.type=emptyDir",
		"--set", "image.digest=sha256:" + strings.Repeat("0", 64),
	},
	"irsa": {
		"--set", `serviceAccount.annotations.eks\.amazonaws\.com/role-arn=arn:aws:iam::123456789012:role/enawatch`,
		"--set", "config.sinks.cloudwatch.rollups={ClusterName}", "--set", "env[0].name=AWS_REGION", "--set", "env[0].value=eu-west-1",
	},
}

func deploy(parts ...string) string {
	return filepath.Join(append([]string{bed.Root(), "deploy"}, parts...)...)
}

func TestChart(t *testing.T) {
	if os.Getenv(inside) != "" {
		return
	}
	helm := filepath.Join(bed.Tools(t, "helm"), "helm")
	bed.Run(t, helm, "lint", "--strict", "--quiet", deploy("helm", "enawatch"))
	for name, set := range sets {
		golden(t, filepath.Join("testdata", name+".golden.yaml"), template(t, helm, "enawatch", set...))
	}
	golden(t, deploy("eks", "base", "enawatch.yaml"),
		"# Written by helm template from deploy/helm/enawatch: change that.\n"+template(t, helm, "enawatch", "--no-hooks"))
	for _, wrong := range [][]string{
		{"--set", "runAsUser=0"}, {"--set", "state.type=nfs"}, {"--set", "metrics.listen=9109x"}, {"--set", "event.enabled=true"}, {"--set", "image.digest=latest"},
	} {
		out, err := exec.Command(helm, append([]string{"template", "enawatch", deploy("helm", "enawatch")}, wrong...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "don't meet the specifications of the schema") {
			t.Errorf("%v was taken: %v", wrong, err)
		}
	}
}

func template(t *testing.T, helm, release string, set ...string) string {
	t.Helper()
	text := bed.Run(t, helm, append([]string{"template", release, deploy("helm", "enawatch"), "--namespace", "enawatch"}, set...)...)
	if strings.HasPrefix(strings.Join(set, " "), "--no-hooks") { // a manifest, which Helm does not manage
		var lines strings.Builder
		for line := range strings.Lines(text) {
			if s := strings.TrimSpace(line); s != "app.kubernetes.io/managed-by: Helm" && s != "helm.sh/chart: enawatch-0.1.0" {
				lines.WriteString(line)
			}
		}
		return lines.String()
	}
	return text
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale: go test -tags beds ./test/beds/kubernetes -run TestChart -update (-want +got):\n%s", path, diff)
	}
}

// Every manifest is held against the strict schemas of the API itself.
func TestManifests(t *testing.T) {
	if os.Getenv(inside) != "" {
		return
	}
	tools := bed.Tools(t, "helm", "kubeconform", "kubernetes")
	dir := t.TempDir()
	var files []string
	keep := func(name, text string) {
		path := filepath.Join(dir, name+".yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, path)
	}
	for name, set := range sets {
		keep("chart-"+name, template(t, filepath.Join(tools, "helm"), "enawatch", set...))
	}
	for _, folder := range []string{"base", "overlays/amp", "overlays/adot", "overlays/cloudwatch", "overlays/events", "overlays/linklocal"} {
		keep("kustomize-"+filepath.Base(folder), bed.Run(t, filepath.Join(tools, "kubectl"), "kustomize", deploy("eks", folder)))
	}
	collector := deploy("eks", "adot", "collector.yaml")
	files = append(files, collector, deploy("eks", "dns", "nodelocaldns.yaml"), deploy("amp", "prometheusrule.yaml"))
	for _, version := range versions {
		schemas := schemasOf(t, version)
		operatorSchemas(t, schemas)
		args := []string{"-strict", "-summary", "-schema-location", schemas + "/{{.ResourceKind}}{{.KindSuffix}}.json"}
		t.Logf("Kubernetes %s: %s", version, bed.Run(t, filepath.Join(tools, "kubeconform"), append(args, files...)...))
		for in, typo := range map[string][2]string{
			filepath.Join(dir, "chart-default.yaml"):  {"hostNetwork", "hostNetworks"},
			filepath.Join(dir, "chart-operator.yaml"): {"podMetricsEndpoints", "podMetricEndpoints"},
			collector: {"serviceAccount:", "serviceAccounts:"},
		} {
			text := string(mustRead(t, in))
			broken := filepath.Join(dir, "typo.yaml")
			if err := os.WriteFile(broken, []byte(strings.Replace(text, typo[0], typo[1], 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(filepath.Join(tools, "kubeconform"), append(args, broken)...).CombinedOutput(); err == nil {
				t.Errorf("the typo %s was taken:\n%s", typo[1], out)
			}
		}
	}
	var addon any
	text, err := os.ReadFile(deploy("eks", "dns", "coredns-addon.json"))
	if err == nil {
		err = json.Unmarshal(text, &addon)
	}
	if err != nil {
		t.Error(err)
	}
}

// module returns the folder of a Go module's sources.
func module(t *testing.T, name string) string {
	t.Helper()
	c := exec.Command("go", "mod", "download", "-json", name)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m.Dir
}

// operatorSchemas adds the kinds of the Prometheus and OpenTelemetry operators that
// there are manifests of, by the operators' own definitions.
func operatorSchemas(t *testing.T, dir string) {
	t.Helper()
	prometheus := filepath.Join(module(t, "github.com/prometheus-operator/prometheus-operator@v0.92.1"), "example", "prometheus-operator-crd", "monitoring.coreos.com_")
	telemetry := filepath.Join(module(t, "github.com/open-telemetry/opentelemetry-operator@v0.140.0"), "config", "crd", "bases", "opentelemetry.io_")
	for _, path := range []string{prometheus + "podmonitors", prometheus + "servicemonitors", prometheus + "prometheusrules", telemetry + "opentelemetrycollectors"} {
		var definition struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPI map[string]any `yaml:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(mustRead(t, path+".yaml"), &definition); err != nil {
			t.Fatal(err)
		}
		group, _, _ := strings.Cut(definition.Spec.Group, ".")
		for _, v := range definition.Spec.Versions {
			closeSchema(v.Schema.OpenAPI)
			text, err := json.Marshal(v.Schema.OpenAPI)
			if err == nil {
				file := strings.ToLower(definition.Spec.Names.Kind) + "-" + group + "-" + v.Name + ".json"
				err = os.WriteFile(filepath.Join(dir, file), text, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// closeSchema has a schema allow no unknown member where it names those that it knows.
func closeSchema(schema any) {
	switch s := schema.(type) {
	case map[string]any:
		if s["properties"] != nil && s["x-kubernetes-preserve-unknown-fields"] != true {
			s["additionalProperties"] = false
		}
		for _, inner := range s {
			closeSchema(inner)
		}
	case []any:
		for _, inner := range s {
			closeSchema(inner)
		}
	}
}

// schemasOf makes a JSON schema of each kind that Kubernetes' own OpenAPI
// document describes, in which no unknown member is allowed.
func schemasOf(t *testing.T, version string) string {
	t.Helper()
	text := mustRead(t, filepath.Join(module(t, "k8s.io/kubernetes@"+version), "api", "openapi-spec", "swagger.json"))
	var spec struct{ Definitions map[string]map[string]any }
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	for name, d := range spec.Definitions {
		switch {
		case strings.HasSuffix(name, ".intstr.IntOrString"):
			spec.Definitions[name] = map[string]any{"type": []string{"string", "integer"}}
		case strings.HasSuffix(name, ".resource.Quantity"):
			spec.Definitions[name] = map[string]any{"type": []string{"string", "number"}}
		case d["properties"] != nil:
			d["additionalProperties"] = false
		}
	}
	dir := t.TempDir()
	for name, d := range spec.Definitions {
		kinds, ok := d["x-kubernetes-group-version-kind"].([]any)
		if !ok || len(kinds) != 1 {
			continue
		}
		kind := kinds[0].(map[string]any)
		group, _, _ := strings.Cut(kind["group"].(string), ".")
		file := strings.Trim(strings.ToLower(kind["kind"].(string))+"-"+group+"-"+kind["version"].(string), "-")
		file = strings.Replace(file, "--", "-", 1)
		if !wanted[kind["kind"].(string)] {
			continue
		}
		text, err := json.Marshal(map[string]any{"$ref": "#/definitions/" + name, "definitions": spec.Definitions})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file+".json"), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wanted are the kinds of which there are manifests.
var wanted = map[string]bool{
	"ClusterRole": true, "ClusterRoleBinding": true, "ConfigMap": true, "DaemonSet": true, "Namespace": true, "NetworkPolicy": true,
	"Role": true, "RoleBinding": true, "Service": true, "ServiceAccount": true,
}

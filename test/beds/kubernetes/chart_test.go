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
	files = append(files, deploy("eks", "adot", "collector.yaml"), deploy("eks", "dns", "nodelocaldns.yaml"))
	for _, version := range versions {
		schemas := schemasOf(t, version)
		args := []string{
			"-strict", "-summary", "-skip", "PodMonitor,ServiceMonitor,OpenTelemetryCollector",
			"-schema-location", schemas + "/{{.ResourceKind}}{{.KindSuffix}}.json",
		}
		t.Logf("Kubernetes %s: %s", version, bed.Run(t, filepath.Join(tools, "kubeconform"), append(args, files...)...))
		typo := filepath.Join(dir, "typo.yaml")
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(typo, []byte(strings.Replace(string(text), "hostNetwork", "hostNetworks", 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(filepath.Join(tools, "kubeconform"), append(args, typo)...).CombinedOutput(); err == nil {
			t.Errorf("a typo was taken:\n%s", out)
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

// schemasOf makes a JSON schema of each kind that Kubernetes' own OpenAPI
// document describes, in which no unknown member is allowed.
func schemasOf(t *testing.T, version string) string {
	t.Helper()
	c := exec.Command("go", "mod", "download", "-json", "k8s.io/kubernetes@"+version)
	c.Dir = t.TempDir()
	c.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "api", "openapi-spec", "swagger.json"))
	if err != nil {
		t.Fatal(err)
	}
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

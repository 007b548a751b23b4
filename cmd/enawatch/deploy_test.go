package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/provision"
)

//go:generate go test . -count=1 -run ^TestDeploy$ -update

const deployFolder = "../../deploy"

// deployed are the files below deploy/ that export writes.
var deployed = map[string]string{
	"cloudformation/host.yaml":      "alarms export --scope host",
	"cloudformation/fleet.yaml":     "alarms export --scope fleet --with topic,policy,dashboard",
	"cloudformation/group.yaml":     "alarms export --scope group",
	"cloudformation/logs.yaml":      "alarms export --scope logs --log-group ${LogGroup}",
	"cloudformation/promql.yaml":    "alarms export --scope promql",
	"cloudformation/dashboard.yaml": "dashboard export --insight-rules --log-group ${LogGroup}",
	"terraform/host/main.tf":        "alarms export --scope host --format terraform",
	"terraform/fleet/main.tf":       "alarms export --scope fleet --format terraform --with topic,policy,dashboard",
	"terraform/group/main.tf":       "alarms export --scope group --format terraform",
	"terraform/dashboard/main.tf":   "dashboard export --insight-rules --format terraform --log-group ${LogGroup}",
}

// deploy/ holds what export writes, and what IAM is to allow.
func TestDeploy(t *testing.T) {
	files := map[string]string{}
	for name, command := range deployed {
		text, message, code := execute(t, strings.Fields(command)...)
		if code != 0 {
			t.Fatalf("%s: exit code %d, %s", command, code, message)
		}
		files[name] = text
	}
	for _, p := range provision.Policies() {
		files["iam/"+p.Name+".json"] = string(p.Document.JSON())
	}
	for name, want := range files {
		path := filepath.Join(deployFolder, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: run make generate", err)
		} else if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is stale, run make generate (-want +got):\n%s", name, diff)
		}
	}
	for _, folder := range []string{"cloudformation", "terraform"} {
		err := filepath.WalkDir(filepath.Join(deployFolder, folder), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, err := filepath.Rel(deployFolder, path)
			text, _ := os.ReadFile(path)
			if _, ok := files[name]; !ok && strings.Contains(string(text), "enawatch export") {
				t.Errorf("%s is no longer written: remove it", name)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAlarmFlags(t *testing.T) {
	ids := filepath.Join(t.TempDir(), "ids")
	if err := os.WriteFile(ids, []byte("i-0123456789abcdef0 # web\n\ni-0123456789abcdef1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		code int
		want string // in the output or the message
	}{
		{"alarms export --instances-from " + ids, 0, "enawatch-i-0123456789abcdef1-network-allowance"},
		{"alarms export --instances eni-1", 2, "give the id of an EC2 instance"},
		{"alarms export --instances-from /nonexistent", 2, "no such file"},
		{"alarms export --threshold often", 2, "use any, sustained or severe"},
		{"alarms export --scope galaxy", 2, "host, fleet, group, logs or promql"},
		{"alarms export --format xml", 2, "cloudformation, terraform, cdk-json, cli"},
		{"alarms export --format cli --with topic", 2, "use cloudformation or terraform"},
		{"alarms export --format terraform --scope promql", 2, "use cloudformation, or leave the scope out"},
		{"alarms export --format terraform --scope logs", 2, "use cloudformation, or leave its scope out"},
		{"alarms export --with money", 2, "topic, policy, dashboard"},
		{"alarms export --scope group --group Team=a", 2, `"Team" is no roll-up`},
		{"alarms export --scope group --group ClusterName=prod/web", 0, "enawatch-prod-web-pps-exceeded"},
		{"alarms export --scope group --group ClusterName=", 2, "ClusterName=NAME/NODEGROUP"},
		{"alarms export --scope logs --sinks.emf.output logs:///ena/hosts/{instance_id}", 0, "- /ena/hosts"},
		{"alarms export --sinks.cloudwatch.namespace Net --dimensions env=prod", 0, "Namespace: Net"},
		{"alarms export --alarm-actions arn:aws:sns:us-east-1:123456789012:pages --with topic", 2, "leave --alarm-actions out"},
		{"dashboard export --format cli", 0, "aws cloudwatch put-dashboard"},
		{"dashboard export --format cdk-json", 0, "aws_logs.CfnQueryDefinition"},
	}
	for _, tt := range tests {
		out, message, code := execute(t, strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(out+message, tt.want) {
			t.Errorf("%s: exit code %d, %s; want %d, %q", tt.args, code, message, tt.code, tt.want)
		}
	}
}

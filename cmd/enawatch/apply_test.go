package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// inAccount returns the flags with which commands call a stand-in for AWS.
func inAccount(t *testing.T) (*awsfake.Server, []string) {
	t.Helper()
	s, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Setenv("AWS_ENDPOINT_URL_STS", s.URL())
	key := awsfake.DefaultCredential
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey, "AWS_SESSION_TOKEN": key.SessionToken,
	} {
		t.Setenv(name, value)
	}
	return s, []string{"--region", "us-east-1", "--sinks.cloudwatch.endpoint", s.URL(), "--sinks.emf.endpoint", s.URL()}
}

func TestAlarmsInAnAccount(t *testing.T) {
	s, flags := inAccount(t)
	run := func(want string, args ...string) {
		t.Helper()
		out, message, code := execute(t, append(args, flags...)...)
		if code != 0 || !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
			t.Fatalf("%v: exit code %d, %s; %q is not in\n%s", args, code, message, want, out)
		}
	}
	group := []string{"--scope", "group", "--group", "AutoScalingGroupName=web", "--sinks.cloudwatch.rollups", "AutoScalingGroupName"}
	run("create 7 -", append([]string{"alarms", "apply", "--dry-run"}, group...)...)
	if n := len(s.Journal.Requests("cloudwatch", "PutMetricAlarm")); n > 0 {
		t.Errorf("a dry run makes %d alarms", n)
	}
	run("create 7 7", append([]string{"alarms", "apply"}, group...)...)
	run("unchanged 7", append([]string{"alarms", "plan"}, group...)...)
	run("create 0 -", append([]string{"alarms", "plan"}, group...)...)
	run("delete 7 7", "alarms", "destroy")
	run("delete 0 0", "alarms", "destroy")
	run("dashboard enawatch", "dashboard", "plan")
	_, message, code := execute(t, append([]string{"alarms", "plan"}, flags...)...)
	if code != exitUsage || !strings.Contains(message, "InstanceId is not given") {
		t.Errorf("without an instance: exit code %d, %s", code, message)
	}
	_, message, code = execute(t, append([]string{"alarms", "plan", "--scope", "fleet"}, flags...)...)
	if code != exitUsage || !strings.Contains(message, "give --hosts") {
		t.Errorf("a fleet of nobody knows how many: exit code %d, %s", code, message)
	}
	ids := filepath.Join(t.TempDir(), "ids")
	var list strings.Builder
	for i := range 201 {
		fmt.Fprintf(&list, "i-%017x\n", i)
	}
	if err := os.WriteFile(ids, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"alarms plan --instances-from " + ids, "201 of the alarms are on Metrics Insights queries"},
		{"alarms export --format terraform --instances-from " + ids, "201 of the alarms are on Metrics Insights queries"},
		{"alarms plan --scope fleet --instances-from " + ids + " --interfaces 3", "500 series"},
		{"alarms plan --scope fleet --hosts 501", "500 series"},
		{"alarms plan --scope group --group AutoScalingGroupName=web", "publishes no roll-ups"},
		{"alarms plan --scope fleet --hosts 500", ""},
	} {
		var warning bytes.Buffer
		root := rootCommand()
		root.SetArgs(append(strings.Fields(c.args), flags...))
		root.SetOut(io.Discard)
		root.SetErr(&warning)
		if err := root.ExecuteContext(t.Context()); err != nil || (c.want == "") != (warning.Len() == 0) || !strings.Contains(warning.String(), c.want) {
			t.Errorf("%s: %v, %q; want %q", c.args, err, &warning, c.want)
		}
	}
}

// enawatch cost and the summary of plan say the same of the same alarms.
func TestCostAgreesWithPlan(t *testing.T) {
	_, flags := inAccount(t)
	tests := []string{
		"--scope host --instances i-0123456789abcdef0,i-0123456789abcdef1,i-0123456789abcdef2 --interfaces 2 --threshold any",
		"--scope host,group --instances i-0123456789abcdef0 --group AutoScalingGroupName=a,ClusterName=b --conntrack-capacity 100000",
		"--scope fleet --hosts 1234 --interfaces 3",
		"--scope fleet,host --instances i-0123456789abcdef0,i-0123456789abcdef1,i-0123456789abcdef2",
		"--scope fleet,host --instances-from -",
		"--scope fleet,host,logs,promql --hosts 2 --instances i-0123456789abcdef0,i-0123456789abcdef1 --conntrack-left 0 --query-role arn:aws:iam::123456789012:role/q",
	}
	for _, args := range tests {
		text, message, code := execute(t, append(append([]string{"alarms", "plan", "--json"}, strings.Fields(args)...), flags...)...)
		if code != 0 {
			t.Fatalf("plan %s: exit code %d, %s", args, code, message)
		}
		var planned struct{ Cost json.RawMessage }
		if err := json.Unmarshal([]byte(text), &planned); err != nil {
			t.Fatal(err)
		}
		text, message, code = execute(t, append([]string{"cost", "--json", "--sinks.emf=false"}, strings.Fields(args)...)...)
		if code != 0 {
			t.Fatalf("cost %s: exit code %d, %s", args, code, message)
		}
		want, got := bill(t, []byte(text)), bill(t, planned.Cost)
		if diff := cmp.Diff(want, got); diff != "" || len(got) < 2 {
			t.Errorf("%s (-cost +plan)\n%s", args, diff)
		}
	}
}

// bill returns the lines of alarms with their quantity and price, and the total.
func bill(t *testing.T, text []byte) map[string]string {
	t.Helper()
	var r struct {
		Lines []struct {
			What   string
			Sparse struct{ Quantity, USD json.Number }
		}
		Total struct{ Sparse json.Number }
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{"total": r.Total.Sparse.String()}
	for _, l := range r.Lines {
		out[l.What] = l.Sparse.Quantity.String() + " " + l.Sparse.USD.String()
	}
	return out
}

//go:build beds

package kubernetes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
	"github.com/enawatch/enawatch/test/beds/bed"
)

// The page's placeholders, and what the test puts there.
var placeholders = strings.NewReplacer(
	"CLUSTER-DNS", "CLUSTER-DNS", "CLUSTER", "prod", "REGION", "us-east-1", "ACCOUNT", "123456789012", "WORKSPACE-ID", "ws-1", "TOPIC-ARN", "arn:aws:sns:us-east-1:123456789012:oncall",
)

// commandsOf returns the commands of a page, in its indented blocks, and its
// files, which are fenced and begin with their name. A block that is neither is
// one of the samples.
func commandsOf(t *testing.T, text string) (commands []string, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	for _, block := range regexp.MustCompile("(?ms)^```yaml\n# (\\S+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		files[block[1]] = block[2]
	}
	text = regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
	whole := regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	for line := range strings.Lines(whole) {
		code, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !ok || strings.TrimSpace(code) == "" {
			continue
		}
		command := strings.TrimPrefix(code, "$ ")
		if regexp.MustCompile(`^(Warning|Normal)  |^"`).MatchString(code) { // a sample of what is printed
			continue
		}
		commands = append(commands, command)
	}
	return commands, files
}

// known are the flags of eksctl's commands, by its sources (pkg/ctl);
// those with = true take a value.
var known = map[string]map[string]bool{
	"eksctl create podidentityassociation":     {"--cluster": true, "--region": true, "--namespace": true, "--service-account-name": true, "--permission-policy-arns": true},
	"eksctl create iamserviceaccount":          {"--cluster": true, "--region": true, "--namespace": true, "--name": true, "--role-only": false, "--role-name": true, "--attach-policy-arn": true, "--approve": false},
	"eksctl utils associate-iam-oidc-provider": {"--cluster": true, "--region": true, "--approve": false},
}

var arn = regexp.MustCompile(`^arn:aws:iam::(aws|\d{12}):policy/[\w+=,.@/-]+$`)

// checkEksctl checks a command that can't be run: that its flags are known and
// have values, and that policies are ARNs.
func checkEksctl(command string) error {
	words := strings.Fields(command)
	if len(words) < 3 {
		return fmt.Errorf("too short")
	}
	name := strings.Join(words[:3], " ")
	flags, ok := known[name]
	if !ok {
		return fmt.Errorf("%s is not known", name)
	}
	for i := 3; i < len(words); i++ {
		takes, ok := flags[words[i]]
		if !ok {
			return fmt.Errorf("%s has no flag %s", name, words[i])
		}
		if !takes {
			continue
		}
		if i++; i == len(words) || strings.HasPrefix(words[i], "--") {
			return fmt.Errorf("%s needs a value", words[i-1])
		}
		if strings.Contains(words[i-1], "policy-arn") && !arn.MatchString(words[i]) {
			return fmt.Errorf("%s is no ARN of a policy", words[i])
		}
	}
	return nil
}

// TestPageChecks checks the page's commands of eksctl, and holds the check against
// faults, so that it can find any.
func TestPageChecks(t *testing.T) {
	if os.Getenv(inside) != "" {
		return
	}
	commands, files := commandsOf(t, placeholders.Replace(string(mustRead(t, filepath.Join(bed.Root(), "docs", "eks.md")))))
	checked := 0
	for _, command := range commands {
		if strings.HasPrefix(command, "eksctl ") {
			checked++
			if err := checkEksctl(command); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
	if checked < 4 || files["values.yaml"] == "" || len(commands) < 20 {
		t.Errorf("%d commands, %d of them checked, files %v", len(commands), checked, files)
	}
	for command, want := range map[string]string{
		"eksctl create iamserviceaccount --approve --name x":           "",
		"eksctl create iamserviceaccount --nam x":                      "has no flag --nam",
		"eksctl make iamserviceaccount --name x":                       "is not known",
		"eksctl create iamserviceaccount --approve --name":             "needs a value",
		"eksctl create iamserviceaccount --attach-policy-arn enawatch": "is no ARN",
	} {
		err := checkEksctl(command)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", command, err, want)
		}
	}
}

// page runs every command of docs/eks.md in order, with the bed's own image, but
// for those of eksctl. Those of aws ask a stand-in.
func (c *cluster) page(t *testing.T) {
	text := string(mustRead(t, filepath.Join(bed.Root(), "docs", "eks.md")))
	commands, files := commandsOf(t, placeholders.Replace(text))
	work := c.path("page")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(bed.Root(), "deploy"), filepath.Join(work, "deploy")); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		c.write("page/"+name, content)
	}
	aws, err := awsfake.Start(awsfake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer aws.Close()
	api := startAWSAPI(t)
	c.kubectl("delete", "namespace", "enawatch", "--wait", "--timeout=2m")
	c.kubectl("-n", "kube-system", "create", "service", "clusterip", "kube-dns", "--tcp=53:53", "--clusterip=10.96.0.10")
	// A Deployment of that name, for the patch; nothing of it runs.
	c.kubectl("-n", "kube-system", "create", "deployment", "coredns", "--image=localhost/pause:1", "--replicas=0")
	c.write("page/own.yaml", "sinks: {emf: {}}\n") // not what this machine has in /etc
	key := awsfake.DefaultCredential
	image := " --set image.repository=localhost/enawatch --set-string image.tag=1 --set image.pullPolicy=Never --set state.path=" + c.path("page-state") + " --set config.identity.mode=static --timeout 2m"
	ran := map[string]bool{}
	for _, command := range commands {
		program, _, _ := strings.Cut(command, " ")
		switch program {
		case "eksctl": // TestPageChecks
			continue
		case "aws": // by flag: older ones do not look at the variable
			command += " --endpoint-url " + api.URL
		case "helm":
			command += image
		case "kubectl", "dns=$(kubectl", "sed", "enawatch", "promtool":
		default:
			t.Errorf("%s: nobody runs or checks this", command)
			continue
		}
		// What asks for images or kinds that are not here is validated only.
		for _, path := range []string{"apply -f -", "apply -f deploy/eks/dns"} {
			command = strings.Replace(command, path, strings.Replace(path, "apply", "apply --dry-run=server --validate=strict", 1), 1)
		}
		script := exec.Command("bash", "-euo", "pipefail", "-c", "[ ! -f vars ] || . ./vars; "+command+"; [ -z \"${dns:-}\" ] || echo dns=$dns > vars")
		script.Dir = work
		mine := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ENAWATCH_") })
		script.Env = append(mine, "KUBECONFIG="+c.path("kubeconfig"), "PATH="+c.path("page-bin")+":"+c.tools+":"+os.Getenv("PATH"),
			"HELM_CACHE_HOME="+c.path("helm"), "HELM_CONFIG_HOME="+c.path("helm"), "HELM_DATA_HOME="+c.path("helm"),
			"ENAWATCH_CONFIG="+filepath.Join(work, "own.yaml"), "AWS_ENDPOINT_URL="+aws.URL(), "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null",
			"AWS_ACCESS_KEY_ID="+key.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+key.SecretAccessKey, "AWS_SESSION_TOKEN="+key.SessionToken)
		out, err := script.CombinedOutput()
		t.Logf("$ %s\n%s", command, out[:min(len(out), 2000)])
		// doctor finds what a cluster without AWS lacks: that it does is its work.
		if err != nil && !(strings.Contains(command, "enawatch doctor") && strings.Contains(string(out), "ok       interface ens5")) {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
		ran[program] = true
	}
	if diff := cmp.Diff(wantedOfAWS(t), api.asked()); diff != "" {
		t.Errorf("asked of AWS (-want +got):\n%s", diff)
	}
	for _, program := range []string{"helm", "kubectl", "sed", "enawatch", "promtool"} {
		if !ran[program] {
			t.Errorf("the page has no command of %s", program)
		}
	}
	if spread := c.kubectl("-n", "kube-system", "get", "deployment", "coredns", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey}"); spread != "4 kubernetes.io/hostname" {
		t.Errorf("CoreDNS is patched to %q", spread)
	}
	if !slices.ContainsFunc(aws.Journal.Requests("cloudwatch", "PutMetricAlarm"), func(r awsfake.Request) bool { return r.Status == 200 }) {
		t.Error("no alarm was made")
	}
}

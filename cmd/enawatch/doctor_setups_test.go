package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/doctor"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/store"
	"github.com/enawatch/enawatch/test/awsfake"
)

// Sinks of the configurations, in which AWS stands for the URL of the stand-in.
const (
	toCloudWatch = "cloudwatch: {region: us-east-1, endpoint: AWS}"
	toEMFLogs    = `emf: {output: "logs:///enawatch/emf/{instance_id}", region: us-east-1, endpoint: AWS}`
	toOTLP       = "otlp: {endpoint: AWS, sigv4: true, region: us-east-1}"
	toAMP        = "remote_write: {url: AWS/workspaces/ws-1/api/v1/remote_write, auth: sigv4, region: us-east-1}"
	everything   = toCloudWatch + ", " + toEMFLogs + ", " + toOTLP + ", " + toAMP
)

const (
	thisInstance = "i-0123456789abcdef0"
	centralRole  = "arn:aws:iam::123456789012:role/monitoring"
)

// patient is a host that is well, until a test breaks it.
type patient struct {
	t               *testing.T
	aws             *awsfake.Server
	sinks, identity string
	names           []string // what is printed and what is compared, in pairs
}

// fails has every request for an operation of the stand-in fail.
func (s *patient) fails(service, operation string, f awsfake.Fault) {
	s.t.Helper()
	if err := s.aws.Faults.Add(awsfake.Rule{Service: service, Operation: operation, Times: -1, Faults: []awsfake.Fault{f}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *patient) denies(service, operation string) {
	s.fails(service, operation, awsfake.Fault{Kind: awsfake.Status, Status: 403, Code: "AccessDenied", Message: "User: arn:aws:sts::123456789012:assumed-role/node/" + thisInstance + " is not authorized to perform this"})
}

// closed returns an address at which nothing listens, which is printed as name.
func (s *patient) closed(name string) string {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	l.Close()
	s.names = append(s.names, l.Addr().String(), name)
	return l.Addr().String()
}

// receiver returns the URL of a receiver of remote write that knows the protocol
// up to that version, at /api/v1/write.
func (s *patient) receiver(version int) string {
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v2 := strings.Contains(r.Header.Get("Content-Type"), "v2.Request")
		switch {
		case r.URL.Path == "/secret":
			http.Error(w, "not with "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		case r.URL.Path != "/api/v1/write":
			http.NotFound(w, r)
		case v2 && version == 1:
			http.Error(w, "unsupported", http.StatusUnsupportedMediaType)
		default:
			if v2 {
				w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "0")
			}
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	s.t.Cleanup(r.Close)
	s.names = append(s.names, strings.TrimPrefix(r.URL, "http://"), "receiver.test")
	return r.URL
}

// alarm makes an alarm on a metric of this host.
func (s *patient) alarm(name, namespace, metric string, dimensions map[string]string, actions ...string) {
	s.t.Helper()
	key := awsfake.DefaultCredential
	in := &cloudwatch.PutMetricAlarmInput{
		AlarmName: &name, Namespace: &namespace, MetricName: &metric, Statistic: types.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1),
		Threshold: aws.Float64(1), ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, AlarmActions: actions,
	}
	for name, value := range dimensions {
		in.Dimensions = append(in.Dimensions, types.Dimension{Name: &name, Value: &value})
	}
	api := cloudwatch.New(cloudwatch.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.aws.URL()), HTTPClient: plainBody{},
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken),
	})
	if _, err := api.PutMetricAlarm(s.t.Context(), in); err != nil {
		s.t.Fatal(err)
	}
}

// plainBody hides WriteTo: see awsclient.Exchange.
type plainBody struct{}

func (plainBody) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return http.DefaultClient.Do(r)
}

// TestDoctorOnSetups runs doctor on a host that is well, and on hosts with one
// thing broken each.
func TestDoctorOnSetups(t *testing.T) {
	mine := map[string]string{"InstanceId": thisInstance}
	for name, do := range map[string]func(s *patient){
		"well": func(s *patient) {
			s.sinks = everything
			s.alarm("enawatch-"+thisInstance+"-pps-exceeded", "ENA", "pps_throttled_seconds", mine, "arn:aws:sns:us-east-1:123456789012:oncall")
		},
		"no-alarms": func(*patient) {},

		"imds-hop-limit": func(s *patient) {
			s.fails("imds", "token", awsfake.Fault{Kind: awsfake.Hang})
			s.t.Setenv("NODE_NAME", "ip-10-0-1-7")
		},
		"imds-off":           func(s *patient) { s.aws.IMDS.SetInstance(awsfake.Instance{Disabled: true}) },
		"imds-not-version-2": func(s *patient) { s.fails("imds", "token", awsfake.Fault{Kind: awsfake.Status, Status: 404}) },
		"imds-absent":        func(s *patient) { s.t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+s.closed("imds.test")) },

		"no-credentials": func(s *patient) {
			s.sinks = everything
			s.t.Setenv("AWS_ACCESS_KEY_ID", "")
			s.t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		},
		"role-of-instance": func(s *patient) {
			s.t.Setenv("AWS_ACCESS_KEY_ID", "")
			s.t.Setenv("AWS_SECRET_ACCESS_KEY", "")
			s.aws.IMDS.SetInstance(awsfake.Instance{Role: "node"})
		},
		"unknown-key":  func(s *patient) { s.t.Setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000") },
		"wrong-secret": func(s *patient) { s.t.Setenv("AWS_SECRET_ACCESS_KEY", strings.Repeat("wrong", 8)) },
		"expired-token": func(s *patient) {
			s.fails("sts", "", awsfake.Fault{Kind: awsfake.ExpiredToken})
			s.fails("cloudwatch", "", awsfake.Fault{Kind: awsfake.ExpiredToken})
		},
		"broken-profile": func(s *patient) { s.t.Setenv("AWS_PROFILE", "nobody") },
		"role-refused":   func(s *patient) { s.sinks = strings.Replace(toCloudWatch, "{", "{role_arn: \""+centralRole+"\", ", 1) },
		"no-sts":         func(s *patient) { s.t.Setenv("AWS_ENDPOINT_URL_STS", "http://"+s.closed("sts.test")) },
		"no-region": func(s *patient) {
			s.identity = "{mode: static, host: web-1, instance_id: " + thisInstance + "}"
			s.sinks = "cloudwatch: {endpoint: AWS}"
		},

		"denied-cloudwatch": func(s *patient) { s.denies("cloudwatch", "PutMetricData") },
		"denied-logs":       func(s *patient) { s.sinks = toEMFLogs; s.denies("logs", "") },
		"denied-otlp":       func(s *patient) { s.sinks = toOTLP; s.denies("otlp", "") },
		"denied-amp":        func(s *patient) { s.sinks = toAMP; s.denies("prometheus", "") },
		"throttled":         func(s *patient) { s.fails("cloudwatch", "PutMetricData", awsfake.Fault{Kind: awsfake.Throttle}) },

		"clock-late":  func(s *patient) { s.aws.SetSkew(2 * time.Minute) },
		"clock-wrong": func(s *patient) { s.sinks = everything; s.aws.SetSkew(-11 * time.Minute) },

		"unreachable": func(s *patient) {
			s.sinks = `cloudwatch: {region: us-east-1, endpoint: "http://` + s.closed("endpoint.test") + `"}`
		},
		"reset": func(s *patient) { s.fails("cloudwatch", "PutMetricData", awsfake.Fault{Kind: awsfake.Reset}) },
		"a-proxys-page": func(s *patient) {
			s.fails("cloudwatch", "PutMetricData", awsfake.Fault{Kind: awsfake.HTML, Status: 403})
		},
		"unknown-authority": func(s *patient) {
			secure, err := awsfake.Start(awsfake.Options{TLS: true})
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { secure.Close() })
			s.names = append(s.names, secure.Addr(), "secure.test")
			s.sinks = `cloudwatch: {region: us-east-1, endpoint: "` + secure.URL() + `"}`
		},
		"no-ca-file": func(s *patient) {
			s.sinks = "cloudwatch: {region: us-east-1, endpoint: AWS, ca_file: /nonexistent/ca.pem}"
		},

		"receiver-absent": func(s *patient) {
			s.sinks = `remote_write: {url: "http://` + s.closed("receiver.test") + `/api/v1/write"}`
		},
		"receiver-1.0":      func(s *patient) { s.sinks = "remote_write: {url: " + s.receiver(1) + "/api/v1/write}" },
		"receiver-2.0":      func(s *patient) { s.sinks = "remote_write: {url: " + s.receiver(2) + "/api/v1/write}" },
		"receiver-only-1.0": func(s *patient) { s.sinks = `remote_write: {protocol: "2.0", url: ` + s.receiver(1) + "/api/v1/write}" },
		"receiver-path":     func(s *patient) { s.sinks = "remote_write: {url: " + s.receiver(2) + "/write}" },
		"receiver-password": func(s *patient) {
			s.sinks = "remote_write: {auth: basic, username: me, password: hunter2hunter2, url: " + s.receiver(2) + "/secret}"
		},
		"collector-absent":    func(s *patient) { s.sinks = `otlp: {endpoint: "http://` + s.closed("collector.test") + `"}` },
		"emf-no-listener":     func(s *patient) { s.sinks = `emf: {output: "tcp://` + s.closed("listener.test") + `"}` },
		"emf-udp-no-listener": func(s *patient) { s.sinks = `emf: {output: "udp://` + s.closed("listener.test") + `"}` },
		"emf-udp": func(s *patient) {
			l, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				s.t.Fatal(err)
			}
			s.t.Cleanup(func() { l.Close() })
			s.names = append(s.names, l.LocalAddr().String(), "listener.test")
			s.sinks = `emf: {output: "udp://` + l.LocalAddr().String() + `"}`
		},
		"emf-no-directory": func(s *patient) { s.sinks = `emf: {output: "file:///nonexistent/emf.jsonl"}` },

		"alarms-tell-nobody": func(s *patient) {
			s.alarm("enawatch-"+thisInstance+"-pps-exceeded", "ENA", "pps_throttled_seconds", mine)
		},
		"alarms-of-other": func(s *patient) {
			s.alarm("enawatch-"+thisInstance+"-pps-exceeded", "CWAgent", "pps_throttled_seconds", mine)
		},
		"alarms-wrong-metric": func(s *patient) {
			s.alarm("enawatch-"+thisInstance+"-pps-exceeded", "ENA", "pps_allowance_exceed", mine)
		},
		"alarms-wrong-dimensions": func(s *patient) {
			s.alarm("enawatch-"+thisInstance+"-pps-exceeded", "ENA", "pps_throttled_seconds", map[string]string{"InstanceId": thisInstance, "env": "prod"})
		},
		"alarms-many": func(s *patient) { // the one that is wrong is on the second page
			for n := range 105 {
				s.aws.SetSkew(time.Duration(n) * time.Second) // as three a second is what CloudWatch takes
				s.alarm(fmt.Sprintf("enawatch-%s-a%03d", thisInstance, n), "ENA", "pps_throttled_seconds", mine)
			}
			s.alarm("enawatch-"+thisInstance+"-z", "ENA", "pps_allowance_exceed", mine)
			s.aws.SetSkew(0)
		},
		"alarms-unread": func(s *patient) { s.denies("cloudwatch", "DescribeAlarms") },

		"events-without-a-pod": func(s *patient) { s.sinks = toCloudWatch + ", kubernetes: {}" },
		"events-without-a-token": func(s *patient) {
			s.sinks = toCloudWatch + ", kubernetes: {}"
			s.t.Setenv("NODE_NAME", "ip-10-0-1-7")
			s.t.Setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
			s.t.Setenv("KUBERNETES_SERVICE_PORT", "443")
		},

		"nothing-is-on": func(s *patient) { s.sinks = "" },
		"only-metrics":  func(s *patient) { s.sinks = "prometheus: {}" },
	} {
		t.Run(name, func(t *testing.T) {
			s := &patient{t: t, sinks: toCloudWatch, identity: "{host: web-1}"}
			s.start()
			do(s)
			text, code := s.run()
			path := filepath.Join("testdata", "doctor", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text); diff != "" {
				t.Errorf("%s (-want +got)\n%s", path, diff)
			}
			if failed := strings.Contains("\n"+text, "\nfailed "); failed != (code == exitFailed) || !failed && code != 0 {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// start starts the stand-in, on which everything is well.
func (s *patient) start() {
	s.t.Helper()
	var err error
	if s.aws, err = awsfake.Start(awsfake.Options{}); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.aws.Close() })
	key := awsfake.DefaultCredential
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": s.aws.URL(), "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_PROFILE": "", "AWS_ENDPOINT_URL_STS": s.aws.URL(), "AWS_ENDPOINT_URL_CLOUDWATCH": s.aws.URL(), "NODE_NAME": "", "KUBERNETES_SERVICE_HOST": "",
		"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey, "AWS_SESSION_TOKEN": key.SessionToken,
	} {
		s.t.Setenv(name, value)
	}
	s.names = append(s.names, s.aws.Addr(), "aws.test")
}

// volatile is what differs from run to run.
var volatile = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`/\S+enawatch\.yaml`), "/etc/enawatch/enawatch.yaml"},
	{regexp.MustCompile(`[\w.-]+ is i-0`), "web-1 is i-0"}, // without a configuration, the machine's own name
	{regexp.MustCompile(`the last \d+s ago`), "the last 10s ago"},
	{regexp.MustCompile(`within \d+s`), "within 1s"},
	{regexp.MustCompile(`1m5\ds|2m\ds`), "2m"},
	{regexp.MustCompile(`10m5\ds|11m\ds`), "11m"},
	{regexp.MustCompile(`for (6h|5h59m)`), "for 6h"},
}

// run runs doctor beside an agent that is well, and returns what it prints.
func (s *patient) run() (text string, code int) {
	t := s.t
	t.Helper()
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now().Unix()
		json.NewEncoder(w).Encode(&live.Document{
			Version: version, Times: []int64{now}, Interfaces: make([]live.Interface, 1),
			Sinks: []live.Sink{{Name: "cloudwatch", Delivered: 120, LastSuccess: float64(now - 10)}},
		})
	}))
	defer agent.Close()
	dir := t.TempDir()
	state, err := store.Open(dir, store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	file := configured(t, "state_dir: "+dir+"\nidentity: "+s.identity+"\nsinks: {"+strings.ReplaceAll(s.sinks, "AWS", s.aws.URL())+"}\n")
	device := filepath.Join(t.TempDir(), "device.yaml")
	if err := os.WriteFile(device, []byte("devices: [{name: ens5, driver: 2.13.3, version: 2.13.3g, initial: {conntrack_allowance_available: 136812}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(s.aws.Journal.Requests("", ""))
	text, _, code = execute(t, "doctor", "--json", "--simulate="+device, "--url", agent.URL, file)
	for _, secret := range []string{awsfake.DefaultCredential.SecretAccessKey, "hunter2", "aGVsbG8", strings.Repeat("wrong", 8)} {
		if strings.Contains(text, secret) {
			t.Errorf("it prints a secret:\n%s", text)
		}
	}
	asked := 0
	for _, r := range s.aws.Journal.Requests("", "")[before:] {
		if r.Stored {
			t.Errorf("%s stores something", r.Operation)
		}
		if r.Service == "imds" {
			asked++
		}
	}
	// For the document and for a role two each, and for what has no role some
	// tries more: a few packets of the 1024 of a second.
	if asked > 8 {
		t.Errorf("IMDS is asked %d times", asked)
	}
	text = strings.NewReplacer(append(s.names, dir, "/var/lib/enawatch")...).Replace(text)
	for _, v := range volatile {
		text = v.re.ReplaceAllString(text, v.by)
	}
	var checks []doctor.Check
	if err := json.Unmarshal([]byte(text), &checks); err != nil {
		t.Fatal(err)
	}
	// As in a terminal, but broken where the names are those of the test.
	var screen strings.Builder
	r := &doctor.Report{W: &screen, Width: 80}
	r.Add(checks)
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	return screen.String(), code
}

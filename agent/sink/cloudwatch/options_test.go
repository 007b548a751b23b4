package cloudwatch

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/test/awsfake"
)

func TestNewRefuses(t *testing.T) {
	text := write(t, "no certificate")
	for want, change := range map[string]func(*Options){
		`namespace "": it must be 1 to 255 printable ASCII characters, not only spaces, and not start with a colon`:                      func(o *Options) { o.Namespace = "" },
		`namespace "AWS/ENA": AWS/ is reserved for AWS services: choose another`:                                                         func(o *Options) { o.Namespace = "AWS/ENA" },
		`storage resolution 30: CloudWatch has 1 and 60 seconds`:                                                                         func(o *Options) { o.Resolution = 30 },
		`at most -1 series: give a positive number`:                                                                                      func(o *Options) { o.MaxSeries = -1 },
		`timeout -1s: give a positive duration`:                                                                                          func(o *Options) { o.Timeout = -time.Second },
		`roll-up "InstanceId" is not known: use AutoScalingGroupName, ClusterName or NodegroupName`:                                      func(o *Options) { o.Rollups = []string{"InstanceId"} },
		`roll-up "ClusterName" is there twice: remove one`:                                                                               func(o *Options) { o.Rollups = []string{"ClusterName", "ClusterName"} },
		`dimension "host" is none that the CloudWatch agent appends: use any of InstanceId, ImageId, InstanceType, AutoScalingGroupName`: func(o *Options) { o.CWAgentDimensions = []string{"host"} },
		`role "monitoring": give the ARN of an IAM role, as arn:aws:iam::123456789012:role/NAME`:                                         func(o *Options) { o.RoleARN = "monitoring" },
		`external id: it needs a role to assume, and at least 2 letters, digits or any of _+=,.@:/-`:                                     func(o *Options) { o.ExternalID = "s3cret" },
		`session name "a b": it must be 2 to 64 letters, digits or any of _+=,.@-`:                                                       func(o *Options) { o.SessionName = "a b" },
		`endpoint: give a URL as https://HOST, with a port if need be`:                                                                   func(o *Options) { o.Endpoint = "monitoring.example.com" },
		`endpoint: give a URL without user, query and fragment`:                                                                          func(o *Options) { o.Endpoint = "https://me:s3cret@monitoring.example.com" },
		`endpoint: it can't be combined with FIPS or dual-stack, which choose one themselves: remove one of them`:                        func(o *Options) { o.Endpoint, o.FIPS = "https://monitoring.example.com", true },
		`read the CA file: open /nowhere/ca.pem: no such file or directory`:                                                              func(o *Options) { o.CAFile = "/nowhere/ca.pem" },
		`read the CA file: ` + text + ` has no PEM certificate`:                                                                          func(o *Options) { o.CAFile = text },
	} {
		o := Options{Namespace: "ENA"}
		change(&o)
		_, err := New(o)
		if err == nil || err.Error() != "cloudwatch sink: "+want {
			t.Errorf("got  %v\nwant cloudwatch sink: %s", err, want)
		}
	}
	if _, err := New(Options{Namespace: "ENA", RoleARN: "arn:aws-us-gov:iam::123456789012:role/team/monitoring", ExternalID: "x-1"}); err != nil {
		t.Error(err)
	}
}

// TestEndpoints: which of the region's own endpoints is used, by the name that
// the client would look up.
func TestEndpoints(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"monitoring.us-east-1.amazonaws.com":           func(*Options) {},
		"monitoring-fips.us-east-1.amazonaws.com":      func(o *Options) { o.FIPS = true },
		"monitoring.us-east-1.api.aws":                 func(o *Options) { o.DualStack = true },
		"monitoring-fips.us-east-1.api.aws":            func(o *Options) { o.FIPS, o.DualStack = true, true },
		"monitoring.cn-north-1.amazonaws.com.cn":       func(o *Options) { o.Region = "cn-north-1" },
		"monitoring.us-gov-west-1.amazonaws.com":       func(o *Options) { o.Region = "us-gov-west-1" },
		"vpce-0123.monitoring.us-east-1.vpce.internal": func(o *Options) { o.Endpoint = "https://vpce-0123.monitoring.us-east-1.vpce.internal" },
	} {
		s := newSink(t, startFake(t, awsfake.Options{}), func(o *Options) { o.Endpoint = "" }, change)
		var err error
		if s.service, err = s.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got *http.Request
		s.service.http = roundTripper(func(r *http.Request) (*http.Response, error) {
			got = r
			return nil, errors.New("far enough")
		})
		e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data))
		if got == nil || got.URL.Host != want || got.URL.Scheme != "https" || e.Ambiguous {
			t.Errorf("%+v for %s: %v", got, want, e)
		}
	}
}

// TestEndpointsThatContradict: what the SDK itself refuses is said in one line.
func TestEndpointsThatContradict(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	t.Setenv("AWS_ENDPOINT_URL_CLOUDWATCH", server.URL())
	s := newSink(t, server, func(o *Options) { o.Endpoint, o.FIPS = "", true })
	e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data))
	want := "send to CloudWatch: failed to resolve service endpoint, endpoint rule error, Invalid Configuration: FIPS and custom endpoint are not supported"
	if e.Kind != sink.Transient || e.Ambiguous || e.Error() != want {
		t.Errorf("%v, ambiguous %v:\ngot  %v\nwant %s", e.Kind, e.Ambiguous, e, want)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestDefaults are those of what is left out.
func TestDefaults(t *testing.T) {
	o := Options{Namespace: "ENA"}
	if err := o.complete(); err != nil || o.Resolution != 60 || o.MaxSeries != defaultMaxSeries || !slices.Equal(o.CWAgentDimensions, appended) {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPolicy: the IAM policy allows what Deliver does, in the default namespace,
// and nothing else; and the advice names the file.
func TestPolicy(t *testing.T) {
	const name = "deploy/iam/cloudwatch-put-metric-data.json"
	text, err := os.ReadFile(filepath.Join("..", "..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Sid": "PutENAMetrics", "Effect": "Allow", "Action": "cloudwatch:PutMetricData", "Resource": "*",
			"Condition": map[string]any{"StringEquals": map[string]any{"cloudwatch:namespace": "ENA"}},
		}},
	}
	if !reflect.DeepEqual(got, any(want)) {
		t.Error(cmp.Diff(any(want), got))
	}
	server := startFake(t, awsfake.Options{})
	if err := server.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 403}}}); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, server)
	if e := asError(t, s.Deliver(t.Context(), one(t, s, eventful()).Data)); !strings.Contains(e.Error(), name) {
		t.Error(e)
	}
}

package awsfake_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

func metadata(t *testing.T, s *awsfake.Server, change ...func(*imds.Options)) *imds.Client {
	t.Helper()
	return imds.New(imds.Options{
		Endpoint:          s.URL(),
		ClientEnableState: imds.ClientEnabled,
		EnableFallback:    aws.FalseTernary,
		HTTPClient:        hidesWriterTo{httpClient(t, s)},
		Retryer:           aws.NopRetryer{},
	}, change...)
}

// get returns what the metadata service has at a path, or the status.
func get(t *testing.T, c *imds.Client, path string) (string, int) {
	t.Helper()
	out, err := c.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", status(err)
	}
	defer out.Content.Close()
	b, err := io.ReadAll(out.Content)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), http.StatusOK
}

func TestMetadata(t *testing.T) {
	s := start(t, awsfake.Options{Region: "eu-west-1", Instance: awsfake.Instance{
		ID: "i-1", Type: "c7gn.16xlarge", PlacementGroup: "pg", Partition: 3, LifecycleState: "InService",
		ENIs: []awsfake.ENI{
			{MAC: "0A:00:00:00:00:01", ID: "eni-1", IPs: []string{"10.0.0.1", "10.0.0.2"}},
			{MAC: "0a:00:00:00:00:02", ID: "eni-2", NetworkCard: 1},
		},
	}})
	c := metadata(t, s)
	const macs = "network/interfaces/macs/"
	for path, want := range map[string]string{
		"instance-id":                              "i-1",
		"instance-type":                            "c7gn.16xlarge",
		"ami-id":                                   "ami-0123456789abcdef0",
		"mac":                                      "0a:00:00:00:00:01",
		"placement/region":                         "eu-west-1",
		"placement/availability-zone":              "eu-west-1a",
		"placement/availability-zone-id":           "use1-az1",
		"placement/group-name":                     "pg",
		"placement/partition-number":               "3",
		"autoscaling/target-lifecycle-state":       "InService",
		macs:                                       "0a:00:00:00:00:01/\n0a:00:00:00:00:02/",
		macs + "0a:00:00:00:00:01/interface-id":    "eni-1",
		macs + "0a:00:00:00:00:01/device-number":   "0",
		macs + "0a:00:00:00:00:01/local-ipv4s":     "10.0.0.1\n10.0.0.2",
		macs + "0a:00:00:00:00:02/device-number":   "1",
		macs + "0a:00:00:00:00:02/network-card":    "1",
		macs + "0a:00:00:00:00:02/subnet-id":       "subnet-0123456789abcdef0",
		macs + "0a:00:00:00:00:02/vpc-id":          "vpc-0123456789abcdef0",
		macs + "0a:00:00:00:00:02/owner-id":        "123456789012",
		macs + "0a:00:00:00:00:02/security-groups": "default",
		"placement/":                               "availability-zone\navailability-zone-id\ngroup-name\npartition-number\nregion",
	} {
		if got, status := get(t, c, path); status != http.StatusOK || got != want {
			t.Errorf("%s: %d %q, want %q", path, status, got, want)
		}
	}
	for _, path := range []string{"tags/instance", "tags/instance/Name", "iam/security-credentials/", "iam/security-credentials/node", "nothing", macs + "0a:00:00:00:00:03/interface-id"} {
		if got, status := get(t, c, path); status != http.StatusNotFound {
			t.Errorf("%s: %d %q, want 404", path, status, got)
		}
	}
	doc, err := c.GetInstanceIdentityDocument(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := [...]string{"123456789012", "eu-west-1", "i-1", "c7gn.16xlarge", "eu-west-1a", "10.0.0.1"}
	got := [...]string{doc.AccountID, doc.Region, doc.InstanceID, doc.InstanceType, doc.AvailabilityZone, doc.PrivateIP}
	if got != want {
		t.Errorf("identity document: %q", got)
	}
	// One token served for all of that.
	if n := len(s.Journal.Requests("imds", "token")); n != 1 {
		t.Errorf("%d tokens", n)
	}
}

func TestMetadataTags(t *testing.T) {
	s := start(t, awsfake.Options{Instance: awsfake.Instance{Tags: map[string]string{}}})
	c := metadata(t, s)
	if got, status := get(t, c, "tags/instance/"); status != http.StatusOK || got != "" {
		t.Errorf("no tags: %d %q", status, got)
	}
	s.IMDS.SetInstance(awsfake.Instance{Tags: map[string]string{
		"aws:autoscaling:groupName": "asg", "kubernetes.io/cluster/c": "owned", "Name": "host 1",
	}})
	if got, _ := get(t, c, "tags/instance/"); got != "Name\naws:autoscaling:groupName\nkubernetes.io/cluster/c" {
		t.Errorf("list: %q", got)
	}
	for key, want := range map[string]string{"aws:autoscaling:groupName": "asg", "Name": "host 1", "kubernetes.io/cluster/c": "owned"} {
		if got, _ := get(t, c, "tags/instance/"+key); got != want {
			t.Errorf("%s: %q", key, got)
		}
	}
}

// TestMetadataAttach: the service knows of a hot attach only after a while.
func TestMetadataAttach(t *testing.T) {
	var passed atomic.Int64
	s := start(t, awsfake.Options{Now: func() time.Time { return frozen.Add(time.Duration(passed.Load())) }})
	c := metadata(t, s)
	list := func() []string {
		t.Helper()
		got, _ := get(t, c, "network/interfaces/macs/")
		return strings.Split(got, "\n")
	}
	const first, second = "02:00:00:00:00:01/", "06:00:00:00:00:09/"
	s.IMDS.Attach(awsfake.ENI{MAC: "06:00:00:00:00:09", Visible: frozen.Add(10 * time.Second)})
	if diff := cmp.Diff([]string{first}, list()); diff != "" {
		t.Errorf("at once (-want +got):\n%s", diff)
	}
	if _, status := get(t, c, "network/interfaces/macs/"+second+"interface-id"); status != http.StatusNotFound {
		t.Errorf("status %d before it is visible", status)
	}
	passed.Store(int64(10*time.Second - 1))
	if diff := cmp.Diff([]string{first}, list()); diff != "" {
		t.Errorf("just before it is visible (-want +got):\n%s", diff)
	}
	passed.Store(int64(10 * time.Second))
	if diff := cmp.Diff([]string{first, second}, list()); diff != "" {
		t.Errorf("after the lag (-want +got):\n%s", diff)
	}
	if got, _ := get(t, c, "network/interfaces/macs/"+second+"device-number"); got != "1" {
		t.Errorf("device number %q", got)
	}
	s.IMDS.Detach("06:00:00:00:00:09")
	s.IMDS.Detach("02:00:00:00:00:01") // The last one stays.
	if diff := cmp.Diff([]string{first}, list()); diff != "" {
		t.Errorf("detached (-want +got):\n%s", diff)
	}
}

// TestMetadataTokens goes around the SDK.
func TestMetadataTokens(t *testing.T) {
	var passed atomic.Int64
	s := start(t, awsfake.Options{Now: func() time.Time { return frozen.Add(time.Duration(passed.Load())) }})
	request := func(method, path string, header ...string) reply {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		return sendRequest(t, s, r)
	}
	const ttl = "X-aws-ec2-metadata-token-ttl-seconds"
	token := func(seconds string) reply { return request(http.MethodPut, "/latest/api/token", ttl, seconds) }
	for seconds, want := range map[string]int{"1": 200, "21600": 200, "0": 400, "21601": 400, "x": 400, "": 400} {
		if r := token(seconds); r.status != want || (want == 200 && r.header.Get(ttl) != seconds) {
			t.Errorf("TTL %q: %+v, want %d", seconds, r, want)
		}
	}
	if r := request(http.MethodPut, "/latest/api/token", ttl, "60", "X-Forwarded-For", "192.0.2.1"); r.status != http.StatusForbidden {
		t.Errorf("forwarded: %+v", r)
	}
	if r := request(http.MethodGet, "/latest/api/token", ttl, "60"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("GET token: %+v", r)
	}
	id := func(token string) int {
		if token == "" {
			return request(http.MethodGet, "/latest/meta-data/instance-id").status
		}
		return request(http.MethodGet, "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token).status
	}
	good := token("60").body
	if id(good) != 200 || id("made-up") != 401 || id("") != 401 {
		t.Errorf("with a token %d, with a made-up one %d, with none %d", id(good), id("made-up"), id(""))
	}
	if n := s.IMDS.Refused(); n != 1 {
		t.Errorf("%d requests without a token were counted, want 1", n)
	}
	passed.Store(int64(time.Minute - 1))
	before := id(good)
	passed.Store(int64(time.Minute))
	if before != 200 || id(good) != 401 {
		t.Errorf("%d just before the token ends, %d then", before, id(good))
	}
	again := token("60").body
	s.IMDS.RevokeTokens()
	if id(again) != 401 {
		t.Error("a revoked token is good")
	}
	if r := request(http.MethodPost, "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token", token("9").body); r.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %+v", r)
	}
	s.IMDS.SetInstance(awsfake.Instance{V1: true})
	if id("") != 200 || s.IMDS.Refused() != 1 {
		t.Errorf("version 1 allowed: %d, %d refused", id(""), s.IMDS.Refused())
	}
	s.IMDS.SetInstance(awsfake.Instance{Disabled: true})
	if r := token("60"); r.status != http.StatusForbidden {
		t.Errorf("disabled: %+v", r)
	}
}

// TestMetadataFaults: the SDK's client meets what other services do.
func TestMetadataFaults(t *testing.T) {
	s := start(t, awsfake.Options{})
	err := s.Faults.Add(
		awsfake.Rule{Service: "imds", Operation: "meta-data/network/*", Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 500}}},
		awsfake.Rule{Service: "imds", Operation: "token", Faults: []awsfake.Fault{{Kind: awsfake.Throttle}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	c := metadata(t, s)
	if _, err := c.GetMetadata(t.Context(), &imds.GetMetadataInput{Path: "instance-id"}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("throttled token: %v", err)
	}
	if got, status := get(t, c, "instance-id"); status != http.StatusOK {
		t.Errorf("%d %q", status, got)
	}
	if _, status := get(t, c, "network/interfaces/macs/"); status != http.StatusInternalServerError {
		t.Errorf("scripted: %d", status)
	}
}

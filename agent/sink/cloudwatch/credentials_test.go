package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/test/awsfake"
)

const role = "arn:aws:iam::123456789012:role/monitoring"

// chain makes a sink look for its credentials as the SDK does.
func chain(o *Options) { o.Credentials = nil }

// setenv sets variables; URL stands for the stand-in's.
func setenv(t *testing.T, server *awsfake.Server, variables map[string]string) {
	t.Helper()
	for name, value := range variables {
		t.Setenv(name, strings.ReplaceAll(value, "URL", server.URL()))
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func profile(c awsfake.Credential) string {
	return fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", c.AccessKeyID, c.SecretAccessKey)
}

// TestChain finds credentials and region in each of their places, and signs with
// what it found.
func TestChain(t *testing.T) {
	key := awsfake.DefaultCredential
	inEnvironment := map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey}
	with := func(more ...string) map[string]string {
		all := map[string]string{}
		for name, value := range inEnvironment {
			all[name] = value
		}
		for i := 0; i < len(more); i += 2 {
			all[more[i]] = more[i+1]
		}
		return all
	}
	for name, tt := range map[string]struct {
		environment map[string]string
		change      func(*Options)
		key         string // how the id of the key begins that signs
	}{
		"environment":   {inEnvironment, nil, "AKIAAWSFAKE"},
		"shared file":   {map[string]string{"AWS_SHARED_CREDENTIALS_FILE": write(t, profile(key))}, nil, "AKIAAWSFAKE"},
		"instance role": {map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"}, nil, "ASIA"},
		"container": {map[string]string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL/v1/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": write(t, "t-1"),
		}, nil, "ASIA"},
		"service account": {map[string]string{
			"AWS_WEB_IDENTITY_TOKEN_FILE": write(t, "pod-token"), "AWS_ROLE_ARN": role, "AWS_ENDPOINT_URL_STS": "URL",
		}, nil, "ASIA"},
		"another account":           {with("AWS_ENDPOINT_URL_STS", "URL"), func(o *Options) { o.RoleARN, o.ExternalID = role, "x-1" }, "ASIA"},
		"region of the environment": {with("AWS_REGION", "us-east-1"), func(o *Options) { o.Region = "" }, "AKIAAWSFAKE"},
		"region of the host": {inEnvironment, func(o *Options) {
			o.Region, o.FindRegion = "", func(context.Context) (string, error) { return "us-east-1", nil }
		}, "AKIAAWSFAKE"},
		"endpoint of the environment": {with("AWS_ENDPOINT_URL_CLOUDWATCH", "URL"), func(o *Options) { o.Endpoint = "" }, "AKIAAWSFAKE"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{
				Instance:  awsfake.Instance{Role: "node"},
				Container: awsfake.Container{Role: "pod", Token: "t-1"},
				Roles:     []awsfake.Role{{ARN: role, ExternalID: "x-1", WebIdentityTokens: []string{"pod-token"}}},
			})
			setenv(t, server, tt.environment)
			s := newSink(t, server, chain, func(o *Options) {
				if tt.change != nil {
					tt.change(o)
				}
			})
			if n := len(server.Journal.Requests("", "")); n != 0 {
				t.Errorf("%d requests before the first delivery", n)
			}
			deliver(t, s, one(t, s, eventful()))
			deliver(t, s, one(t, s, eventful()))
			for _, q := range server.Journal.Requests("cloudwatch", "") {
				if !strings.HasPrefix(q.AccessKeyID, tt.key) {
					t.Errorf("signed by %q", q.AccessKeyID)
				}
			}
			if n := len(server.Journal.Requests("", "")) - len(server.Journal.Requests("cloudwatch", "")); n > 3 {
				t.Errorf("%d requests for credentials, want one round", n)
			}
		})
	}
}

// TestCredentialErrors: each gives one line that says what to do.
func TestCredentialErrors(t *testing.T) {
	wrong := awsfake.DefaultCredential
	wrong.SecretAccessKey = "another-secret-access-key"
	unknown := awsfake.DefaultCredential
	unknown.AccessKeyID = "AKIAUNKNOWN"
	expired := awsfake.Credential{AccessKeyID: "ASIAEXPIRED", SecretAccessKey: "expired-secret", SessionToken: "expired/session+token==", Expires: time.Now().Add(-time.Minute)}
	key := awsfake.DefaultCredential
	sts := map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey, "AWS_ENDPOINT_URL_STS": "URL"}
	assume := func(o *Options) { chain(o); o.RoleARN, o.ExternalID = role, "x-2" }
	for name, tt := range map[string]struct {
		environment map[string]string
		change      func(*Options)
		fault       *awsfake.Fault
		kind        sink.Kind
		want        string
	}{
		"wrong secret": {change: func(o *Options) { o.Credentials = static(wrong) }, kind: sink.Credentials,
			want: "PutMetricData: SignatureDoesNotMatch: The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.: the secret access key is not that of the access key, or a proxy changes requests: give the right one"},
		"unknown key": {change: func(o *Options) { o.Credentials = static(unknown) }, kind: sink.Credentials,
			want: "PutMetricData: InvalidClientTokenId: The security token included in the request is invalid.: the access key does not exist or is not active: give another, or let the host have a role (it came from StaticCredentials)"},
		"expired token": {change: func(o *Options) { o.Credentials = static(expired) }, kind: sink.Credentials,
			want: "PutMetricData: ExpiredToken: The security token included in the request is expired: the session token has expired: renew it, or let the host have a role, which renews its own"},
		"none at all": {change: chain, kind: sink.Credentials,
			want: "no AWS credentials in the environment and the shared files, and the instance metadata service has none: access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable: attach a role to the instance or the pod, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"},
		"instance without a role": {environment: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"}, change: chain, kind: sink.Credentials,
			want: "no AWS credentials in the environment and the shared files, and EC2 gives this host no role: attach a role to the instance or the pod, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"},
		"IMDS switched off": {environment: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"}, change: func(o *Options) { chain(o); o.DisableIMDS = true }, kind: sink.Credentials,
			want: "no AWS credentials in the environment and the shared files, and the instance metadata service has none: access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable: attach a role to the instance or the pod, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"},
		"IMDS is silent": {environment: map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"}, change: chain,
			fault: &awsfake.Fault{Kind: awsfake.Reset}, kind: sink.Transient},
		"container is silent": {environment: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL/v1/credentials"}, change: func(o *Options) { chain(o); o.Timeout = 20 * time.Millisecond },
			fault: &awsfake.Fault{Kind: awsfake.Hang}, kind: sink.Transient,
			want: "get AWS credentials: no answer in time"},
		"container without a role": {environment: map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "URL/v1/credentials"}, change: chain, kind: sink.Credentials,
			want: "get AWS credentials: ResourceNotFoundException: no role is associated with this container: look at the role, and at whom it trusts"},
		"no region": {change: func(o *Options) { o.Region = "" }, kind: sink.Credentials,
			want: "the AWS region is not known: set the region of the cloudwatch sink, or AWS_REGION"},
		"region not found": {change: func(o *Options) {
			o.Region, o.FindRegion = "", func(context.Context) (string, error) { return "", errors.New("IMDS is silent") }
		}, kind: sink.Credentials,
			want: "the AWS region is not known: IMDS is silent: set the region of the cloudwatch sink, or AWS_REGION"},
		"no such profile": {environment: map[string]string{"AWS_PROFILE": "missing"}, change: chain, kind: sink.Credentials,
			want: "read the AWS configuration: failed to get shared config profile, missing: mend AWS_PROFILE, AWS_CONFIG_FILE, AWS_CA_BUNDLE or what they name"},
		"role refuses": {environment: sts, change: assume, kind: sink.Credentials,
			want: "get AWS credentials: AccessDenied: User: arn:aws:iam::123456789012:user/awsfake is not authorized to perform: sts:AssumeRole on resource: " + role + ": let the host's own identity call sts:AssumeRole on " + role + ", and let that role trust it, with the same external id"},
		"service account refused": {environment: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": write(t, "other"), "AWS_ROLE_ARN": role, "AWS_ENDPOINT_URL_STS": "URL"}, change: chain, kind: sink.Credentials,
			want: "get AWS credentials: InvalidIdentityToken: The web identity token that was passed could not be validated by AWS.: look at the role, and at whom it trusts"},
		"no token file": {environment: map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token", "AWS_ROLE_ARN": role, "AWS_ENDPOINT_URL_STS": "URL"}, change: chain, kind: sink.Credentials,
			want: "get AWS credentials: failed to refresh cached credentials, failed to retrieve jwt from provide source, unable to read file at /nowhere/token: open /nowhere/token: no such file or directory"},
		"STS is silent": {environment: sts, change: func(o *Options) { assume(o); o.Timeout = 20 * time.Millisecond }, fault: &awsfake.Fault{Kind: awsfake.Hang}, kind: sink.Transient,
			want: "get AWS credentials: STS: no answer in time"},
		"STS is down": {environment: sts, change: assume, fault: &awsfake.Fault{Kind: awsfake.Status, Status: 503}, kind: sink.Transient,
			want: "get AWS credentials: ServiceUnavailable: Service Unavailable"},
		"STS throttles": {environment: sts, change: assume, fault: &awsfake.Fault{Kind: awsfake.Throttle}, kind: sink.Throttled,
			want: "get AWS credentials: Throttling: Rate exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			server := startFake(t, awsfake.Options{Roles: []awsfake.Role{{ARN: role, ExternalID: "x-1", WebIdentityTokens: []string{"pod-token"}}}})
			server.Keys.Add(expired)
			if tt.fault != nil {
				if err := server.Faults.Add(awsfake.Rule{Times: -1, Faults: []awsfake.Fault{*tt.fault}}); err != nil {
					t.Fatal(err)
				}
			}
			setenv(t, server, tt.environment)
			s := newSink(t, server, tt.change)
			r := one(t, s, eventful())
			e := asError(t, s.Deliver(t.Context(), r.Data), wrong.SecretAccessKey, expired.SecretAccessKey, expired.SessionToken)
			if e.Kind != tt.kind || e.Ambiguous {
				t.Errorf("%v, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
			}
			if tt.want != "" && e.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", e, tt.want)
			}
			again := asError(t, s.Deliver(t.Context(), r.Data))
			if again.Error() != e.Error() {
				t.Errorf("another text for the same fault: %v, then %v", e, again)
			}
			if n := len(server.CloudWatch.Data(awsfake.MetricQuery{})); n != 0 {
				t.Errorf("%d data were stored", n)
			}
		})
	}
}

// TestMended: what somebody mends while the agent runs is taken up.
func TestMended(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	wrong := awsfake.DefaultCredential
	wrong.AccessKeyID = "AKIAOLD"
	file := write(t, profile(wrong))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	s := newSink(t, server, chain)
	r := one(t, s, eventful())
	if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials {
		t.Errorf("%v: %v", e.Kind, e)
	}
	if err := os.WriteFile(file, []byte(profile(awsfake.DefaultCredential)), 0o600); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, r)
}

// TestMendedOffEC2: a file that is written while the metadata service is silent
// is taken up too.
func TestMendedOffEC2(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	if err := server.Faults.Add(awsfake.Rule{Service: "imds", Times: -1, Faults: []awsfake.Fault{{Kind: awsfake.Reset}}}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "credentials")
	setenv(t, server, map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL", "AWS_SHARED_CREDENTIALS_FILE": file})
	s := newSink(t, server, chain)
	r := one(t, s, eventful())
	if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Transient || e.Ambiguous {
		t.Errorf("%v, ambiguous %v: %v", e.Kind, e.Ambiguous, e)
	}
	if err := os.WriteFile(file, []byte(profile(awsfake.DefaultCredential)), 0o600); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, r)
}

// TestRenewal: a role's credentials that end are replaced by others.
func TestRenewal(t *testing.T) {
	server := startFake(t, awsfake.Options{Instance: awsfake.Instance{Role: "node"}})
	setenv(t, server, map[string]string{"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "URL"})
	s := newSink(t, server, chain)
	r := one(t, s, eventful())
	deliver(t, s, r)
	server.Keys.ExpireSessions(server.Now())
	if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials {
		t.Errorf("%v: %v", e.Kind, e)
	}
	deliver(t, s, r)
}

// TestClockOfRole: a role is had in spite of the clock, as soon as the SDK has
// learned how far it is off.
func TestClockOfRole(t *testing.T) {
	key := awsfake.DefaultCredential
	server := startFake(t, awsfake.Options{Roles: []awsfake.Role{{ARN: role}}})
	server.SetSkew(time.Hour)
	setenv(t, server, map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey, "AWS_ENDPOINT_URL_STS": "URL"})
	s := newSink(t, server, chain, func(o *Options) { o.RoleARN = role })
	r := one(t, s, eventful())
	for _, want := range []string{"get AWS credentials", "PutMetricData"} {
		want += ": SignatureDoesNotMatch: the host's clock is 1h0m behind that of AWS: " + awsclient.RemedyClock
		if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials || e.Ambiguous || e.Error() != want {
			t.Errorf("%v, ambiguous %v:\ngot  %v\nwant %s", e.Kind, e.Ambiguous, e, want)
		}
	}
	deliver(t, s, r)
}

// TestClockWithoutWords: the Date of an answer says what its message does not.
func TestClockWithoutWords(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	server.SetSkew(time.Hour)
	if err := server.Faults.Add(awsfake.Rule{Faults: []awsfake.Fault{{Kind: awsfake.Status, Status: 403, Code: "RequestExpired"}}}); err != nil {
		t.Fatal(err)
	}
	s := newSink(t, server)
	r := one(t, s, eventful())
	if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials || !strings.Contains(e.Error(), "1h0m behind") {
		t.Errorf("%v: %v", e.Kind, e)
	}
	deliver(t, s, r)
}

// TestClockFarOff: by the clock of AWS, which decides, these data are too old.
func TestClockFarOff(t *testing.T) {
	server := startFake(t, awsfake.Options{})
	server.SetSkew(2 * maxAge)
	s := newSink(t, server)
	r := one(t, s, eventful())
	for _, want := range []sink.Kind{sink.Credentials, sink.TooOld} {
		if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != want || e.Ambiguous {
			t.Errorf("%v, want %v: %v", e.Kind, want, e)
		}
	}
}

// TestClock: a clock that is off gives one line with how far, and then the SDK
// signs by the clock of AWS, until the host's is right again.
func TestClock(t *testing.T) {
	for skew, want := range map[time.Duration]string{
		time.Hour:              "the host's clock is 1h0m behind that of AWS",
		-time.Hour:             "the host's clock is 1h0m ahead of that of AWS",
		400 * 24 * time.Hour:   "the host's clock is 9600h0m behind that of AWS",
		-(6*time.Minute + 1e9): "the host's clock is 6m ahead of that of AWS",
	} {
		server := startFake(t, awsfake.Options{})
		server.SetSkew(skew)
		s := newSink(t, server)
		b := eventful()
		b.Start = server.Now().Add(-time.Minute)
		r := one(t, s, b)
		want = "PutMetricData: SignatureDoesNotMatch: " + want + ": " + awsclient.RemedyClock
		if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials || e.Ambiguous || e.Error() != want {
			t.Errorf("%v:\ngot  %v\nwant %v", skew, e, want)
		}
		deliver(t, s, r)
		if got := s.skew; (got - skew).Abs() > 2*time.Second {
			t.Errorf("the skew is %v, want %v", got, skew)
		}
		server.SetSkew(0)
		b.Start = minute()
		r = one(t, s, b)
		if e := asError(t, s.Deliver(t.Context(), r.Data)); e.Kind != sink.Credentials || !strings.Contains(e.Error(), "was set since the last request") {
			t.Errorf("set right: %v: %v", e.Kind, e)
		}
		deliver(t, s, r)
	}
}

package awsfake_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/endpointcreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/enawatch/enawatch/test/awsfake"
)

const roleARN = "arn:aws:iam::123456789012:role/monitoring"

func stsClient(t *testing.T, s *awsfake.Server, key awsfake.Credential) *sts.Client {
	t.Helper()
	return sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.URL()), Credentials: provider(key),
		HTTPClient: hidesWriterTo{httpClient(t, s)}, Retryer: aws.NopRetryer{},
	})
}

// publish sends one datum with credentials.
func publish(t *testing.T, s *awsfake.Server, p aws.CredentialsProvider) error {
	t.Helper()
	_, err := cloudWatch(t, s, func(o *cloudwatch.Options) { o.Credentials = p }).PutMetricData(t.Context(), input(nil))
	return err
}

func TestInstanceRole(t *testing.T) {
	s := start(t, awsfake.Options{Instance: awsfake.Instance{ID: "i-1", Role: "node"}})
	p := ec2rolecreds.New(func(o *ec2rolecreds.Options) { o.Client = metadata(t, s) })
	if err := publish(t, s, p); err != nil {
		t.Fatal(err)
	}
	first, err := p.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if q := s.Journal.Requests("cloudwatch", "")[0]; q.AccessKeyID != first.AccessKeyID || !strings.HasPrefix(first.AccessKeyID, "ASIA") {
		t.Errorf("signed by %q, the role has %q", q.AccessKeyID, first.AccessKeyID)
	}
	if got, status := get(t, metadata(t, s), "iam/security-credentials/other"); status != http.StatusNotFound {
		t.Errorf("another role: %d %q", status, got)
	}
	if again, err := p.Retrieve(t.Context()); err != nil || again.AccessKeyID != first.AccessKeyID {
		t.Errorf("the credentials changed before their time: %v", err)
	}
	s.Keys.ExpireSessions(frozen)
	if err := publish(t, s, aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return first, nil })); code(t, err) != "ExpiredToken" {
		t.Errorf("expired: %v", err)
	}
	// The metadata service has new ones.
	if err := publish(t, s, p); err != nil {
		t.Errorf("fresh credentials: %v", err)
	}
}

func TestAssumeRole(t *testing.T) {
	user := awsfake.DefaultCredential.ARN
	s := start(t, awsfake.Options{Roles: []awsfake.Role{{ARN: roleARN, ExternalID: "x-1", Principals: []string{user}}}})
	other := awsfake.Credential{AccessKeyID: "AKIAOTHER", SecretAccessKey: "s", ARN: "arn:aws:iam::123456789012:user/other"}
	s.Keys.Add(other)
	assume := func(key awsfake.Credential, arn, externalID string, change ...func(*stscreds.AssumeRoleOptions)) aws.CredentialsProvider {
		return stscreds.NewAssumeRoleProvider(stsClient(t, s, key), arn, append([]func(*stscreds.AssumeRoleOptions){func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "host@1"
			if externalID != "" {
				o.ExternalID = &externalID
			}
		}}, change...)...)
	}
	p := assume(awsfake.DefaultCredential, roleARN, "x-1")
	creds, err := p.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The SDK asks for 15 minutes.
	if want := frozen.Truncate(time.Second).Add(15 * time.Minute); !creds.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", creds.Expires, want)
	}
	if err := publish(t, s, p); err != nil {
		t.Error(err)
	}
	role := awsfake.Credential{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}
	who, err := stsClient(t, s, role).GetCallerIdentity(t.Context(), nil)
	if err != nil || *who.Arn != "arn:aws:sts::123456789012:assumed-role/monitoring/host@1" || *who.Account != "123456789012" {
		t.Errorf("caller identity: %+v, %v", who, err)
	}
	session := func(name string) func(*stscreds.AssumeRoleOptions) {
		return func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = name }
	}
	lasts := func(d time.Duration) func(*stscreds.AssumeRoleOptions) {
		return func(o *stscreds.AssumeRoleOptions) { o.Duration = d }
	}
	wrong := awsfake.DefaultCredential
	wrong.SecretAccessKey = "wrong"
	for name, tt := range map[string]struct {
		p    aws.CredentialsProvider
		code string
	}{
		"no external id":    {assume(awsfake.DefaultCredential, roleARN, ""), "AccessDenied"},
		"wrong external id": {assume(awsfake.DefaultCredential, roleARN, "x-2"), "AccessDenied"},
		"another role":      {assume(awsfake.DefaultCredential, roleARN+"2", "x-1"), "AccessDenied"},
		"another principal": {assume(other, roleARN, "x-1"), "AccessDenied"},
		"wrong secret":      {assume(wrong, roleARN, "x-1"), "SignatureDoesNotMatch"},
		"session name":      {assume(awsfake.DefaultCredential, roleARN, "x-1", session("a b")), "ValidationError"},
		"too short":         {assume(awsfake.DefaultCredential, roleARN, "x-1", lasts(899*time.Second)), "ValidationError"},
		"too long":          {assume(awsfake.DefaultCredential, roleARN, "x-1", lasts(43201*time.Second)), "ValidationError"},
		"longest":           {assume(awsfake.DefaultCredential, roleARN, "x-1", lasts(12*time.Hour)), ""},
	} {
		_, err := tt.p.Retrieve(t.Context())
		if got := code(t, err); got != tt.code {
			t.Errorf("%s: code %q, want %q", name, got, tt.code)
		}
	}
	if _, err := stsClient(t, s, awsfake.DefaultCredential).GetSessionToken(t.Context(), nil); code(t, err) != "InvalidAction" {
		t.Errorf("another operation: %v", err)
	}
	if err := s.Faults.Add(awsfake.Rule{Service: "sts", Faults: []awsfake.Fault{{Kind: awsfake.Throttle}, {Kind: awsfake.Status, Status: 503}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Throttling", "ServiceUnavailable"} {
		if _, err := p.Retrieve(t.Context()); code(t, err) != want {
			t.Errorf("want %s: %v", want, err)
		}
	}
}

func TestWebIdentity(t *testing.T) {
	s := start(t, awsfake.Options{})
	s.STS.SetRole(awsfake.Role{ARN: roleARN, WebIdentityTokens: []string{"pod-token"}})
	file := filepath.Join(t.TempDir(), "token")
	retrieve := func(arn, token string) error {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		p := stscreds.NewWebIdentityRoleProvider(stsClient(t, s, awsfake.Credential{}), arn, stscreds.IdentityTokenFile(file))
		if _, err := p.Retrieve(t.Context()); err != nil {
			return err
		}
		return publish(t, s, p)
	}
	if err := retrieve(roleARN, "pod-token"); err != nil {
		t.Error(err)
	}
	if err := retrieve(roleARN, "other"); code(t, err) != "InvalidIdentityToken" {
		t.Errorf("another token: %v", err)
	}
	if err := retrieve(roleARN+"2", "pod-token"); code(t, err) != "AccessDenied" {
		t.Errorf("another role: %v", err)
	}
}

func TestContainerCredentials(t *testing.T) {
	s := start(t, awsfake.Options{Container: awsfake.Container{Role: "task"}})
	retrieve := func(path, token string) error {
		p := endpointcreds.New(s.URL()+path, func(o *endpointcreds.Options) {
			o.AuthorizationToken = token
			o.HTTPClient = hidesWriterTo{httpClient(t, s)}
			o.Retryer = aws.NopRetryer{}
		})
		creds, err := p.Retrieve(t.Context())
		if err != nil {
			return err
		}
		if creds.AccountID != "123456789012" || !creds.CanExpire {
			t.Errorf("%s: account %q, expires %v", path, creds.AccountID, creds.CanExpire)
		}
		return publish(t, s, p)
	}
	if err := retrieve("/v2/credentials/1234", ""); err != nil {
		t.Errorf("ECS: %v", err)
	}
	s.Container.Set(awsfake.Container{Role: "pod", Token: "t-1"})
	if err := retrieve("/v1/credentials", "t-1"); err != nil {
		t.Errorf("Pod Identity: %v", err)
	}
	if err := retrieve("/v1/credentials", "t-0"); err == nil || status(err) != 401 {
		t.Errorf("another token: %d %v", status(err), err)
	}
	s.Container.Set(awsfake.Container{})
	if err := retrieve("/v2/credentials/1234", ""); err == nil || status(err) != 404 {
		t.Errorf("no role: %v", err)
	}
}

// TestDefaultChain lets the SDK's own chain find the container endpoint, and
// nothing else: the instance metadata service is switched off.
func TestDefaultChain(t *testing.T) {
	s := start(t, awsfake.Options{Container: awsfake.Container{Role: "pod", Token: "t-1"}})
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED":              "true",
		"AWS_CONFIG_FILE":                        none,
		"AWS_SHARED_CREDENTIALS_FILE":            none,
		"AWS_CONTAINER_CREDENTIALS_FULL_URI":     s.URL() + "/v1/credentials",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token,
		"AWS_ENDPOINT_URL":                       s.URL(),
		"AWS_REGION":                             "us-east-1",
	} {
		t.Setenv(name, value)
	}
	load := func() error {
		cfg, err := config.LoadDefaultConfig(t.Context(), config.WithHTTPClient(hidesWriterTo{httpClient(t, s)}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = cloudwatch.NewFromConfig(cfg, func(o *cloudwatch.Options) { o.Retryer = aws.NopRetryer{} }).PutMetricData(t.Context(), input(nil))
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Journal.Requests("container", "GetCredentials")); n != 1 {
		t.Errorf("%d requests for credentials", n)
	}
	// Without the endpoint there are no credentials, and nobody to ask.
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
	err := load()
	if err == nil || !strings.Contains(err.Error(), "credentials") || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no credentials: %v", err)
	}
	if n := len(s.Journal.Requests(awsfake.Unknown, "")) + len(s.Journal.Requests("imds", "")); n != 0 {
		t.Errorf("%d requests elsewhere", n)
	}
}

package logs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/awsclient/logs"
)

// pair is this client and the SDK's, with the same configuration.
type pair struct {
	owner *awsclient.Client
	ours  *logs.Client
	sdk   *cloudwatchlogs.Client
}

func newPair(t *testing.T, o awsclient.Options) pair {
	t.Helper()
	o.Sink, o.Service, o.DisableIMDS = "emf", "CloudWatch Logs", true
	o.Credentials = credentials.NewStaticCredentialsProvider("AKID", "secret", "token")
	owner, err := awsclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, failure := owner.Load(t.Context())
	if failure != nil {
		t.Fatal(failure)
	}
	return pair{owner, logs.New(t.Context(), owner, cfg, o.Endpoint), cloudwatchlogs.NewFromConfig(cfg, func(c *cloudwatchlogs.Options) {
		if o.Endpoint != "" {
			c.BaseEndpoint = &o.Endpoint
		}
	})}
}

// call makes a call of this client, and returns the exchange with its error.
func (p pair) call(ctx context.Context, operation string, in, out any) (*awsclient.Exchange, error) {
	x := &awsclient.Exchange{Owner: p.owner, HTTP: p.ours.HTTP}
	return x, p.ours.Call(ctx, x, operation, in, out)
}

// sent is what has to be the same of a request.
type sent struct {
	Method, Path, Target, Type, Token, Scope, Signed string
	Body                                             map[string]any
}

var credential = regexp.MustCompile(`Credential=AKID/\d{8}/(\S+), SignedHeaders=(\S+),`)

// recorder answers every request with {}, and keeps it.
func recorder(t *testing.T) (string, *[]sent) {
	var all []sent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		q := sent{Method: r.Method, Path: r.URL.Path, Target: r.Header.Get("X-Amz-Target"), Type: r.Header.Get("Content-Type"), Token: r.Header.Get("X-Amz-Security-Token")}
		if err := json.Unmarshal(text, &q.Body); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if m := credential.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
			q.Scope = m[1]
			for _, name := range strings.Split(m[2], ";") {
				if !strings.HasPrefix(name, "amz-sdk-") { // what the SDK counts its attempts by
					q.Signed += name + " "
				}
			}
		}
		all = append(all, q)
		io.WriteString(w, "{}")
	}))
	t.Cleanup(s.Close)
	return s.URL, &all
}

// TestRequests: the SDK sends the same.
func TestRequests(t *testing.T) {
	text := "\"<&>\\ \u2028 é 😀 \x7f"
	tags := map[string]string{"enawatch:made-by": "sinks.emf"}
	token := strings.Repeat("t", 36)
	for _, tt := range []struct {
		operation string
		ours      any
		sdk       func(*cloudwatchlogs.Client) error
	}{
		{"PutLogEvents", &logs.PutLogEventsInput{
			LogGroupName: "g", LogStreamName: text, LogEvents: []logs.Event{{Timestamp: 1795421760000, Message: text}, {Timestamp: 1795421760001, Message: "{}"}},
			Entity: &logs.Entity{KeyAttributes: map[string]string{"Type": "AWS::Resource"}, Attributes: tags},
		}, func(c *cloudwatchlogs.Client) error {
			_, err := c.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{
				LogGroupName: aws.String("g"), LogStreamName: &text,
				LogEvents: []types.InputLogEvent{{Timestamp: aws.Int64(1795421760000), Message: &text}, {Timestamp: aws.Int64(1795421760001), Message: aws.String("{}")}},
				Entity:    &types.Entity{KeyAttributes: map[string]string{"Type": "AWS::Resource"}, Attributes: tags},
			})
			return err
		}},
		{"PutLogEvents", &logs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "s", LogEvents: []logs.Event{}}, func(c *cloudwatchlogs.Client) error {
			_, err := c.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{}})
			return err
		}},
		{"CreateLogGroup", &logs.CreateLogGroupInput{LogGroupName: "g", LogGroupClass: logs.ClassStandard, Tags: tags}, func(c *cloudwatchlogs.Client) error {
			_, err := c.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("g"), LogGroupClass: types.LogGroupClassStandard, Tags: tags})
			return err
		}},
		{"CreateLogStream", &logs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s"}, func(c *cloudwatchlogs.Client) error {
			_, err := c.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s")})
			return err
		}},
		{"PutRetentionPolicy", &logs.PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: 30}, func(c *cloudwatchlogs.Client) error {
			_, err := c.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("g"), RetentionInDays: aws.Int32(30)})
			return err
		}},
		{"DescribeLogGroups", &logs.DescribeLogGroupsInput{LogGroupNamePrefix: "g", Limit: 1}, func(c *cloudwatchlogs.Client) error {
			_, err := c.DescribeLogGroups(t.Context(), &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("g"), Limit: aws.Int32(1)})
			return err
		}},
		{"ListTagsForResource", &logs.ListTagsForResourceInput{ResourceArn: "arn"}, func(c *cloudwatchlogs.Client) error {
			_, err := c.ListTagsForResource(t.Context(), &cloudwatchlogs.ListTagsForResourceInput{ResourceArn: aws.String("arn")})
			return err
		}},
		{"PutQueryDefinition", &logs.PutQueryDefinitionInput{Name: "q", QueryString: text, LogGroupNames: []string{"g"}, QueryDefinitionId: "id", ClientToken: token}, func(c *cloudwatchlogs.Client) error {
			_, err := c.PutQueryDefinition(t.Context(), &cloudwatchlogs.PutQueryDefinitionInput{Name: aws.String("q"), QueryString: &text, LogGroupNames: []string{"g"}, QueryDefinitionId: aws.String("id"), ClientToken: &token})
			return err
		}},
		{"DescribeQueryDefinitions", &logs.DescribeQueryDefinitionsInput{QueryDefinitionNamePrefix: "ena/", NextToken: "next"}, func(c *cloudwatchlogs.Client) error {
			_, err := c.DescribeQueryDefinitions(t.Context(), &cloudwatchlogs.DescribeQueryDefinitionsInput{QueryDefinitionNamePrefix: aws.String("ena/"), NextToken: aws.String("next")})
			return err
		}},
		{"DeleteQueryDefinition", &logs.DeleteQueryDefinitionInput{QueryDefinitionId: "id"}, func(c *cloudwatchlogs.Client) error {
			_, err := c.DeleteQueryDefinition(t.Context(), &cloudwatchlogs.DeleteQueryDefinitionInput{QueryDefinitionId: aws.String("id")})
			return err
		}},
	} {
		for _, path := range []string{"", "/", "/behind/a/proxy", "/behind/a/proxy/"} {
			url, requests := recorder(t)
			p := newPair(t, awsclient.Options{Region: "eu-west-1", Endpoint: url + path})
			_, err := p.call(t.Context(), tt.operation, tt.ours, nil)
			if err := errors.Join(err, tt.sdk(p.sdk)); err != nil || len(*requests) != 2 {
				t.Errorf("%s: %d requests, %v", tt.operation, len(*requests), err)
				continue
			}
			if diff := cmp.Diff((*requests)[1], (*requests)[0]); diff != "" || (*requests)[0].Scope != "eu-west-1/logs/aws4_request" {
				t.Errorf("%s to %q (-SDK +ours):\n%s", tt.operation, path, diff)
			}
		}
	}
}

// TestAnswers: the SDK understands the same.
func TestAnswers(t *testing.T) {
	const events = `{"nextSequenceToken":"1","rejectedEntityInfo":{"errorType":"InvalidTypeValue"},"rejectedLogEventsInfo":{"expiredLogEventEndIndex":1,"tooNewLogEventStartIndex":2,"tooOldLogEventEndIndex":3}}`
	type outcome struct {
		Code, Message, ID string
		Failed            bool
		Out               logs.PutLogEventsOutput
	}
	for name, tt := range map[string]struct {
		status int
		header map[string]string
		body   string
		// stricter is true if the SDK takes an answer for the service's that names
		// no error.
		stricter bool
	}{
		"rejected":         {200, nil, events, false},
		"in part":          {200, nil, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":7},"news":[{}]}`, false},
		"nothing":          {200, nil, `{"rejectedEntityInfo":null}`, false},
		"empty":            {200, nil, "", false},
		"a page":           {200, nil, "<html>", false},
		"broken off":       {200, nil, events[:40], false},
		"of another type":  {200, nil, `{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":"x"}}`, false},
		"type":             {400, nil, `{"__type":"ResourceNotFoundException","message":"no"}`, false},
		"namespace":        {400, nil, `{"__type":"com.amazonaws.logs#ThrottlingException","Message":"Rate exceeded"}`, false},
		"code":             {400, nil, `{"code":"SomethingNew","message":"no"}`, false},
		"code, a number":   {500, map[string]string{"X-Amzn-Errortype": "InternalFailure"}, `{"code":7}`, false},
		"header":           {400, map[string]string{"X-Amzn-Errortype": "AccessDeniedException:http://internal.amazon.com/"}, `{"__type":"x","message":"m"}`, false},
		"header alone":     {413, map[string]string{"X-Amzn-Errortype": "RequestEntityTooLargeException"}, "", false},
		"a page, refused":  {403, map[string]string{"X-Amzn-Errortype": "x"}, "<html>", false},
		"redirected":       {307, map[string]string{"Location": "http://127.0.0.1:1/"}, "<html>", false},
		"no code":          {502, nil, `{"message":"bad gateway"}`, true},
		"no words":         {503, nil, "", true},
		"a list":           {500, nil, `[]`, false},
		"message, no text": {400, nil, `{"__type":"x","message":{}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				w.Header().Set("X-Amzn-Requestid", "req-1")
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			t.Cleanup(s.Close)
			p := newPair(t, awsclient.Options{Region: "us-east-1", Endpoint: s.URL})
			var got, want outcome
			_, err := p.call(t.Context(), "PutLogEvents", &logs.PutLogEventsInput{}, &got.Out)
			if own, ok := errors.AsType[*logs.Error](err); ok {
				got.Code, got.Message, got.ID = own.ErrorCode(), own.ErrorMessage(), own.RequestID
			}
			if got.Failed = err != nil; got.Failed {
				got.Out = logs.PutLogEventsOutput{}
			}
			out, err := p.sdk.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{}})
			if api, ok := errors.AsType[smithy.APIError](err); ok {
				if want.Code = api.ErrorCode(); want.Code != "UnknownError" {
					want.Message, want.ID = strings.TrimPrefix(api.ErrorMessage(), "UnknownError"), "req-1"
				}
			}
			if want.Failed = err != nil; !want.Failed {
				want.Out = outputOf(out)
			}
			if tt.stricter != (want.Code == "UnknownError") {
				t.Errorf("the SDK says %v", err)
			}
			if tt.stricter {
				want.Code = ""
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-SDK +ours):\n%s", diff)
			}
		})
	}
}

func outputOf(o *cloudwatchlogs.PutLogEventsOutput) (out logs.PutLogEventsOutput) {
	index := func(p *int32) *int {
		if p == nil {
			return nil
		}
		return aws.Int(int(*p))
	}
	if e := o.RejectedEntityInfo; e != nil {
		out.RejectedEntityInfo = &logs.RejectedEntity{ErrorType: string(e.ErrorType)}
	}
	if e := o.RejectedLogEventsInfo; e != nil {
		out.RejectedLogEventsInfo = &logs.RejectedEvents{
			ExpiredLogEventEndIndex: index(e.ExpiredLogEventEndIndex), TooNewLogEventStartIndex: index(e.TooNewLogEventStartIndex), TooOldLogEventEndIndex: index(e.TooOldLogEventEndIndex),
		}
	}
	return out
}

// roundTripper is a function that does what package net/http does.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) Do(r *http.Request) (*http.Response, error) { return f(r) }

// where returns the URLs that both clients would send to, "" for one that does
// not know.
func (p pair) where(ctx context.Context) (ours, sdk string, err error) {
	far := func(to *string) roundTripper {
		return func(r *http.Request) (*http.Response, error) {
			*to = r.URL.String()
			return nil, errors.New("far enough")
		}
	}
	x := &awsclient.Exchange{Owner: p.owner, HTTP: far(&ours)}
	err = p.ours.Call(ctx, x, "DescribeLogGroups", &logs.DescribeLogGroupsInput{}, nil)
	p.sdk.DescribeLogGroups(ctx, nil, func(o *cloudwatchlogs.Options) { o.HTTPClient = far(&sdk) })
	return ours, sdk, err
}

// regions has one of each partition, and such as no table has.
var regions = []string{
	"us-east-1", "eu-central-1", "ap-southeast-7", "cn-north-1", "us-gov-west-1", "us-gov-east-1", "eusc-de-east-1",
	"us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1", "us-isof-south-1", "xx-nowhere-1",
}

// TestRegions: the SDK's client has the same endpoints of a region, with FIPS and
// dual stack or without.
func TestRegions(t *testing.T) {
	for _, region := range regions {
		for _, fips := range []bool{false, true} {
			for _, dualStack := range []bool{false, true} {
				ours, sdk, err := newPair(t, awsclient.Options{Region: region, FIPS: fips, DualStack: dualStack}).where(t.Context())
				if ours != sdk || !strings.HasPrefix(ours, "https://logs") {
					t.Errorf("%s, FIPS %v, dual stack %v: %s (%v), the SDK's %s", region, fips, dualStack, ours, err, sdk)
				}
			}
		}
	}
	ours, sdk, err := newPair(t, awsclient.Options{Region: "evil.example/"}).where(t.Context())
	if ours != "" || sdk != "" || err == nil || err.Error() != `find CloudWatch Logs in region "evil.example/": a region has letters, digits and hyphens: look at the region, or give an endpoint` {
		t.Errorf("%s, the SDK's %s, %v", ours, sdk, err)
	}
}

// TestConfiguredEndpoints: what the environment and the shared configuration file
// say of endpoints counts for this client as for the SDK's.
func TestConfiguredEndpoints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	const profiles = `
[default]
region = us-east-1
[profile all]
endpoint_url = https://file.example
[profile own]
endpoint_url = https://file.example
services = mine
[profile other]
services = others
[profile ignore]
services = mine
ignore_configured_endpoint_urls = true
[profile fips]
use_fips_endpoint = true
use_dualstack_endpoint = true
[services mine]
cloudwatch_logs =
  endpoint_url = https://own.file.example
[services others]
cloudwatch =
  endpoint_url = https://other.file.example
`
	if err := os.WriteFile(file, []byte(profiles), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := []map[string]string{
		{}, {"AWS_ENDPOINT_URL": "https://all.example"}, {"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "https://own.example/path"},
		{"AWS_ENDPOINT_URL": "https://all.example", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "https://own.example"},
		{"AWS_ENDPOINT_URL_CLOUDWATCH": "https://other.example"}, {"AWS_ENDPOINT_URL": ""},
		{"AWS_ENDPOINT_URL": "https://all.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		{"AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "https://own.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		{"AWS_USE_FIPS_ENDPOINT": "true"}, {"AWS_USE_DUALSTACK_ENDPOINT": "true"}, {"AWS_USE_FIPS_ENDPOINT": "false"},
		{"AWS_USE_FIPS_ENDPOINT": "true", "AWS_ENDPOINT_URL": "https://all.example"},
		{"AWS_USE_DUALSTACK_ENDPOINT": "true", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": "https://own.example"},
	}
	seen := map[string]bool{}
	for _, profile := range []string{"", "all", "own", "other", "ignore", "fips"} {
		for _, set := range variables {
			for _, explicit := range []string{"", "https://explicit.example"} {
				if explicit != "" && profile != "own" && profile != "fips" {
					continue
				}
				t.Run("", func(t *testing.T) {
					for name, value := range set {
						t.Setenv(name, value)
					}
					t.Setenv("AWS_CONFIG_FILE", file)
					t.Setenv("AWS_PROFILE", profile)
					ours, sdk, err := newPair(t, awsclient.Options{Region: "eu-west-1", Endpoint: explicit}).where(t.Context())
					if ours != sdk || (ours == "") == (err.Error() == "far enough") {
						t.Errorf("profile %q, %v, endpoint %q: %q (%v), the SDK's %q", profile, set, explicit, ours, err, sdk)
					}
					seen[ours] = true
				})
			}
		}
	}
	want := []string{
		"", "https://all.example/", "https://explicit.example/", "https://file.example/", "https://logs-fips.eu-west-1.amazonaws.com/", "https://logs-fips.eu-west-1.api.aws/",
		"https://logs.eu-west-1.amazonaws.com/", "https://logs.eu-west-1.api.aws/", "https://own.example/", "https://own.example/path", "https://own.file.example/",
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(seen))); diff != "" {
		t.Errorf("endpoints that were met (-want +got):\n%s", diff)
	}
}

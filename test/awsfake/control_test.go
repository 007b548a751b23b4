package awsfake_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// control sends a command and decodes what comes back into to, if not nil.
func control(t *testing.T, s *awsfake.Server, method, path, body string, to any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL()+"/_fake/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient(t, s).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if to != nil {
		if err := json.Unmarshal(b, to); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
		}
	}
	return resp.StatusCode
}

// TestControlQuestions asks from outside what the methods answer inside.
func TestControlQuestions(t *testing.T) {
	s := start(t, awsfake.Options{})
	control(t, s, "POST", "faults", `[{"service":"cloudwatch","after":1,"faults":[{"kind":"drop","store":true}]}]`, nil)
	c := cloudWatch(t, s)
	in := input(func(_ *request, d *datum) {
		d.Dimensions = []types.Dimension{{Name: aws.String("InstanceId"), Value: aws.String("i-1")}}
	})
	for range 2 {
		c.PutMetricData(t.Context(), in)
	}
	write(t, s, timeSeries(series("a", "eni", "eni-1"), at(0, 1)), timeSeries(series("b"), at(0, 2)))
	postOTLP(t, s, protobuf, "", marshal(t, export(sum(numberPoint(1)))))
	_, l := s, logs(t, s)
	putEvents(t, l, event(0, "m")) // refused: there is no group

	var summary awsfake.MetricSummary
	from := frozen.Add(-time.Second).Format(time.RFC3339Nano)
	control(t, s, "GET", "sum?namespace=ENA&name=pps_allowance_exceeded&dim.InstanceId=i-1&from="+from, "", &summary)
	if diff := cmp.Diff(s.CloudWatch.Summarize(awsfake.MetricQuery{}), summary); diff != "" || summary.Duplicates != 1 {
		t.Errorf("sum (-want +got):\n%s", diff)
	}
	control(t, s, "GET", "sum?to="+from, "", &summary)
	if summary.Data != 0 {
		t.Errorf("sum before all: %+v", summary)
	}
	check := func(path string, to, want any, deref func() any) {
		t.Helper()
		control(t, s, "GET", path, "", to)
		if diff := cmp.Diff(want, deref()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	var data []awsfake.Datum
	check("data?name=pps_allowance_exceeded", &data, s.CloudWatch.Data(awsfake.MetricQuery{}), func() any { return data })
	var metrics []awsfake.Metric
	check("metrics", &metrics, s.CloudWatch.Metrics(), func() any { return metrics })
	var ambiguous map[string]int
	check("ambiguous?service=cloudwatch", &ambiguous, map[string]int{"requests": 1, "items": 1}, func() any { return ambiguous })
	var found []awsfake.Series
	check("series?workspace=ws-1&label.eni=eni-1", &found, s.Prometheus.Series("", nil)[:1], func() any { return found })
	var requests []awsfake.Request
	check("requests?service=cloudwatch&operation=PutMetricData", &requests, s.Journal.Requests("cloudwatch", ""), func() any { return requests })
	var points []struct{ Metric string }
	check("points?metric=drops", &points, 1, func() any { return len(points) })
	var events []awsfake.LogEvent
	check("logs?group=g&stream=s", &events, 0, func() any { return len(events) })
	metadata(t, s)
	http.Get(s.URL() + "/latest/meta-data/")
	var refused map[string]int
	check("imds", &refused, map[string]int{"refused": 1}, func() any { return refused })
}

func TestControlCommands(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := cloudWatch(t, s)
	put := func() error {
		_, err := c.PutMetricData(t.Context(), input(nil))
		return err
	}
	do := func(method, path, body string) {
		t.Helper()
		if status := control(t, s, method, path, body, nil); status != http.StatusNoContent {
			t.Errorf("%s %s: status %d", method, path, status)
		}
	}
	rule := `[{"service":"cloudwatch","operation":"Put*","times":-1,"faults":[
		{"kind":"status","status":503,"code":"Busy","message":"m","retry_after":"2s","delay":"1ms","skew":"1s"}]}]`
	do("POST", "faults", rule)
	if err := put(); code(t, err) != "Busy" || status(err) != 503 {
		t.Errorf("scripted: %v", err)
	}
	do("DELETE", "faults", "")
	if err := put(); err != nil {
		t.Errorf("no rules: %v", err)
	}
	do("POST", "skew?by=-1h", "")
	if got := s.Now(); !got.Equal(frozen.Add(-time.Hour)) {
		t.Errorf("the time is %v", got)
	}
	do("POST", "skew?by=0s", "")
	do("PUT", "instance", `{"id":"i-9","tags":{"k":"v"},"role":"r"}`)
	do("POST", "attach?lag=1h", `{"mac":"06:00:00:00:00:01"}`)
	do("POST", "attach", `{"mac":"06:00:00:00:00:02"}`)
	do("POST", "attach", `{"mac":"06:00:00:00:00:03"}`)
	do("POST", "detach?mac=06:00:00:00:00:03", "")
	m := metadata(t, s)
	if id, _ := get(t, m, "instance-id"); id != "i-9" {
		t.Errorf("instance id %q", id)
	}
	if macs, _ := get(t, m, "network/interfaces/macs/"); macs != "02:00:00:00:00:01/\n06:00:00:00:00:02/" {
		t.Errorf("interfaces %q", macs)
	}
	do("PUT", "container", `{"role":"task"}`)
	do("PUT", "role", `{"arn":"`+roleARN+`","external_id":"x"}`)
	session := awsfake.Credential{AccessKeyID: "ASIA1", SecretAccessKey: "s", SessionToken: "t", Expires: frozen.Add(time.Hour)}
	s.Keys.Add(session)
	do("POST", "expire", "")
	if err := publish(t, s, provider(session)); code(t, err) != "ExpiredToken" {
		t.Errorf("expired: %v", err)
	}
	do("POST", "reset", "")
	if n := len(s.CloudWatch.Metrics()); n != 0 {
		t.Errorf("%d metrics after the reset", n)
	}
	// On the listener that it closes, the command would not be answered.
	w := httptest.NewRecorder()
	s.ServeControl(w, httptest.NewRequest("POST", "/_fake/refuse?for=1h", nil))
	if err := put(); w.Code != http.StatusNoContent || err == nil {
		t.Errorf("refuse: status %d, then %v", w.Code, err)
	}
}

func TestControlErrors(t *testing.T) {
	s := start(t, awsfake.Options{})
	for _, tt := range []struct{ method, path, body string }{
		{"POST", "faults", "nonsense"},
		{"POST", "faults", `[{"faults":[{"kind":"explode"}]}]`},
		{"POST", "faults", `[{"fault":[]}]`},
		{"POST", "faults", `[{"faults":[{"kind":"slow","delay":"soon"}]}]`},
		{"POST", "refuse", ""}, {"POST", "skew?by=x", ""}, {"POST", "attach", "x"}, {"POST", "attach?lag=x", "{}"},
		{"GET", "sum?from=yesterday", ""}, {"PUT", "instance", `{"Name":1}`},
	} {
		if status := control(t, s, tt.method, tt.path, tt.body, nil); status != http.StatusBadRequest {
			t.Errorf("%s %s %s: status %d", tt.method, tt.path, tt.body, status)
		}
	}
	if status := control(t, s, "GET", "nothing", "", nil); status != http.StatusNotFound {
		t.Errorf("no such command: %d", status)
	}
}

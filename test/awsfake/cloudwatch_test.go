package awsfake_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

// TestCloudWatchStores sends each form of a datum and asks for all of them.
func TestCloudWatchStores(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := cloudWatch(t, s)
	dims := []types.Dimension{
		{Name: aws.String("NetworkInterfaceId"), Value: aws.String("eni-1")},
		{Name: aws.String("InstanceId"), Value: aws.String("i-1")},
	}
	in := &request{Namespace: aws.String("ENA"), MetricData: []datum{
		{MetricName: aws.String("a"), Value: aws.Float64(3), Timestamp: aws.Time(frozen)},
		{MetricName: aws.String("a"), Values: []float64{5, 0, 9}, Counts: []float64{2, 50, 0}, Dimensions: dims,
			Timestamp: aws.Time(frozen.Add(-time.Minute)), Unit: types.StandardUnitCount},
		{MetricName: aws.String("a"), Values: []float64{7}, Dimensions: dims, Timestamp: aws.Time(frozen)},
		{MetricName: aws.String("b"), StatisticValues: set(60, 120, 0, 8), Values: []float64{1}, StorageResolution: aws.Int32(1)},
	}}
	if _, err := c.PutMetricData(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	want := []awsfake.Datum{
		{Namespace: "ENA", Name: "a", Timestamp: frozen, Unit: "None", Resolution: time.Minute, Values: []float64{3}, Counts: []float64{1}},
		{Namespace: "ENA", Name: "a", Dimensions: []awsfake.Dimension{{Name: "InstanceId", Value: "i-1"}, {Name: "NetworkInterfaceId", Value: "eni-1"}},
			Timestamp: frozen.Add(-time.Minute), Unit: "Count", Resolution: time.Minute, Values: []float64{5, 0, 9}, Counts: []float64{2, 50, 0}},
		{Namespace: "ENA", Name: "a", Dimensions: []awsfake.Dimension{{Name: "InstanceId", Value: "i-1"}, {Name: "NetworkInterfaceId", Value: "eni-1"}},
			Timestamp: frozen, Unit: "None", Resolution: time.Minute, Values: []float64{7}, Counts: []float64{1}},
		// The set wins over the values.
		{Namespace: "ENA", Name: "b", Timestamp: frozen, Unit: "None", Resolution: time.Second,
			Statistics: &awsfake.StatisticSet{SampleCount: 60, Sum: 120, Minimum: 0, Maximum: 8}},
	}
	for i := range want {
		want[i].Request, want[i].Arrived = 1, frozen
	}
	got := s.CloudWatch.Data(awsfake.MetricQuery{})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if p := got[0].Period(); !p.Equal(frozen.Truncate(time.Minute)) {
		t.Errorf("filed under %v", p)
	}

	summary := func(data int, count, sum, low, high float64) awsfake.MetricSummary {
		return awsfake.MetricSummary{Data: data, StatisticSet: awsfake.StatisticSet{SampleCount: count, Sum: sum, Minimum: low, Maximum: high}}
	}
	for _, tt := range []struct {
		name string
		q    awsfake.MetricQuery
		want awsfake.MetricSummary
	}{
		{"all", awsfake.MetricQuery{}, summary(4, 114, 140, 0, 9)},
		{"one name", awsfake.MetricQuery{Name: "a"}, summary(3, 54, 20, 0, 9)},
		{"no dimensions", awsfake.MetricQuery{Name: "a", Dimensions: map[string]string{}}, summary(1, 1, 3, 3, 3)},
		{"exact dimensions", awsfake.MetricQuery{Dimensions: map[string]string{"InstanceId": "i-1", "NetworkInterfaceId": "eni-1"}}, summary(2, 53, 17, 0, 9)},
		{"too few dimensions", awsfake.MetricQuery{Dimensions: map[string]string{"InstanceId": "i-1"}}, awsfake.MetricSummary{}},
		{"other value", awsfake.MetricQuery{Dimensions: map[string]string{"InstanceId": "i-1", "NetworkInterfaceId": "eni-2"}}, awsfake.MetricSummary{}},
		{"from", awsfake.MetricQuery{Name: "a", From: frozen}, summary(2, 2, 10, 3, 7)},
		{"to", awsfake.MetricQuery{Name: "a", To: frozen}, summary(1, 52, 10, 0, 9)},
		{"other namespace", awsfake.MetricQuery{Namespace: "ENB"}, awsfake.MetricSummary{}},
	} {
		if diff := cmp.Diff(tt.want, s.CloudWatch.Summarize(tt.q)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	wantMetrics := []awsfake.Metric{
		{Namespace: "ENA", Name: "a"},
		{Namespace: "ENA", Name: "a", Dimensions: want[1].Dimensions},
		{Namespace: "ENA", Name: "b"},
	}
	if diff := cmp.Diff(wantMetrics, s.CloudWatch.Metrics()); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestCloudWatchDuplicates(t *testing.T) {
	s := start(t, awsfake.Options{})
	c := cloudWatch(t, s)
	put := func(in *request) {
		t.Helper()
		if _, err := c.PutMetricData(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	five := input(withValue(5))
	put(five)
	put(input(withValue(6)))                                                                            // another value
	put(input(func(_ *request, d *datum) { d.Value = aws.Float64(5); d.MetricName = aws.String("x") })) // another metric
	put(input(func(_ *request, d *datum) {
		d.Value = aws.Float64(5)
		d.Timestamp = aws.Time(frozen.Add(time.Millisecond))
	})) // another time
	if got := s.CloudWatch.Summarize(awsfake.MetricQuery{}); got.Duplicates != 0 {
		t.Errorf("%d duplicates before there are any", got.Duplicates)
	}
	// The same datum in another batch is the same datum.
	batch := input(withValue(7))
	batch.MetricData = append(batch.MetricData, five.MetricData...)
	put(batch)
	put(five)
	got := s.CloudWatch.Summarize(awsfake.MetricQuery{})
	if got.Duplicates != 2 || got.DuplicateSum != 10 || got.Data != 7 {
		t.Errorf("got %+v, want 2 duplicates of 5 among 7 data", got)
	}
	// Statistic sets are compared as well.
	summed := func(sum float64) *request {
		return input(func(_ *request, d *datum) {
			d.MetricName, d.Value, d.StatisticValues = aws.String("set"), nil, set(2, sum, 1, 9)
		})
	}
	put(summed(3))
	put(summed(4))
	put(summed(4))
	if got := s.CloudWatch.Summarize(awsfake.MetricQuery{Name: "set"}); got.Duplicates != 1 || got.DuplicateSum != 4 {
		t.Errorf("sets: %+v, want one duplicate of 4", got)
	}
}

// TestCloudWatchGzip: the SDK compresses, and what arrives is the same.
func TestCloudWatchGzip(t *testing.T) {
	s := start(t, awsfake.Options{})
	in := input(func(in *request, d *datum) { in.MetricData = slices.Repeat([]datum{*d}, 100) })
	if _, err := cloudWatch(t, s).PutMetricData(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if _, err := cloudWatch(t, s, func(o *cloudwatch.Options) { o.DisableRequestCompression = true }).PutMetricData(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	q := s.Journal.Requests("cloudwatch", "PutMetricData")
	if len(q) != 2 {
		t.Fatalf("%d requests", len(q))
	}
	if q[0].Header.Get("Content-Encoding") != "gzip" || q[0].WireBytes >= len(q[0].Body) || q[1].Header.Get("Content-Encoding") != "" {
		t.Errorf("%d of %d bytes sent, encoding %q, then %q", q[0].WireBytes, len(q[0].Body), q[0].Header.Get("Content-Encoding"), q[1].Header.Get("Content-Encoding"))
	}
	if diff := cmp.Diff(q[1].Body, q[0].Body); diff != "" {
		t.Errorf("bodies differ (-plain +gzip):\n%s", diff)
	}
	for _, q := range q {
		if !q.Stored || !q.Answered || q.Status != http.StatusOK || q.Items != 100 || q.AccessKeyID != awsfake.DefaultCredential.AccessKeyID {
			t.Errorf("journal: stored %v, answered %v with %d, %d items, key %q", q.Stored, q.Answered, q.Status, q.Items, q.AccessKeyID)
		}
	}
}

// TestCloudWatchEntities: a bad entity costs the association, not the data;
// with strict validation it costs the request.
func TestCloudWatchEntities(t *testing.T) {
	good := map[string]string{"Type": "AWS::Resource", "ResourceType": "AWS::EC2::Instance", "Identifier": "i-1"}
	with := func(changes ...string) map[string]string {
		m := maps.Clone(good)
		for i := 0; i < len(changes); i += 2 {
			if changes[i+1] == "" {
				delete(m, changes[i])
			} else {
				m[changes[i]] = changes[i+1]
			}
		}
		return m
	}
	many := map[string]string{}
	for i := range 11 {
		many[fmt.Sprintf("a%d", i)] = "v"
	}
	ten := maps.Clone(many)
	delete(ten, "a0")
	tests := []struct {
		name       string
		entity     *types.Entity
		copies     int
		wantHeader string
	}{
		{"resource", &types.Entity{KeyAttributes: with("AwsAccountId", "123456789012"), Attributes: ten}, 1, ""},
		{"service", &types.Entity{KeyAttributes: map[string]string{"Type": "Service", "Name": "n", "Environment": "e"}}, 2, ""},
		{"three", &types.Entity{KeyAttributes: good}, 3, "EntitySizeTooLarge"},
		{"none", nil, 1, "InvalidEntity"},
		{"no keys", &types.Entity{}, 1, "InvalidKeyAttributes"},
		{"unknown key", &types.Entity{KeyAttributes: with("Color", "red")}, 1, "InvalidKeyAttributes"},
		{"long value", &types.Entity{KeyAttributes: with("Identifier", strings.Repeat("i", 2049))}, 1, "InvalidKeyAttributes"},
		{"no type", &types.Entity{KeyAttributes: with("Type", "")}, 1, "MissingRequiredFields"},
		{"unknown type", &types.Entity{KeyAttributes: with("Type", "Instance")}, 1, "InvalidTypeValue"},
		{"no identifier", &types.Entity{KeyAttributes: with("Identifier", "")}, 1, "MissingRequiredFields"},
		{"many attributes", &types.Entity{KeyAttributes: good, Attributes: many}, 1, "InvalidAttributes"},
		{"long attribute", &types.Entity{KeyAttributes: good, Attributes: map[string]string{strings.Repeat("a", 257): "v"}}, 1, "InvalidAttributes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, awsfake.Options{})
			c := cloudWatch(t, s)
			in := input(nil)
			in.EntityMetricData = slices.Repeat([]types.EntityMetricData{{Entity: tt.entity, MetricData: in.MetricData}}, tt.copies)
			in.MetricData = nil
			in.StrictEntityValidation = aws.Bool(false)
			out, err := c.PutMetricData(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			raw := awsmiddleware.GetRawResponse(out.ResultMetadata).(*smithyhttp.Response)
			if got := raw.Header.Get("X-Amzn-Failure-Message"); got != tt.wantHeader {
				t.Errorf("X-Amzn-Failure-Message is %q, want %q", got, tt.wantHeader)
			}
			data := s.CloudWatch.Data(awsfake.MetricQuery{})
			if len(data) != tt.copies || (data[0].Entity != nil) != (tt.wantHeader == "") {
				t.Errorf("stored %+v", data)
			}
			if tt.wantHeader == "" {
				return
			}
			in.StrictEntityValidation = aws.Bool(true)
			if _, err := c.PutMetricData(t.Context(), in); code(t, err) != "InvalidParameterValue" || !strings.Contains(err.Error(), tt.wantHeader) {
				t.Errorf("strict: %v", err)
			}
		})
	}
	c := cloudWatch(t, start(t, awsfake.Options{}))
	entity := []types.EntityMetricData{{Entity: &types.Entity{KeyAttributes: good}, MetricData: input(nil).MetricData}}
	in := &request{Namespace: aws.String("ENA"), EntityMetricData: entity}
	if _, err := c.PutMetricData(t.Context(), in); code(t, err) != "MissingParameter" {
		t.Errorf("without StrictEntityValidation: %v", err)
	}
	in.StrictEntityValidation = aws.Bool(false)
	in.MetricData = slices.Repeat(input(nil).MetricData, 999)
	if _, err := c.PutMetricData(t.Context(), in); err != nil {
		t.Errorf("999 data and one with an entity: %v", err)
	}
	in.MetricData = slices.Repeat(input(nil).MetricData, 1000)
	if _, err := c.PutMetricData(t.Context(), in); code(t, err) != "InvalidParameterValue" {
		t.Errorf("1000 data and one with an entity: %v", err)
	}
}

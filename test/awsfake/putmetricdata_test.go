package awsfake_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/awsfake"
)

const putMetricData = "/service/GraniteServiceVersion20100801/operation/PutMetricData"

type (
	request = cloudwatch.PutMetricDataInput
	datum   = types.MetricDatum
)

// input is a request with one datum, which change may alter.
func input(change func(*request, *datum)) *request {
	in := &request{Namespace: aws.String("ENA"), MetricData: []datum{{
		MetricName: aws.String("pps_allowance_exceeded"),
		Value:      aws.Float64(1),
		Unit:       types.StandardUnitCount,
		Timestamp:  aws.Time(frozen),
	}}}
	if change != nil {
		change(in, &in.MetricData[0])
	}
	return in
}

func dimensions(n int) []types.Dimension {
	out := make([]types.Dimension, n)
	for i := range out {
		out[i] = types.Dimension{Name: aws.String(fmt.Sprintf("d%d", i)), Value: aws.String("v")}
	}
	return out
}

func set(count, sum, low, high float64) *types.StatisticSet {
	return &types.StatisticSet{SampleCount: &count, Sum: &sum, Minimum: &low, Maximum: &high}
}

func sequence(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64(i)
	}
	return out
}

// withValue gives the datum one value.
func withValue(v float64) func(*request, *datum) {
	return func(_ *request, d *datum) { d.Value = &v }
}

// TestPutMetricDataLimits sends what is just allowed and what is just not.
func TestPutMetricDataLimits(t *testing.T) {
	const (
		value       = "InvalidParameterValue"
		combination = "InvalidParameterCombination"
		missing     = "MissingParameter"
	)
	dimension := func(name, v string) func(*request, *datum) {
		return func(_ *request, d *datum) {
			d.Dimensions = []types.Dimension{{Name: &name, Value: &v}}
		}
	}
	name := func(s string) func(*request, *datum) { return func(_ *request, d *datum) { d.MetricName = &s } }
	namespace := func(s string) func(*request, *datum) { return func(in *request, _ *datum) { in.Namespace = &s } }
	at := func(d time.Duration) func(*request, *datum) {
		return func(_ *request, m *datum) { m.Timestamp = aws.Time(frozen.Add(d)) }
	}
	tests := []struct {
		name    string
		ok, bad func(*request, *datum)
		code    string
		message string
	}{
		{"data", func(in *request, d *datum) { in.MetricData = slices.Repeat([]datum{*d}, 1000) },
			func(in *request, d *datum) { in.MetricData = slices.Repeat([]datum{*d}, 1001) },
			value, "The collection MetricData must not have a size greater than 1000."},
		{"no data", nil, func(in *request, _ *datum) { in.MetricData = []datum{} }, missing, "The parameter MetricData is required."},
		{"values", func(_ *request, d *datum) { d.Value, d.Values = nil, sequence(150) },
			func(_ *request, d *datum) { d.Value, d.Values = nil, sequence(151) },
			value, "The collection MetricData.member.1.Values must not have a size greater than 150."},
		{"dimensions", func(_ *request, d *datum) { d.Dimensions = dimensions(30) },
			func(_ *request, d *datum) { d.Dimensions = dimensions(31) },
			value, "The collection MetricData.member.1.Dimensions must not have a size greater than 30."},
		{"same dimension twice", nil, func(_ *request, d *datum) { d.Dimensions = slices.Repeat(dimensions(1), 2) },
			value, "The parameter MetricData.member.1.Dimensions.member.2.Name is a duplicate."},
		{"dimension name length", dimension(strings.Repeat("n", 255), "v"), dimension(strings.Repeat("n", 256), "v"), value, ""},
		{"dimension name colon", dimension("a:b", "v"), dimension(":a", "v"), value,
			"The value :a for parameter MetricData.member.1.Dimensions.member.1.Name is invalid."},
		{"dimension name ASCII", dimension("a~b", "v"), dimension("é", "v"), value, ""},
		{"dimension name control", nil, dimension("a\tb", "v"), value, ""},
		{"dimension name blank", dimension(" a", "v"), dimension("  ", "v"), value, ""},
		{"dimension name empty", nil, dimension("", "v"), missing, "The parameter MetricData.member.1.Dimensions.member.1.Name is required."},
		{"dimension value length", dimension("n", strings.Repeat("v", 1024)), dimension("n", strings.Repeat("v", 1025)), value, ""},
		{"dimension value ASCII", dimension("n", ":v"), dimension("n", "ü"), value, ""},
		{"dimension value blank", dimension("n", "v "), dimension("n", " "), value, ""},
		{"dimension value empty", nil, dimension("n", ""), missing, ""},
		{"metric name length", name(strings.Repeat("m", 255)), name(strings.Repeat("m", 256)), value, ""},
		{"metric name empty", nil, name(""), missing, "The parameter MetricData.member.1.MetricName is required."},
		{"metric name control", nil, name("a\x01"), value, ""},
		{"namespace length", namespace(strings.Repeat("n", 255)), namespace(strings.Repeat("n", 256)), value, ""},
		{"namespace of AWS", namespace("AWSome/"), namespace("AWS/EC2"), value, "The value AWS/ for parameter Namespace is invalid."},
		{"namespace colon", namespace("a:b"), namespace(":ENA"), value, ""},
		{"namespace empty", nil, namespace(""), missing, "The parameter Namespace is required."},
		{"namespace control", nil, namespace("a\x7f"), value, ""},
		{"Value and StatisticValues", func(_ *request, d *datum) { d.Value, d.StatisticValues = nil, set(1, 1, 1, 1) },
			func(_ *request, d *datum) { d.StatisticValues = set(1, 1, 1, 1) }, combination,
			"The parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues are mutually exclusive and you have specified both."},
		{"Value and Values", nil, func(_ *request, d *datum) { d.Values = sequence(2) }, value,
			"The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually exclusive and you have specified both."},
		{"no value", nil, func(_ *request, d *datum) { d.Value = nil }, combination,
			"At least one of the parameters MetricData.member.1.Value and MetricData.member.1.StatisticValues must be specified."},
		{"counts", func(_ *request, d *datum) { d.Value, d.Values, d.Counts = nil, sequence(2), []float64{0, 2.5} },
			func(_ *request, d *datum) { d.Value, d.Values, d.Counts = nil, sequence(2), []float64{1} }, value,
			"The parameters MetricData.member.1.Values and MetricData.member.1.Counts must be of the same size."},
		{"negative count", nil, func(_ *request, d *datum) { d.Value, d.Values, d.Counts = nil, sequence(1), []float64{-1} }, value, ""},
		{"NaN", withValue(0), withValue(math.NaN()), value, "The value NaN for parameter MetricData.member.1.Value is invalid."},
		{"infinity", nil, withValue(math.Inf(1)), value, "The value ∞ for parameter MetricData.member.1.Value is invalid."},
		{"negative infinity", nil, withValue(math.Inf(-1)), value, "The value -∞ for parameter MetricData.member.1.Value is invalid."},
		{"large", withValue(math.Ldexp(1, 360)), withValue(math.Nextafter(math.Ldexp(1, 360), math.Inf(1))), value, ""},
		{"negative large", withValue(-math.Ldexp(1, 360)), withValue(-math.Ldexp(1, 361)), value, ""},
		{"small", withValue(math.Ldexp(1, -360)), withValue(math.Ldexp(1, -361)), value, ""},
		{"value in Values", nil, func(_ *request, d *datum) { d.Value, d.Values = nil, []float64{1, math.NaN()} }, value,
			"The value NaN for parameter MetricData.member.1.Values.member.2 is invalid."},
		{"StatisticValues sum", func(_ *request, d *datum) { d.Value, d.StatisticValues = nil, set(2, 99, 1, 1) },
			func(_ *request, d *datum) { d.Value, d.StatisticValues = nil, set(2, math.NaN(), 1, 1) }, value, ""},
		{"StatisticValues count", nil, func(_ *request, d *datum) { d.Value, d.StatisticValues = nil, set(0, 1, 1, 1) }, value, ""},
		{"StatisticValues order", nil, func(_ *request, d *datum) { d.Value, d.StatisticValues = nil, set(1, 1, 2, 1) }, value, ""},
		{"past", at(-14 * 24 * time.Hour), at(-14*24*time.Hour - time.Millisecond), value,
			"The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks."},
		{"future", at(2 * time.Hour), at(2*time.Hour + time.Millisecond), value,
			"The parameter MetricData.member.1.Timestamp must specify a time no more than two hours in the future."},
		{"no timestamp", func(_ *request, d *datum) { d.Timestamp = nil }, func(_ *request, d *datum) { d.Timestamp = aws.Time(time.Unix(1, 0)) }, value, ""},
		{"resolution 1", func(_ *request, d *datum) { d.StorageResolution = aws.Int32(1) },
			func(_ *request, d *datum) { d.StorageResolution = aws.Int32(30) }, value,
			"The value 30 for parameter MetricData.member.1.StorageResolution is invalid."},
		{"resolution 60", func(_ *request, d *datum) { d.StorageResolution = aws.Int32(60) },
			func(_ *request, d *datum) { d.StorageResolution = aws.Int32(0) }, value, ""},
		{"unit", func(_ *request, d *datum) { d.Unit = types.StandardUnitCountSecond },
			func(_ *request, d *datum) { d.Unit = "count" }, value, ""},
		{"no unit", func(_ *request, d *datum) { d.Unit = "" }, func(_ *request, d *datum) { d.Unit = "Hertz" }, value, ""},
	}
	s := start(t, awsfake.Options{})
	c := cloudWatch(t, s)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.ok != nil {
				if _, err := c.PutMetricData(t.Context(), input(tt.ok)); err != nil {
					t.Errorf("at the limit: %v", err)
				}
			}
			before := len(s.CloudWatch.Data(awsfake.MetricQuery{}))
			_, err := c.PutMetricData(t.Context(), input(tt.bad))
			if got := code(t, err); got != tt.code {
				t.Fatalf("beyond the limit: code %q, want %q (%v)", got, tt.code, err)
			}
			if status(err) != http.StatusBadRequest {
				t.Errorf("status %d, want 400", status(err))
			}
			if tt.message != "" && !strings.Contains(err.Error(), tt.message) {
				t.Errorf("message %q lacks %q", err, tt.message)
			}
			if after := len(s.CloudWatch.Data(awsfake.MetricQuery{})); after != before {
				t.Errorf("a refused request stored %d data", after-before)
			}
		})
	}
}

// TestPutMetricDataTypedErrors shows that the SDK makes its own types of the
// errors, with the older codes.
func TestPutMetricDataTypedErrors(t *testing.T) {
	c := cloudWatch(t, start(t, awsfake.Options{}))
	_, err := c.PutMetricData(t.Context(), input(withValue(math.NaN())))
	if bad := new(types.InvalidParameterValueException); !errors.As(err, &bad) || bad.ErrorCode() != "InvalidParameterValue" {
		t.Errorf("got %#v", err)
	}
	_, err = c.PutMetricData(t.Context(), input(func(_ *request, d *datum) { d.Value = nil }))
	if bad := new(types.InvalidParameterCombinationException); !errors.As(err, &bad) {
		t.Errorf("got %#v", err)
	}
	_, err = c.PutMetricData(t.Context(), input(func(in *request, _ *datum) { in.MetricData = nil }))
	if bad := new(types.MissingRequiredParameterException); !errors.As(err, &bad) {
		t.Errorf("got %#v", err)
	}
}

// TestPutMetricDataAllComplaints: the service lists every bad datum, a line
// each, and stores none of the good ones.
func TestPutMetricDataAllComplaints(t *testing.T) {
	s := start(t, awsfake.Options{})
	in := input(nil)
	old := in.MetricData[0]
	old.Timestamp = aws.Time(frozen.AddDate(0, 0, -15))
	in.MetricData = append(in.MetricData, old, old)
	_, err := cloudWatch(t, s).PutMetricData(t.Context(), in)
	bad := new(types.InvalidParameterValueException)
	if !errors.As(err, &bad) {
		t.Fatalf("got %v", err)
	}
	const text = "The parameter MetricData.member.%d.Timestamp must specify a time within the past two weeks."
	want := fmt.Sprintf(text+"\n"+text, 2, 3)
	if diff := cmp.Diff(want, bad.ErrorMessage()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(s.CloudWatch.Data(awsfake.MetricQuery{})); n != 0 {
		t.Errorf("%d data were stored", n)
	}
}

// sized is a request of exactly n bytes of CBOR.
func sized(t *testing.T, n int) []byte {
	t.Helper()
	m := cbor.Map{
		"Namespace": cbor.String("ENA"),
		"MetricData": cbor.List{cbor.Map{
			"MetricName": cbor.String("m"), "Value": cbor.Float64(1),
		}},
	}
	// The name is no member of the operation, and ignored like any other.
	m["Padding"] = cbor.String(strings.Repeat("x", n/2))
	m["Padding"] = cbor.String(strings.Repeat("x", n/2+n-len(cbor.Encode(m))))
	b := cbor.Encode(m)
	if len(b) != n {
		t.Fatalf("made %d bytes, want %d", len(b), n)
	}
	return b
}

func TestPutMetricDataSize(t *testing.T) {
	s := start(t, awsfake.Options{})
	header := map[string]string{"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor", "X-Amzn-Query-Mode": "true"}
	compressed := map[string]string{"Content-Encoding": "gzip"}
	for k, v := range header {
		compressed[k] = v
	}
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		z.Write(b)
		z.Close()
		return out.Bytes()
	}
	if r := post(t, s, "monitoring", putMetricData, sized(t, 1<<20), header); r.status != http.StatusOK {
		t.Errorf("1 MiB: %+v", r)
	}
	if r := post(t, s, "monitoring", putMetricData, zip(sized(t, 1<<20)), compressed); r.status != http.StatusOK {
		t.Errorf("1 MiB, compressed: %+v", r)
	}
	const want = "Request size 1048577 exceeded 1048576 bytes"
	for name, r := range map[string]reply{
		"plain":      post(t, s, "monitoring", putMetricData, sized(t, 1<<20+1), header),
		"compressed": post(t, s, "monitoring", putMetricData, zip(sized(t, 1<<20+1)), compressed),
	} {
		if r.status != http.StatusRequestEntityTooLarge || !strings.Contains(r.body, want) ||
			r.header.Get("X-Amzn-Query-Error") != "RequestEntityTooLarge;Sender" {
			t.Errorf("1 MiB and 1 byte, %s: %+v", name, r)
		}
	}
	// What a client comes to by a thousand full data.
	in := input(func(in *request, d *datum) {
		d.Value, d.Values = nil, sequence(150)
		in.MetricData = slices.Repeat([]datum{*d}, 1000)
	})
	_, err := cloudWatch(t, s).PutMetricData(t.Context(), in)
	if got := code(t, err); got != "RequestEntityTooLarge" || status(err) != http.StatusRequestEntityTooLarge {
		t.Errorf("1000 data of 150 values: %v", err)
	}
}

// TestPutMetricDataMalformed sends what the SDK never would.
func TestPutMetricDataMalformed(t *testing.T) {
	s := start(t, awsfake.Options{})
	header := func(change ...string) map[string]string {
		h := map[string]string{"Content-Type": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor", "X-Amzn-Query-Mode": "true"}
		for i := 0; i < len(change); i += 2 {
			h[change[i]] = change[i+1]
		}
		return h
	}
	data := func(v cbor.Value) []byte {
		return cbor.Encode(cbor.Map{"Namespace": cbor.String("ENA"), "MetricData": v})
	}
	datum := func(name string, v cbor.Value) []byte {
		return data(cbor.List{cbor.Map{"MetricName": cbor.String("m"), "Value": cbor.Float64(1), name: v}})
	}
	tests := []struct {
		name   string
		body   []byte
		header map[string]string
		code   string
	}{
		{"good", datum("Unit", cbor.String("Count")), header(), ""},
		{"integers for doubles", datum("Value", cbor.Uint(3)), header(), ""},
		{"null is absent", datum("StatisticValues", &cbor.Nil{}), header(), ""},
		{"no CBOR", []byte("{}"), header(), "MalformedInput"},
		{"no map", cbor.Encode(cbor.List{}), header(), "MalformedInput"},
		{"nothing", nil, header(), "MalformedInput"},
		{"JSON", []byte("{}"), header("Content-Type", "application/json"), "MalformedInput"},
		{"no protocol", datum("Unit", cbor.String("Count")), header("Smithy-Protocol", ""), "MalformedInput"},
		{"not gzip", datum("Unit", cbor.String("Count")), header("Content-Encoding", "gzip"), "MalformedInput"},
		{"deflate", datum("Unit", cbor.String("Count")), header("Content-Encoding", "deflate"), "MalformedInput"},
		{"data no list", data(cbor.Map{}), header(), "MalformedInput"},
		{"datum no map", data(cbor.List{cbor.Uint(1)}), header(), "MalformedInput"},
		{"name no string", datum("MetricName", cbor.Uint(1)), header(), "MalformedInput"},
		{"value no number", datum("Value", cbor.String("1")), header(), "MalformedInput"},
		{"values no numbers", datum("Values", cbor.List{cbor.String("1")}), header(), "MalformedInput"},
		{"timestamp no tag", datum("Timestamp", cbor.Uint(1)), header(), "MalformedInput"},
		{"resolution no integer", datum("StorageResolution", cbor.Float64(1.5)), header(), "MalformedInput"},
		{"set no map", datum("StatisticValues", cbor.Uint(1)), header(), "MalformedInput"},
		{"set not whole", cbor.Encode(cbor.Map{"Namespace": cbor.String("ENA"), "MetricData": cbor.List{cbor.Map{
			"MetricName": cbor.String("m"), "StatisticValues": cbor.Map{"Sum": cbor.Float64(1), "SampleCount": cbor.Float64(1), "Minimum": cbor.Float64(0)},
		}}}), header(), "MissingParameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := post(t, s, "monitoring", putMetricData, tt.body, tt.header)
			got, _, _ := strings.Cut(r.header.Get("X-Amzn-Query-Error"), ";")
			if got != tt.code || (r.status == http.StatusOK) != (tt.code == "") {
				t.Errorf("got %d %q, want %q", r.status, r.header.Get("X-Amzn-Query-Error"), tt.code)
			}
		})
	}
	if r := post(t, s, "monitoring", "/service/GraniteServiceVersion20100801/operation/PutMetricStream", nil, header()); r.header.Get("X-Amzn-Query-Error") != "InvalidAction;Sender" {
		t.Errorf("another operation: %+v", r)
	}
}

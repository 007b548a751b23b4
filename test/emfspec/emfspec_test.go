package emfspec_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/emfspec"
)

// example has the shape of the specification's own example, with two dimension
// sets, an empty one among them, and members that mean nothing to CloudWatch.
const example = `{"_aws":{"Timestamp":1574109732004,"LogGroupName":"g/h","CloudWatchMetrics":[` +
	`{"Namespace":"lambda-function-metrics","Dimensions":[["functionVersion"],[]],"Metrics":[` +
	`{"Name":"time","Unit":"Milliseconds","StorageResolution":1},{"Name":"calls"}]}]},` +
	`"functionVersion":"$LATEST","time":[100,2.5e1],"calls":3,"requestId":"ü","more":{"a":[1,null,true]}}`

func TestValidateExtracts(t *testing.T) {
	got, errs := emfspec.Validate([]byte(example))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	at := time.Date(2019, 11, 18, 20, 42, 12, 4e6, time.UTC)
	metric := func(name, unit string, resolution int, dimensions map[string]string, values ...float64) emfspec.Metric {
		return emfspec.Metric{
			Namespace: "lambda-function-metrics", Name: name, Unit: unit, Resolution: resolution,
			Dimensions: dimensions, Values: values, Timestamp: at,
		}
	}
	version := map[string]string{"functionVersion": "$LATEST"}
	want := &emfspec.Document{
		Root: map[string]any{
			"functionVersion": "$LATEST", "time": []any{100.0, 25.0}, "calls": 3.0, "requestId": "ü",
			"more": map[string]any{"a": []any{1.0, nil, true}},
		},
		Metrics: []emfspec.Metric{
			metric("time", "Milliseconds", 1, version, 100, 25),
			metric("time", "Milliseconds", 1, map[string]string{}, 100, 25),
			metric("calls", "None", 60, version, 3),
			metric("calls", "None", 60, map[string]string{}, 3),
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("document (-want +got):\n%s", diff)
	}
	if sum := got.Metrics[0].Sum(); sum != 125 {
		t.Errorf("sum of time = %v, want 125", sum)
	}
}

// sample builds a valid document, of which a case of the tables below spoils or
// stretches one part.
type sample struct {
	timestamp, namespace, dimensions, metrics, root, directive, aws string
}

func (s sample) String() string {
	or := func(text, otherwise string) string {
		if text == "" {
			return otherwise
		}
		return text
	}
	return fmt.Sprintf(`{"_aws":{"Timestamp":%s,"CloudWatchMetrics":[{"Namespace":%s,"Dimensions":%s,"Metrics":%s%s}]%s},%s}`,
		or(s.timestamp, "1700000000000"), or(s.namespace, `"ENA"`), or(s.dimensions, `[["host"]]`),
		or(s.metrics, `[{"Name":"m","Unit":"Count"}]`), s.directive, s.aws, or(s.root, `"host":"h","m":[1,2]`))
}

// list returns n items made by format, which gets the item's number, in brackets.
func list(n int, format string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// members returns n root members made by format, and the two of every sample.
func members(n int, format string) string {
	return strings.Trim(list(n, format), "[]") + `,"host":"h","m":1`
}

func TestValidateAccepts(t *testing.T) {
	for name, doc := range map[string]sample{
		"plain":                     {},
		"no directive's metrics":    {metrics: `[]`},
		"single number":             {root: `"host":"h","m":-1.5e-3`},
		"100 values":                {root: `"host":"h","m":` + list(100, "%d")},
		"100 metrics":               {metrics: list(100, `{"Name":"m%d"}`), root: members(100, `"m%d":1`)},
		"30 dimensions":             {dimensions: `[` + list(30, `"d%d"`) + `]`, root: members(30, `"d%d":"v"`)},
		"resolution 60":             {metrics: `[{"Name":"m","StorageResolution":60}]`},
		"longest namespace":         {namespace: `"` + strings.Repeat("n", 255) + `"`},
		"longest dimension":         {root: `"m":1,"host":"` + strings.Repeat("v", 1024) + `"`},
		"longest dimension key":     {dimensions: `[["` + strings.Repeat("k", 250) + `"]]`, root: `"m":1,"` + strings.Repeat("k", 250) + `":"v"`},
		"colon begins a value":      {root: `"m":1,"host":":h"`},
		"target with a dot":         {metrics: `[{"Name":"A.a"}]`, root: `"host":"h","A.a":1`},
		"metric name in UTF-8":      {metrics: `[{"Name":"größe"}]`, root: `"host":"h","größe":1`},
		"epoch":                     {timestamp: "0"},
		"largest value":             {root: `"host":"h","m":` + fmt.Sprintf("%.0f", 0x1p360)},
		"same name in inner object": {root: `"host":"h","m":1,"o":{"m":1,"host":2}`},
		"largest document":          {root: `"host":"h","m":1,"p":"` + padding(sample{}, 0) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, errs := emfspec.Validate([]byte(doc.String())); len(errs) > 0 {
				t.Error(errs)
			}
		})
	}
}

// padding returns a value for a root member "p" that makes a document over bytes
// longer than the largest that fits.
func padding(s sample, over int) string {
	s.root = `"host":"h","m":1,"p":""`
	return strings.Repeat("x", 1<<20-26-len(s.String())+over)
}

func TestValidateRefuses(t *testing.T) {
	const directive = "_aws.CloudWatchMetrics[0]"
	tests := []struct {
		name string
		line string
		want []string
	}{
		{"empty", "", []string{"the event is not a JSON object with nothing before and after it"}},
		{"newline at the end", sample{}.String() + "\n", []string{"the document is not on one line"}},
		{"newline inside", strings.Replace(sample{}.String(), ",", ",\n", 1), []string{"the document is not on one line"}},
		{"text before", "x " + sample{}.String(), []string{"the event is not a JSON object with nothing before and after it"}},
		{"space after", sample{}.String() + " ", []string{"the event is not a JSON object with nothing before and after it"}},
		{"two documents", sample{}.String() + sample{}.String(), []string{"the document is not JSON"}},
		{"array", "[1]", []string{"the event is not a JSON object with nothing before and after it"}},
		{"cut", sample{}.String()[:40] + "}", []string{"the document is not JSON"}},
		{"not a number", sample{root: `"host":"h","m":NaN`}.String(), []string{"the document is not JSON"}},
		{"number too large", sample{root: `"host":"h","m":1,"x":[1e999]`}.String(), []string{"x[0]: the number 1e999 is not finite in a float64"}},
		{"invalid UTF-8", sample{root: "\"host\":\"\xff\",\"m\":1"}.String(), []string{"the document is not UTF-8"}},
		{"too large", sample{root: `"host":"h","m":1,"p":"` + padding(sample{}, 1) + `"`}.String(), []string{"the document has 1048551 bytes, more than 1048550"}},
		{"root member twice", sample{root: `"host":"h","m":1,"m":1`}.String(), []string{"m: the member stands there twice"}},
		{"escaped member twice", sample{root: `"host":"h","m":1,"\u006d":1`}.String(), []string{"m: the member stands there twice"}},
		{"inner member twice", sample{root: `"host":"h","m":1,"a":[{"b":1,"b":2}]`}.String(), []string{"a[0].b: the member stands there twice"}},

		{"no _aws", `{"a":1}`, []string{"_aws: not an object, or missing"}},
		{"_aws is an array", `{"_aws":[]}`, []string{"_aws: not an object, or missing"}},
		{"empty _aws", `{"_aws":{}}`, []string{
			"_aws.Timestamp: not a whole number of milliseconds since 1970, or missing",
			"_aws.CloudWatchMetrics: not an array, or missing",
		}},
		{"unknown member of _aws", sample{aws: `,"timestamp":1`}.String(), []string{`_aws: unknown member "timestamp"`}},
		{"log group is a number", sample{aws: `,"LogGroupName":1`}.String(), []string{"_aws.LogGroupName: not a string, or missing"}},
		{"timestamp is a fraction", sample{timestamp: "1.5"}.String(), []string{"_aws.Timestamp: not a whole number of milliseconds since 1970, or missing"}},
		{"timestamp is a string", sample{timestamp: `"1"`}.String(), []string{"_aws.Timestamp: not a whole number of milliseconds since 1970, or missing"}},
		{"timestamp before 1970", sample{timestamp: "-1"}.String(), []string{"_aws.Timestamp: not a whole number of milliseconds since 1970, or missing"}},
		{"directive is a number", `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[1]}}`, []string{directive + ": not an object"}},
		{"empty directive", `{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{}]}}`, []string{
			directive + ".Namespace: not a string, or missing",
			directive + ".Dimensions: not an array of one or more dimension sets, or missing",
			directive + ".Metrics: not an array, or missing",
		}},
		{"unknown member of a directive", sample{directive: `,"Unit":"Count"`}.String(), []string{directive + `: unknown member "Unit"`}},

		{"empty namespace", sample{namespace: `""`}.String(), []string{directive + ".Namespace: 0 characters, not 1 to 255"}},
		{"long namespace", sample{namespace: `"` + strings.Repeat("n", 256) + `"`}.String(), []string{directive + ".Namespace: 256 characters, not 1 to 255"}},
		{"namespace of AWS", sample{namespace: `"AWS/EC2"`}.String(), []string{directive + `.Namespace: "AWS/EC2" is reserved for AWS services`}},
		{"namespace with a colon", sample{namespace: `":n"`}.String(), []string{directive + ".Namespace: starts with a colon"}},
		{"namespace not ASCII", sample{namespace: `"é"`}.String(), []string{directive + ".Namespace: has characters that are not printable ASCII"}},

		{"no dimension set", sample{dimensions: `[]`}.String(), []string{directive + ".Dimensions: not an array of one or more dimension sets, or missing"}},
		{"dimension set is a string", sample{dimensions: `["host"]`}.String(), []string{directive + ".Dimensions[0]: not an array"}},
		{"31 dimensions", sample{dimensions: `[` + list(31, `"d%d"`) + `]`, root: members(31, `"d%d":"v"`)}.String(), []string{directive + ".Dimensions[0]: 31 dimension keys, more than 30"}},
		{"dimension key twice", sample{dimensions: `[["host","host"]]`}.String(), []string{directive + `.Dimensions[0]: dimension key "host" stands there twice`}},
		{"dimension key is a number", sample{dimensions: `[[1]]`}.String(), []string{directive + ".Dimensions[0][0]: not a string, or missing", directive + `.Dimensions[0]: dimension key "" is no member of the root`}},
		{"dimension key with a colon", sample{dimensions: `[[":h"]]`, root: `":h":"v","m":1`}.String(), []string{directive + ".Dimensions[0][0]: starts with a colon"}},
		{"dimension key not ASCII", sample{dimensions: `[["hé"]]`, root: `"hé":"v","m":1`}.String(), []string{directive + ".Dimensions[0][0]: has characters that are not printable ASCII"}},
		{"dimension key with a control character", sample{dimensions: `[["h\u007f"]]`, root: `"h\u007f":"v","m":1`}.String(), []string{directive + ".Dimensions[0][0]: has characters that are not printable ASCII"}},
		{"long dimension key", sample{dimensions: `[["` + strings.Repeat("k", 251) + `"]]`, root: `"m":1,"` + strings.Repeat("k", 251) + `":"v"`}.String(), []string{directive + ".Dimensions[0][0]: 251 characters, not 1 to 250"}},
		{"blank dimension key", sample{dimensions: `[["  "]]`, root: `"  ":"v","m":1`}.String(), []string{directive + ".Dimensions[0][0]: has nothing but white space"}},
		{"dimension without a target", sample{root: `"m":1`}.String(), []string{directive + `.Dimensions[0]: dimension key "host" is no member of the root`}},
		{"dimension with a nested target", sample{root: `"m":1,"o":{"host":"h"}`}.String(), []string{directive + `.Dimensions[0]: dimension key "host" is no member of the root`}},
		{"dimension is a number", sample{root: `"m":1,"host":1`}.String(), []string{`"host": not a string, or missing`}},
		{"empty dimension", sample{root: `"m":1,"host":""`}.String(), []string{`"host": 0 characters, not 1 to 1024`}},
		{"blank dimension", sample{root: `"m":1,"host":" "`}.String(), []string{`"host": has nothing but white space`}},
		{"long dimension", sample{root: `"m":1,"host":"` + strings.Repeat("v", 1025) + `"`}.String(), []string{`"host": 1025 characters, not 1 to 1024`}},
		{"dimension not ASCII", sample{root: `"m":1,"host":"ü"`}.String(), []string{`"host": has characters that are not printable ASCII`}},
		{"dimension with a tab", sample{root: `"m":1,"host":"a\tb"`}.String(), []string{`"host": has characters that are not printable ASCII`}},

		{"101 metrics", sample{metrics: list(101, `{"Name":"m%d"}`), root: members(101, `"m%d":1`)}.String(), []string{directive + ".Metrics: 101 metrics, more than 100"}},
		{"definition is a string", sample{metrics: `["m"]`}.String(), []string{directive + ".Metrics[0]: not an object"}},
		{"metric without a name", sample{metrics: `[{}]`}.String(), []string{directive + ".Metrics[0].Name: not a string, or missing"}},
		{"long name", sample{metrics: `[{"Name":"` + strings.Repeat("m", 256) + `"}]`, root: `"host":"h","` + strings.Repeat("m", 256) + `":1`}.String(), []string{directive + ".Metrics[0].Name: 256 characters, not 1 to 255"}},
		{"unknown member of a metric", sample{metrics: `[{"Name":"m","unit":"Count"}]`}.String(), []string{directive + `.Metrics[0]: unknown member "unit"`}},
		{"unknown unit", sample{metrics: `[{"Name":"m","Unit":"Packets"}]`}.String(), []string{directive + ".Metrics[0].Unit: not a unit of CloudWatch"}},
		{"unit in lower case", sample{metrics: `[{"Name":"m","Unit":"count"}]`}.String(), []string{directive + ".Metrics[0].Unit: not a unit of CloudWatch"}},
		{"unit is null", sample{metrics: `[{"Name":"m","Unit":null}]`}.String(), []string{directive + ".Metrics[0].Unit: not a unit of CloudWatch"}},
		{"resolution of 10", sample{metrics: `[{"Name":"m","StorageResolution":10}]`}.String(), []string{directive + ".Metrics[0].StorageResolution: neither 1 nor 60"}},
		{"resolution is a string", sample{metrics: `[{"Name":"m","StorageResolution":"1"}]`}.String(), []string{directive + ".Metrics[0].StorageResolution: neither 1 nor 60"}},
		{"metric without a target", sample{root: `"host":"h"`}.String(), []string{directive + `.Metrics[0]: metric "m" is no member of the root`}},
		{"metric is a string", sample{root: `"host":"h","m":"1"`}.String(), []string{`"m": value 0 is not a number`}},
		{"metric is an object", sample{root: `"host":"h","m":{"m":1}`}.String(), []string{`"m": value 0 is not a number`}},
		{"null among the values", sample{root: `"host":"h","m":[1,null]`}.String(), []string{`"m": value 1 is not a number`}},
		{"arrays in the array", sample{root: `"host":"h","m":[[1]]`}.String(), []string{`"m": value 0 is not a number`}},
		{"no value", sample{root: `"host":"h","m":[]`}.String(), []string{`"m": 0 values, not 1 to 100`}},
		{"101 values", sample{root: `"host":"h","m":` + list(101, "%d")}.String(), []string{`"m": 101 values, not 1 to 100`}},
		{"value out of range", sample{root: `"host":"h","m":[0,-1e109]`}.String(), []string{`"m": value 1 is outside of -2^360 to 2^360`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, errs := emfspec.Validate([]byte(tt.line))
			var got []string
			for _, err := range errs {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("errors (-want +got):\n%s", diff)
			}
			if doc != nil {
				t.Error("a document was returned beside the errors")
			}
		})
	}
}

// FuzzValidate shows that Validate either extracts or complains, whatever comes.
func FuzzValidate(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(sample{}.String()))
	f.Add([]byte(`{"_aws":{"Timestamp":1,"CloudWatchMetrics":[{"Namespace":{},"Dimensions":[[[]]],"Metrics":[{"Name":[]}]}]}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		doc, errs := emfspec.Validate(line)
		if (doc == nil) != (len(errs) > 0) {
			t.Fatalf("document %v with errors %v", doc, errs)
		}
		if doc == nil {
			return
		}
		if !json.Valid(line) {
			t.Errorf("accepted what is not JSON: %q", line)
		}
		for _, m := range doc.Metrics {
			if n := len(m.Values); n < 1 || n > 100 || len(m.Dimensions) > 30 || !slices.Contains([]int{1, 60}, m.Resolution) {
				t.Errorf("extracted %+v", m)
			}
		}
	})
}

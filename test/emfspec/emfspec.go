// Package emfspec judges embedded metric format documents as CloudWatch does,
// and tells which metrics CloudWatch would extract from them.
//
// It is written from AWS' documents alone, so that it can testify about any
// encoder: "Specification: Embedded metric format" of the CloudWatch User Guide
// with its JSON schema, and, for what becomes a metric, the pages MetricDatum,
// Dimension and PutMetricData of the API reference. Where two of them differ,
// the stricter one counts; what the specification says SHOULD be so, must be so.
package emfspec

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits, and where they come from.
const (
	// PutLogEvents takes 1,048,576 bytes and counts 26 more for each event, so
	// that a longer document fits no request.
	maxBytes = 1<<20 - 26
	// The schema allows 1,024 characters, PutMetricData and MetricDatum 255.
	maxName          = 255
	maxMetrics       = 100
	maxDimensions    = 30
	maxDimensionName = 250
	maxDimension     = 1024
	maxValues        = 100
)

// units are those of MetricDatum; the schema lists the same.
var units = []string{
	"Seconds", "Microseconds", "Milliseconds",
	"Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
	"Bits", "Kilobits", "Megabits", "Gigabits", "Terabits",
	"Percent", "Count",
	"Bytes/Second", "Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second",
	"Bits/Second", "Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second",
	"Count/Second", "None",
}

// Document is a valid document, as CloudWatch understands it.
type Document struct {
	// Root holds every member of the root node but _aws. Numbers are float64,
	// arrays []any and objects map[string]any.
	Root map[string]any
	// Metrics are what CloudWatch extracts: one for each metric and dimension
	// set of each directive, in the document's order.
	Metrics []Metric
}

// Metric is one metric that CloudWatch extracts from a document.
type Metric struct {
	Namespace, Name string
	// Unit is "None" where the document gives none.
	Unit string
	// Resolution is the storage resolution in seconds, 1 or 60.
	Resolution int
	Dimensions map[string]string
	// Values holds 1 to 100 values, all at the same Timestamp.
	Values    []float64
	Timestamp time.Time
}

// Sum returns the sum of the values: the statistic of that name.
func (m Metric) Sum() float64 {
	var sum float64
	for _, v := range m.Values {
		sum += v
	}
	return sum
}

// Validate judges one log event: a line without its newline. It returns the
// document, or nil and all that is wrong with it. An error begins with the path
// of the member that it speaks of.
func Validate(line []byte) (*Document, []error) {
	if err := checkLine(line); err != nil {
		return nil, []error{err}
	}
	root, err := parse(line)
	if err != nil {
		return nil, []error{err}
	}
	v := validator{root: root}
	metrics := v.document()
	if len(v.errs) > 0 {
		return nil, v.errs
	}
	doc := &Document{Root: make(map[string]any, len(root)), Metrics: metrics}
	for name, value := range root {
		if name != "_aws" {
			doc.Root[name] = plain(value)
		}
	}
	return doc, nil
}

// checkLine holds what is said of the text before it is read as JSON.
func checkLine(line []byte) error {
	switch {
	case len(line) > maxBytes:
		return fmt.Errorf("the document has %d bytes, more than %d", len(line), maxBytes)
	case bytes.ContainsAny(line, "\r\n"):
		return errors.New("the document is not on one line")
	case !utf8.Valid(line):
		return errors.New("the document is not UTF-8")
	case len(line) == 0 || line[0] != '{' || line[len(line)-1] != '}':
		return errors.New("the event is not a JSON object with nothing before and after it")
	}
	return nil
}

// validator walks one document and collects what is wrong with it.
type validator struct {
	root map[string]any
	errs []error
}

func (v *validator) errorf(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf(format, args...))
}

func (v *validator) document() []Metric {
	aws, ok := v.root["_aws"].(map[string]any)
	if !ok {
		v.errorf("_aws: not an object, or missing")
		return nil
	}
	v.only("_aws", aws, "Timestamp", "CloudWatchMetrics", "LogGroupName", "LogStreamName")
	for _, name := range []string{"LogGroupName", "LogStreamName"} { // read by the CloudWatch agent
		if value, ok := aws[name]; ok {
			v.text("_aws."+name, value, 512)
		}
	}
	at := v.timestamp(aws["Timestamp"])
	directives, ok := aws["CloudWatchMetrics"].([]any)
	if !ok {
		v.errorf("_aws.CloudWatchMetrics: not an array, or missing")
	}
	var metrics []Metric
	for i, d := range directives {
		path := fmt.Sprintf("_aws.CloudWatchMetrics[%d]", i)
		directive, ok := d.(map[string]any)
		if !ok {
			v.errorf("%s: not an object", path)
			continue
		}
		metrics = append(metrics, v.directive(path, directive, at)...)
	}
	return metrics
}

// only reports members that the specification does not know: its objects "MUST
// NOT contain any additional members".
func (v *validator) only(path string, object map[string]any, known ...string) {
	for _, name := range sortedKeys(object) {
		if !slices.Contains(known, name) {
			v.errorf("%s: unknown member %q", path, name)
		}
	}
}

func (v *validator) timestamp(value any) time.Time {
	n, _ := value.(number)
	ms, err := strconv.ParseInt(string(n), 10, 64)
	if err != nil || ms < 0 {
		v.errorf("_aws.Timestamp: not a whole number of milliseconds since 1970, or missing")
	}
	return time.UnixMilli(ms).UTC()
}

func (v *validator) directive(path string, d map[string]any, at time.Time) []Metric {
	v.only(path, d, "Namespace", "Dimensions", "Metrics")
	namespace := v.asciiText(path+".Namespace", d["Namespace"], maxName)
	if strings.HasPrefix(namespace, "AWS/") {
		v.errorf("%s.Namespace: %q is reserved for AWS services", path, namespace)
	}
	sets := v.dimensionSets(path+".Dimensions", d["Dimensions"])
	definitions, ok := d["Metrics"].([]any)
	if !ok {
		v.errorf("%s.Metrics: not an array, or missing", path)
	}
	if len(definitions) > maxMetrics {
		v.errorf("%s.Metrics: %d metrics, more than %d", path, len(definitions), maxMetrics)
	}
	var metrics []Metric
	for i, definition := range definitions {
		m := v.definition(fmt.Sprintf("%s.Metrics[%d]", path, i), definition)
		m.Namespace, m.Timestamp = namespace, at
		for _, set := range sets {
			m.Dimensions = set
			metrics = append(metrics, m)
		}
	}
	return metrics
}

func (v *validator) dimensionSets(path string, value any) []map[string]string {
	array, _ := value.([]any)
	if len(array) == 0 {
		v.errorf("%s: not an array of one or more dimension sets, or missing", path)
	}
	var sets []map[string]string
	for i, s := range array {
		sets = append(sets, v.dimensionSet(fmt.Sprintf("%s[%d]", path, i), s))
	}
	return sets
}

func (v *validator) dimensionSet(path string, value any) map[string]string {
	array, ok := value.([]any)
	if !ok {
		v.errorf("%s: not an array", path)
	}
	if len(array) > maxDimensions {
		v.errorf("%s: %d dimension keys, more than %d", path, len(array), maxDimensions)
	}
	set := make(map[string]string, len(array))
	for i, k := range array {
		key := v.asciiText(fmt.Sprintf("%s[%d]", path, i), k, maxDimensionName)
		if _, twice := set[key]; twice {
			v.errorf("%s: dimension key %q stands there twice", path, key)
			continue
		}
		target, ok := v.root[key]
		if !ok {
			v.errorf("%s: dimension key %q is no member of the root", path, key)
			continue
		}
		set[key] = v.asciiValue(strconv.Quote(key), target, maxDimension)
	}
	return set
}

func (v *validator) definition(path string, value any) Metric {
	m := Metric{Unit: "None", Resolution: 60}
	d, ok := value.(map[string]any)
	if !ok {
		v.errorf("%s: not an object", path)
		return m
	}
	v.only(path, d, "Name", "Unit", "StorageResolution")
	if unit, ok := d["Unit"]; ok {
		m.Unit, _ = unit.(string)
		if !slices.Contains(units, m.Unit) {
			v.errorf("%s.Unit: not a unit of CloudWatch", path)
		}
	}
	if resolution, ok := d["StorageResolution"]; ok {
		switch resolution {
		case number("1"):
			m.Resolution = 1
		case number("60"):
		default:
			v.errorf("%s.StorageResolution: neither 1 nor 60", path)
		}
	}
	if m.Name = v.text(path+".Name", d["Name"], maxName); m.Name == "" {
		return m
	}
	target, ok := v.root[m.Name]
	if !ok {
		v.errorf("%s: metric %q is no member of the root", path, m.Name)
		return m
	}
	m.Values = v.values(strconv.Quote(m.Name), target)
	return m
}

// values reads a metric's target: a number or an array of 1 to 100 numbers.
func (v *validator) values(path string, target any) []float64 {
	array, ok := target.([]any)
	if !ok {
		array = []any{target}
	}
	if len(array) < 1 || len(array) > maxValues {
		v.errorf("%s: %d values, not 1 to %d", path, len(array), maxValues)
	}
	values := make([]float64, 0, len(array))
	for i, e := range array {
		n, ok := e.(number)
		if !ok {
			v.errorf("%s: value %d is not a number", path, i)
			continue
		}
		f := n.float()
		if math.Abs(f) > 0x1p360 {
			v.errorf("%s: value %d is outside of -2^360 to 2^360", path, i)
		}
		values = append(values, f)
	}
	return values
}

// text reads a string of 1 to limit characters, or reports what it is instead.
func (v *validator) text(path string, value any, limit int) string {
	s, ok := value.(string)
	if !ok {
		v.errorf("%s: not a string, or missing", path)
		return ""
	}
	if n := utf8.RuneCountInString(s); n < 1 || n > limit {
		v.errorf("%s: %d characters, not 1 to %d", path, n, limit)
	}
	return s
}

// asciiValue reads a text that has no characters but ASCII's, no control
// characters, and not only white space: the page Dimension, of values.
func (v *validator) asciiValue(path string, value any, limit int) string {
	s := v.text(path, value, limit)
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		v.errorf("%s: has characters that are not printable ASCII", path)
	}
	if s != "" && strings.TrimSpace(s) == "" {
		v.errorf("%s: has nothing but white space", path)
	}
	return s
}

// asciiText is asciiValue for what must not start with a colon either:
// dimension names and namespaces.
func (v *validator) asciiText(path string, value any, limit int) string {
	s := v.asciiValue(path, value, limit)
	if strings.HasPrefix(s, ":") {
		v.errorf("%s: starts with a colon", path)
	}
	return s
}

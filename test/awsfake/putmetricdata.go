package awsfake

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// Limits of PutMetricData (CloudWatch API reference, "PutMetricData" and
// "MetricDatum"; User Guide, "CloudWatch quotas").
const (
	// maxPutMetricData is 1 MB. The reference does not say whether a
	// compressed body counts as sent or as it is; here neither may be larger.
	maxPutMetricData  = 1 << 20
	maxData           = 1000
	maxDimensions     = 30
	maxValues         = 150
	maxEntities       = 2
	maxNameLength     = 255
	maxDimensionValue = 1024
	maxDataAge        = 14 * 24 * time.Hour
	maxDataAhead      = 2 * time.Hour
)

// maxMagnitude is the largest absolute value of a number.
var maxMagnitude = math.Ldexp(1, 360)

// units is StandardUnit, in the order in which the service lists it.
var units = strings.Fields("Seconds Microseconds Milliseconds Bytes Kilobytes Megabytes Gigabytes Terabytes " +
	"Bits Kilobits Megabits Gigabits Terabits Percent Count " +
	"Bytes/Second Kilobytes/Second Megabytes/Second Gigabytes/Second Terabytes/Second " +
	"Bits/Second Kilobits/Second Megabits/Second Gigabits/Second Terabits/Second Count/Second None")

// complaints collects what is wrong with a request. The service reports all
// complaints of one kind at once, a line each.
type complaints struct {
	byShape map[string][]string
	first   string
}

func (c *complaints) add(shape, format string, args ...any) {
	if c.first == "" {
		c.first = shape
		c.byShape = map[string][]string{}
	}
	c.byShape[shape] = append(c.byShape[shape], fmt.Sprintf(format, args...))
}

func (c *complaints) value(format string, args ...any) {
	c.add("InvalidParameterValue", format, args...)
}

func (c *complaints) combination(format string, args ...any) {
	c.add("InvalidParameterCombination", format, args...)
}

func (c *complaints) missing(parameter string) {
	c.add("MissingRequiredParameter", "The parameter %s is required.", parameter)
}

// err returns the complaints of the kind that came first, or nil.
func (c *complaints) err() *apiError {
	if c.first == "" {
		return nil
	}
	query := c.first
	if query == "MissingRequiredParameter" {
		query = "MissingParameter"
	}
	return &apiError{
		status:  http.StatusBadRequest,
		shape:   c.first + "Exception",
		query:   query,
		message: strings.Join(c.byShape[c.first], "\n"),
	}
}

// putMetricData stores all data or, if anything is wrong with one, nothing.
func (cw *CloudWatch) putMetricData(c *call, in cbor.Map) (cloudWatchReply, *apiError) {
	var malformed error
	var bad complaints
	root := cborShape{in, "", &malformed}
	namespace := root.text("Namespace")
	checkNamespace(&bad, namespace)
	strict, hasStrict := root.boolean("StrictEntityValidation")

	lists := []entityData{{data: root.shapes("MetricData")}}
	for _, s := range root.shapes("EntityMetricData") {
		e, ok := s.shape("Entity")
		d := entityData{data: s.shapes("MetricData"), associated: true}
		if ok {
			d.entity = &Entity{KeyAttributes: e.textMap("KeyAttributes"), Attributes: e.textMap("Attributes")}
		}
		lists = append(lists, d)
	}
	checkCounts(&bad, lists, hasStrict)
	failure := checkEntities(lists)
	if failure != "" && strict {
		bad.value("The entity is invalid: %s", failure)
	}

	var data []Datum
	for _, l := range lists {
		for _, s := range l.data {
			d := readDatum(&bad, s, c.now)
			d.Namespace, d.Request, d.Arrived = namespace, c.record.Seq, c.now
			if l.entity.check() == "" && failure == "" {
				d.Entity = l.entity
			}
			data = append(data, d)
		}
	}
	if malformed != nil {
		return cloudWatchReply{}, errSerialization(malformed.Error())
	}
	if e := bad.err(); e != nil {
		return cloudWatchReply{}, e
	}
	cw.store(data)
	reply := cloudWatchReply{stored: true, items: len(data)}
	if failure != "" {
		reply.header = http.Header{"X-Amzn-Failure-Message": {failure}}
	}
	return reply, nil
}

// entityData is one list of data and the entity that it speaks of.
type entityData struct {
	entity     *Entity
	associated bool
	data       []cborShape
}

func checkNamespace(bad *complaints, namespace string) {
	switch {
	case namespace == "":
		bad.missing("Namespace")
	case len(namespace) > maxNameLength || !plainASCII(namespace) || strings.HasPrefix(namespace, ":"):
		bad.value("The value %s for parameter Namespace is invalid.", namespace)
	case strings.HasPrefix(namespace, "AWS/"):
		bad.value("The value AWS/ for parameter Namespace is invalid.")
	}
}

func checkCounts(bad *complaints, lists []entityData, hasStrict bool) {
	total, entities := 0, len(lists)-1
	for i, l := range lists {
		total += len(l.data)
		if l.associated && len(l.data) == 0 {
			bad.missing("EntityMetricData.member." + strconv.Itoa(i) + ".MetricData")
		}
	}
	if entities > 0 && !hasStrict {
		bad.missing("StrictEntityValidation")
	}
	switch {
	case total == 0 && entities == 0:
		bad.missing("MetricData")
	case total > maxData:
		bad.value("The collection MetricData must not have a size greater than %d.", maxData)
	}
}

// checkEntities returns why the first bad entity is refused, or "".
func checkEntities(lists []entityData) string {
	if len(lists)-1 > maxEntities {
		return entitySizeTooLarge
	}
	for _, l := range lists {
		if l.associated {
			if failure := l.entity.check(); failure != "" {
				return failure
			}
		}
	}
	return ""
}

// readDatum reads a MetricDatum and checks it.
func readDatum(bad *complaints, s cborShape, now time.Time) Datum {
	path := s.path
	d := Datum{Name: s.text("MetricName"), Timestamp: now, Unit: s.text("Unit"), Resolution: time.Minute}
	switch {
	case d.Name == "":
		bad.missing(path + "MetricName")
	case len(d.Name) > maxNameLength || !plainASCII(d.Name) || strings.HasPrefix(d.Name, ":"):
		bad.value("The value %s for parameter %sMetricName is invalid.", d.Name, path)
	}
	d.Dimensions = readDimensions(bad, s)
	switch {
	case d.Unit == "":
		d.Unit = "None"
	case !slices.Contains(units, d.Unit):
		bad.value("The parameter %sUnit must be a value in the set [ %s ].", path, strings.Join(units, ", "))
	}
	if n, ok := s.integer("StorageResolution"); ok {
		if n != 1 && n != 60 {
			bad.value("The value %d for parameter %sStorageResolution is invalid.", n, path)
		}
		d.Resolution = time.Duration(n) * time.Second
	}
	if t := s.time("Timestamp"); !t.IsZero() {
		d.Timestamp = t
	}
	if d.Timestamp.Before(now.Add(-maxDataAge)) {
		bad.value("The parameter %sTimestamp must specify a time within the past two weeks.", path)
	}
	if d.Timestamp.After(now.Add(maxDataAhead)) {
		bad.value("The parameter %sTimestamp must specify a time no more than two hours in the future.", path)
	}
	readValues(bad, s, &d)
	return d
}

func readDimensions(bad *complaints, s cborShape) []Dimension {
	shapes := s.shapes("Dimensions")
	if len(shapes) > maxDimensions {
		bad.value("The collection %sDimensions must not have a size greater than %d.", s.path, maxDimensions)
	}
	var out []Dimension
	for _, shape := range shapes {
		d := Dimension{Name: shape.text("Name"), Value: shape.text("Value")}
		switch {
		case d.Name == "":
			bad.missing(shape.path + "Name")
		case len(d.Name) > maxNameLength || !plainASCII(d.Name) || strings.HasPrefix(d.Name, ":"):
			bad.value("The value %s for parameter %sName is invalid.", d.Name, shape.path)
		case slices.ContainsFunc(out, func(o Dimension) bool { return o.Name == d.Name }):
			bad.value("The parameter %sName is a duplicate.", shape.path)
		}
		switch {
		case d.Value == "":
			bad.missing(shape.path + "Value")
		case len(d.Value) > maxDimensionValue || !plainASCII(d.Value):
			bad.value("The value %s for parameter %sValue is invalid.", d.Value, shape.path)
		}
		out = append(out, d)
	}
	// The order of dimensions does not matter.
	slices.SortFunc(out, func(a, b Dimension) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// readValues reads the three forms that a datum's numbers may have.
func readValues(bad *complaints, s cborShape, d *Datum) {
	path := s.path
	value, values, counts := s.number("Value"), s.numbers("Values"), s.numbers("Counts")
	set, hasSet := s.shape("StatisticValues")
	if value != nil && hasSet {
		bad.combination("The parameters %sValue and %sStatisticValues are mutually exclusive and you have specified both.", path, path)
	}
	if value != nil && len(values) > 0 {
		bad.value("The parameters %sValue and %sValues are mutually exclusive and you have specified both.", path, path)
	}
	if value == nil && !hasSet && len(values) == 0 {
		bad.combination("At least one of the parameters %sValue and %sStatisticValues must be specified.", path, path)
	}
	if len(values) > maxValues {
		bad.value("The collection %sValues must not have a size greater than %d.", path, maxValues)
	}
	if len(counts) > 0 && len(counts) != len(values) {
		bad.value("The parameters %sValues and %sCounts must be of the same size.", path, path)
		counts = nil
	}
	for i, v := range values {
		checkNumber(bad, v, fmt.Sprintf("%sValues.member.%d", path, i+1))
	}
	for i, n := range counts {
		if checkNumber(bad, n, fmt.Sprintf("%sCounts.member.%d", path, i+1)) && n < 0 {
			bad.value("The value %v for parameter %sCounts.member.%d is invalid.", n, path, i+1)
		}
	}
	switch {
	case hasSet:
		// With Values as well, the service keeps the set alone.
		d.Statistics = readSet(bad, set)
	case value != nil:
		checkNumber(bad, *value, path+"Value")
		d.Values, d.Counts = []float64{*value}, []float64{1}
	default:
		d.Values, d.Counts = values, counts
		if counts == nil {
			d.Counts = slices.Repeat([]float64{1}, len(values))
		}
	}
}

func readSet(bad *complaints, s cborShape) *StatisticSet {
	var out StatisticSet
	for _, m := range []struct {
		name string
		to   *float64
	}{
		{"SampleCount", &out.SampleCount}, {"Sum", &out.Sum}, {"Minimum", &out.Minimum}, {"Maximum", &out.Maximum},
	} {
		v := s.number(m.name)
		if v == nil {
			bad.missing(s.path + m.name)
			continue
		}
		checkNumber(bad, *v, s.path+m.name)
		*m.to = *v
	}
	if out.SampleCount <= 0 {
		bad.value("The value %v for parameter %sSampleCount is invalid.", out.SampleCount, s.path)
	}
	if out.Maximum < out.Minimum {
		bad.value("The parameter %sMaximum must be greater than or equal to %sMinimum.", s.path, s.path)
	}
	return &out
}

// checkNumber refuses NaN, infinities and what is beyond 2^360, and what is
// closer to zero than 2^-360 without being zero.
func checkNumber(bad *complaints, v float64, parameter string) bool {
	size := math.Abs(v)
	if size <= maxMagnitude && (size >= 1/maxMagnitude || size == 0) {
		return true
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	switch {
	case math.IsInf(v, 1):
		text = "∞"
	case math.IsInf(v, -1):
		text = "-∞"
	}
	bad.value("The value %s for parameter %s is invalid.", text, parameter)
	return false
}

// plainASCII reports whether s has only printable ASCII and more than spaces.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return strings.TrimSpace(s) != ""
}

package emf_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/emf"
)

func TestAppendRefuses(t *testing.T) {
	dimensions := func(d ...metric.Dimension) *metric.Batch {
		return with(dnsBurst(), func(b *metric.Batch) { b.Resource.Dimensions = d })
	}
	tests := []struct {
		name  string
		batch *metric.Batch
		want  string // part of the error
	}{
		{"NaN", batch(0, heartbeat, counter("a", 1, math.NaN())), `series "a": the sample NaN`},
		{"infinity", batch(0, counter("a", math.Inf(1))), `series "a": the sample +Inf`},
		{"negative infinity", batch(0, counter("a", math.Inf(-1))), `series "a": the sample -Inf`},
		{"too large a value", batch(0, counter("a", math.Nextafter(0x1p360, math.Inf(1)))), `series "a": the sample 2.3`},
		{"NaN in a detail", batch(1, heartbeat, detail(0, counter("a", math.NaN()))), `series "a": the sample NaN`},
		{"no sample", batch(0, counter("a")), `series "a": 0 samples`},
		{"101 samples", batch(0, counter("a", make([]float64, 101)...)), `series "a": 101 samples`},
		{"no name", batch(0, counter("", 1)), `series "": the name has 0 characters`},
		{"long name", batch(0, counter(strings.Repeat("é", 256), 1)), "the name has 256 characters"},
		{"unit", batch(0, with(batch(0, heartbeat), func(b *metric.Batch) { b.Series[0].Unit = "Packets" }).Series...), `the unit "Packets"`},
		{"interface of an instance series", batch(1, with(batch(0, heartbeat), func(b *metric.Batch) { b.Series[0].Interface = 0 }).Series...), "contradict each other"},
		{"interface series of none", batch(1, of(-1, heartbeat)), "contradict each other"},
		{"detail of none", batch(1, detail(-1, heartbeat)), "contradict each other"},
		{"no such interface", batch(1, of(1, heartbeat)), "interface 1 of 1"},
		{"interface -2", batch(1, with(batch(0, heartbeat), func(b *metric.Batch) { b.Series[0].Interface = -2 }).Series...), "interface -2 of 1"},
		{"series twice", batch(0, heartbeat, heartbeat), `two members would be called "heartbeat"`},
		{"detail twice", batch(2, heartbeat, detail(0, heartbeat), detail(0, heartbeat)), `two members would be called "heartbeat"`},
		{"scalar of another series", batch(0, counter("a", 1), counter("a_sum", 1)), `two members would be called "a_sum"`},
		{"series called like a property", batch(1, gauge("mac", 1)), `two members would be called "mac"`},
		{"series called like a dimension", with(batch(1, gauge("zone", 1)), func(b *metric.Batch) {
			b.Resource.Dimensions = []metric.Dimension{{Name: "zone", Value: "a"}}
		}), `two members would be called "zone"`},
		{"before 1970", with(batch(0, heartbeat), func(b *metric.Batch) { b.Start = time.UnixMilli(-1) }), "the window starts before 1970"},
		{"no host", with(batch(0, heartbeat), func(b *metric.Batch) { b.Resource = metric.Resource{} }), `dimension "host": the host gives it the value ""`},
		{"blank instance id", with(batch(0, heartbeat), func(b *metric.Batch) { b.Resource.InstanceID = "  " }), `dimension "InstanceId"`},
		{"long ENI id", with(dnsBurst(), func(b *metric.Batch) { b.Interfaces[0].ENI = strings.Repeat("e", 1025) }), `dimension "NetworkInterfaceId"`},
		{"interface without names", with(dnsBurst(), func(b *metric.Batch) { b.Interfaces[0] = metric.Interface{} }), `dimension "interface"`},
		{"host too long for any event", with(batch(0, heartbeat), func(b *metric.Batch) { b.Resource.Host = strings.Repeat("h", 1<<20) }), "one metric alone is too large for a log event"},
		{"fixed dimension without a value", dimensions(metric.Dimension{Name: "a"}), `dimension "a": the value ""`},
		{"fixed dimension not ASCII", dimensions(metric.Dimension{Name: "a", Value: "ü"}), `dimension "a": the value "ü"`},
		{"fixed dimension too long", dimensions(metric.Dimension{Name: "a", Value: strings.Repeat("v", 1025)}), `dimension "a": the value`},
		{"fixed dimension without a name", dimensions(metric.Dimension{Value: "v"}), `dimension "": the name must be`},
		{"fixed dimension's name not ASCII", dimensions(metric.Dimension{Name: "ä", Value: "v"}), `dimension "ä": the name must be`},
		{"fixed dimension's name too long", dimensions(metric.Dimension{Name: strings.Repeat("n", 251), Value: "v"}), "the name must be"},
		{"fixed dimension with a colon", dimensions(metric.Dimension{Name: ":n", Value: "v"}), `dimension ":n": the name must be`},
		{"fixed dimension twice", dimensions(metric.Dimension{Name: "a", Value: "v"}, metric.Dimension{Name: "a", Value: "w"}), `dimension "a" is given twice`},
	}
	for _, name := range []string{
		"_aws", "host", "InstanceId", "simulated", "NetworkInterfaceId", "interface", "mac", "driver_version",
		"start", "window_seconds", "interfaces", "interfaces_omitted", "pods", "pods_dns", "pods_omitted",
	} {
		tests = append(tests, struct {
			name  string
			batch *metric.Batch
			want  string
		}{"fixed dimension " + name, dimensions(metric.Dimension{Name: name, Value: "v"}), fmt.Sprintf("dimension %q: the name has a meaning", name)})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newEncoder(t, time.Minute).Append([]byte("kept"), tt.batch)
			if err == nil {
				t.Fatalf("no error, but %.300q", got)
			}
			if msg := err.Error(); !strings.Contains(msg, tt.want) || strings.Contains(msg, "\n") ||
				tt.batch.Start.UnixMilli() > 0 && !strings.HasPrefix(msg, "encode the window of 2026-11-23T08:15:00Z as EMF: ") {
				t.Errorf("error %.300q, want one line with %q", msg, tt.want)
			}
			if string(got) != "kept" {
				t.Errorf("the buffer holds %.300q, want \"kept\"", got)
			}
		})
	}
}

// The 27 fixed dimensions that a configuration may have fit the format's limit
// of 30 in the largest set there is; one more is refused at once.
func TestManyDimensions(t *testing.T) {
	b := with(dnsBurst(), func(b *metric.Batch) { b.Resource.Simulated = true })
	for i := range 27 {
		b.Resource.Dimensions = append(b.Resource.Dimensions, metric.Dimension{Name: fmt.Sprintf("d%02d", i), Value: strings.Repeat("v", 1024)})
	}
	got, err := newEncoder(t, time.Minute).Append(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	checkExtraction(t, b, got, 60)

	err = emf.CheckDimensions(append(b.Resource.Dimensions, metric.Dimension{Name: "z", Value: "v"}))
	if want := "28 fixed dimensions, more than the 27"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("28 fixed dimensions: error %v, want %q", err, want)
	}
}

func TestNewEncoderRefuses(t *testing.T) {
	for namespace, want := range map[string]string{
		"":                       "printable ASCII",
		" ":                      "printable ASCII",
		"AWS/EC2":                "reserved",
		":ena":                   "printable ASCII",
		"ENÄ":                    "printable ASCII",
		"E\nA":                   "printable ASCII",
		strings.Repeat("n", 256): "1 to 255",
	} {
		if e, err := emf.NewEncoder(namespace, time.Minute); err == nil || e != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("namespace %q: error %v, want %q", namespace, err, want)
		}
	}
}

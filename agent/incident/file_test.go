package incident

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/live"
)

func TestParse(t *testing.T) {
	w := window()
	w.Events, w.Sinks, w.Quiet = []live.Event{}, []live.Sink{}, [][2]int64{{1, 2}}
	text, err := json.Marshal(w.Document)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&w.Document, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = `{"step":1,"events":[],"quiet":[],`
	tests := []struct{ text, want string }{
		{" \n", "it is empty"},
		{"PK\x03\x04", "line 1, column 1: invalid character 'P'"},
		{"{\n\"times\": [1,\n}", "line 3, column 1: invalid character '}'"},
		{"[]", "it is no incident: line 1, column 1"},
		{"{}", `it has no member "times": give a file that enawatch record export or the live page has written`},
		{head + `"times":["x"],"interfaces":[]}`, "times"},
		{strings.Replace(head, "1", "0", 1) + `"times":[],"interfaces":[]}`, "step is 0: it must be 1 to 3600 seconds"},
		{head + `"times":[-1],"interfaces":[]}`, "times[0] is -1: it must be Unix seconds"},
		{strings.Replace(head, "[]", `[]`, 1) + `"times":[1],"interfaces":[{"states":"vv"}]}`, "interfaces[0].states has 2 letters for 1 times"},
		{head + `"times":[1],"interfaces":[{"states":"x"}]}`, `interfaces[0].states[0] is 'x'`},
		{head + `"times":[1],"interfaces":[{"states":"v","allowances":[{"name":"a","values":[1,2]}]}]}`, `interfaces[0]: "a" has 2 values for 1 times`},
		{head + `"times":[1],"interfaces":[{"states":"v","allowances":[{"name":"a","values":[-2]}]}]}`, "it is no incident"},
		{strings.Replace(head, `"quiet":[]`, `"quiet":[[5,3]]`, 1) + `"times":[],"interfaces":[]}`, "quiet[0] is [5 3]"},
		{strings.Replace(head, `"quiet":[]`, `"quiet":[[0,300000]]`, 1) + `"times":[],"interfaces":[]}`, "quiet has more than 200000 seconds"},
	}
	for _, tt := range tests {
		_, err := Parse(strings.NewReader(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s:\n got %v\nwant %s", tt.text, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`{"step":1,"events":[],"quiet":[[1,9]],"times":[1,2],"interfaces":[{"states":"vs","allowances":[{"name":"linklocal_allowance_exceeded","values":[1,null]}]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := Parse(strings.NewReader(text)); err == nil && d == nil {
			t.Error("neither a document nor an error")
		}
	})
}

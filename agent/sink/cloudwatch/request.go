package cloudwatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// requestVersion is that of the encoding below. Members may be added to it
// without a new version if older programs may ignore them.
const requestVersion = 1

// Limits of PutMetricData (API_PutMetricData, API_MetricDatum).
const (
	maxData   = 1000
	maxValues = 150
	// maxBytes is how large a request may be before compression. "1 MB" may
	// mean 1,048,576, and may mean what is sent; this keeps to the least.
	maxBytes = 1_000_000
)

// request is one call of PutMetricData as it waits in the spool: JSON, which is
// about as small as CBOR here, and can be read by whoever looks into the spool.
type request struct {
	Version    int               `json:"v"`
	Namespace  string            `json:"ns"`
	Time       int64             `json:"t"`   // of all data, in ms since 1970
	Resolution int32             `json:"res"` // in seconds
	Entity     *awsclient.Entity `json:"entity,omitempty"`
	// Dimensions are those of all data; a datum has the index of its own.
	Dimensions [][]dimension `json:"dims"`
	Data       []datum       `json:"data"`
}

type datum struct {
	Name       string    `json:"m"`
	Unit       string    `json:"u"`
	Dimensions int       `json:"d"`
	Values     []float64 `json:"v"`
	// Counts says how often each value was seen; if it is empty, once.
	Counts []float64 `json:"c,omitempty"`
	// Shared is true for a metric of several hosts, which has no entity.
	Shared bool `json:"s,omitempty"`
}

func (r *request) encode() sink.Request {
	// All that JSON could refuse is NaN and infinities, which datum.check did.
	data, _ := json.Marshal(r)
	return sink.Request{Data: data, Points: len(r.Data)}
}

// decode reads what encode wrote. What it returns can be sent, whatever the
// service then says of it.
func decode(data []byte) (request, error) {
	var r request
	if err := json.Unmarshal(data, &r); err != nil {
		return request{}, fmt.Errorf("read a spooled request: %w", err)
	}
	if r.Version != requestVersion {
		return request{}, fmt.Errorf("read a spooled request: its version %d is not %d: another version of this program wrote it", r.Version, requestVersion)
	}
	if n := len(r.Data); n < 1 || n > maxData {
		return request{}, fmt.Errorf("read a spooled request: %d data are not 1 to %d", n, maxData)
	}
	for i := range r.Data {
		d := &r.Data[i]
		if n := len(d.Values); n < 1 || n > maxValues || len(d.Counts) != 0 && len(d.Counts) != n {
			return request{}, fmt.Errorf("read a spooled request: datum %d has %d values and %d counts", i, n, len(d.Counts))
		}
		if d.Dimensions < 0 || d.Dimensions >= len(r.Dimensions) {
			return request{}, fmt.Errorf("read a spooled request: datum %d has no dimensions", i)
		}
	}
	return r, nil
}

// part returns the data from index i to j as a request of its own.
func (r *request) part(i, j int) *request {
	p := *r
	p.Dimensions, p.Data = nil, make([]datum, 0, j-i)
	moved := map[int]int{}
	for _, d := range r.Data[i:j] {
		to, ok := moved[d.Dimensions]
		if !ok {
			to = len(p.Dimensions)
			moved[d.Dimensions] = to
			p.Dimensions = append(p.Dimensions, r.Dimensions[d.Dimensions])
		}
		d.Dimensions = to
		p.Data = append(p.Data, d)
	}
	return &p
}

// String names the first few data, and the dimensions if there is but one.
func (r *request) String() string {
	const most = 3
	names := make([]string, 0, most+1)
	for i, d := range r.Data[:min(most, len(r.Data))] {
		names = append(names, fmt.Sprintf("%.80q", d.Name))
		if rest := len(r.Data) - i - 1; i == most-1 && rest > 0 {
			names = append(names, fmt.Sprintf("%d more", rest))
		}
	}
	text := strings.Join(names, ", ")
	if len(r.Data) == 1 {
		for _, d := range r.Dimensions[r.Data[0].Dimensions] {
			text += fmt.Sprintf(" %.80s=%.80q", ascii(d[0]), d[1])
		}
	}
	return fmt.Sprintf("%s in namespace %.80q", text, r.Namespace)
}

// input returns r as the SDK wants it. Data with an entity go by a list of
// their own.
func (r *request) input() *cloudwatch.PutMetricDataInput {
	in := &cloudwatch.PutMetricDataInput{Namespace: &r.Namespace}
	at := time.UnixMilli(r.Time)
	sets := make([][]types.Dimension, len(r.Dimensions))
	for i, list := range r.Dimensions {
		for _, d := range list {
			sets[i] = append(sets[i], types.Dimension{Name: aws.String(d[0]), Value: aws.String(d[1])})
		}
	}
	var own []types.MetricDatum
	for i := range r.Data {
		d := &r.Data[i]
		out := types.MetricDatum{
			MetricName: &d.Name, Unit: types.StandardUnit(d.Unit), Dimensions: sets[d.Dimensions],
			Timestamp: &at, StorageResolution: &r.Resolution, Values: d.Values, Counts: d.Counts,
		}
		if len(d.Values) == 1 && len(d.Counts) == 0 {
			out.Value, out.Values = &d.Values[0], nil
		}
		if r.Entity == nil || d.Shared {
			in.MetricData = append(in.MetricData, out)
		} else {
			own = append(own, out)
		}
	}
	if len(own) > 0 {
		in.EntityMetricData = []types.EntityMetricData{{
			Entity:     &types.Entity{KeyAttributes: r.Entity.KeyAttributes, Attributes: r.Entity.Attributes},
			MetricData: own,
		}}
		in.StrictEntityValidation = aws.Bool(false)
	}
	return in
}

// Upper bounds of sizes in CBOR. A head says type and length, in 5 bytes at
// most; maps and lists end with a byte.
const (
	head        = 5
	frame       = head + 1
	numberSize  = 1 + 8
	memberNames = len("MetricName" + "Unit" + "Dimensions" + "Timestamp" + "StorageResolution" + "Values" + "Counts")
)

// size is no less than what a datum takes in a request, in bytes.
func (d *datum) size(list []dimension) int {
	n := frame + 7*head + memberNames
	n += 2*head + len(d.Name) + len(d.Unit)
	n += head + numberSize // time, with a tag
	n += numberSize        // resolution
	n += 2*frame + numberSize*(len(d.Values)+len(d.Counts))
	n += frame
	for _, m := range list {
		n += frame + 4*head + len("Name"+"Value") + len(m[0]) + len(m[1])
	}
	return n
}

// size is no less than what a request takes beside its data, in bytes.
func (r *request) size() int {
	n := 512 + len(r.Namespace) // members, heads and ends
	if r.Entity != nil {
		for _, m := range []map[string]string{r.Entity.KeyAttributes, r.Entity.Attributes} {
			for name, value := range m {
				n += 2*head + len(name) + len(value)
			}
		}
	}
	return n
}

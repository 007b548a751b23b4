package awsfake

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// rpcPath is where Smithy RPC v2 has CloudWatch's operations. The service
// shape still carries the name of 2010.
const rpcPath = "/service/GraniteServiceVersion20100801/operation/"

// CloudWatch is the metrics service.
type CloudWatch struct {
	operations map[string]cloudWatchOperation

	mu   sync.Mutex
	data []Datum
	// firsts are the positions in data at which a metric appears first.
	firsts []int
	known  map[string]bool

	region, account string
	// By name; alarms of all kinds share one space.
	alarms, dashboards, rules map[string]*provisioned
	// calls are those of the last second, by operation.
	calls map[string][]time.Time
}

// cloudWatchOperation carries out one operation on its decoded input.
type cloudWatchOperation func(c *call, in cbor.Map) (cloudWatchReply, *apiError)

// cloudWatchReply is the successful outcome of an operation.
type cloudWatchReply struct {
	header http.Header
	// body is nil for an operation without output.
	body   cbor.Map
	stored bool
	items  int
}

func newCloudWatch(region, account string) *CloudWatch {
	cw := &CloudWatch{region: region, account: account}
	cw.reset()
	cw.operations = map[string]cloudWatchOperation{
		"PutMetricData":        cw.putMetricData,
		"PutMetricAlarm":       cw.locked(cw.putMetricAlarm),
		"PutLogAlarm":          cw.locked(cw.putLogAlarm),
		"PutCompositeAlarm":    cw.locked(cw.putCompositeAlarm),
		"DescribeAlarms":       cw.locked(cw.describeAlarms),
		"DeleteAlarms":         cw.locked(cw.deleteAlarms),
		"ListTagsForResource":  cw.locked(cw.listTags),
		"TagResource":          cw.locked(cw.tagResource),
		"PutDashboard":         cw.locked(cw.putDashboard),
		"GetDashboard":         cw.locked(cw.getDashboard),
		"ListDashboards":       cw.locked(cw.listDashboards),
		"DeleteDashboards":     cw.locked(cw.deleteDashboards),
		"PutInsightRule":       cw.locked(cw.putInsightRule),
		"DescribeInsightRules": cw.locked(cw.describeInsightRules),
		"DeleteInsightRules":   cw.locked(cw.deleteInsightRules),
	}
	return cw
}

func (cw *CloudWatch) name() string { return "cloudwatch" }

func (cw *CloudWatch) operation(r *http.Request, _ []byte) (string, bool) {
	return strings.CutPrefix(r.URL.Path, rpcPath)
}

func (cw *CloudWatch) scope(string) string { return "monitoring" }

func (cw *CloudWatch) serve(c *call) answer {
	operation, ok := cw.operations[c.operation]
	if !ok {
		return cw.refusal(errUnknownOperation(c.operation))
	}
	if c.r.Method != http.MethodPost || c.r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" || c.r.Header.Get("Content-Type") != "application/cbor" {
		return cw.refusal(errSerialization("The request is not of the protocol rpc-v2-cbor."))
	}
	if len(c.body) > maxPutMetricData {
		return cw.refusal(errTooLarge(len(c.body), maxPutMetricData))
	}
	plain, decoded, err := plainBody(c.r, c.body, maxPutMetricData)
	if err != nil {
		return cw.refusal(errSerialization(err.Error()))
	}
	a := cw.run(c, operation, plain)
	a.decoded = decoded
	return a
}

// run decodes the input, calls the operation and encodes its output.
func (cw *CloudWatch) run(c *call, operation cloudWatchOperation, plain []byte) answer {
	if len(plain) > maxPutMetricData {
		return cw.refusal(errTooLarge(len(plain), maxPutMetricData))
	}
	v, err := cbor.Decode(plain)
	if err != nil {
		return cw.refusal(errSerialization("reading the CBOR body: " + err.Error()))
	}
	in, ok := v.(cbor.Map)
	if !ok {
		return cw.refusal(errSerialization("the CBOR body is not a map"))
	}
	reply, e := operation(c, in)
	if e != nil {
		return cw.refusal(e)
	}
	a := answer{status: http.StatusOK, header: cborHeader(), stored: reply.stored, items: reply.items}
	for k, v := range reply.header {
		a.header[k] = v
	}
	if reply.body != nil {
		a.body = cbor.Encode(reply.body)
	}
	return a
}

// refusal is an error of RPC v2 CBOR for a service that AWS Query came before:
// the shape in the body, the older code in a header. The namespace of the shape
// is the one that the service sends, not that of its model.
func (cw *CloudWatch) refusal(e *apiError) answer {
	h := e.headers()
	for k, v := range cborHeader() {
		h[k] = v
	}
	fault := ";Sender"
	if e.status >= http.StatusInternalServerError {
		fault = ";Receiver"
	}
	h.Set("X-Amzn-Query-Error", e.query+fault)
	status := e.status
	if e.shape == "ThrottlingException" {
		status = http.StatusBadRequest
	}
	return answer{
		status: status,
		header: h,
		code:   e.query,
		body: cbor.Encode(cbor.Map{
			"__type":  cbor.String("com.amazon.coral.service#" + e.shape),
			"message": cbor.String(e.message),
		}),
	}
}

func cborHeader() http.Header {
	return http.Header{"Content-Type": {"application/cbor"}, "Smithy-Protocol": {"rpc-v2-cbor"}}
}

func (cw *CloudWatch) reset() {
	cw.mu.Lock()
	defer cw.mu.Unlock()
	cw.data, cw.firsts, cw.known = nil, nil, map[string]bool{}
	cw.alarms, cw.dashboards, cw.rules = map[string]*provisioned{}, map[string]*provisioned{}, map[string]*provisioned{}
	cw.calls = map[string][]time.Time{}
}

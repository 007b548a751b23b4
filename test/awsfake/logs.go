package awsfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// logsTarget is the prefix of X-Amz-Target for CloudWatch Logs.
const logsTarget = "Logs_20140328."

// maxLogsRequest bounds a request as sent. JSON escapes can make a batch of
// 1 MiB several times as long.
const maxLogsRequest = 16 << 20

// retentions are the days that PutRetentionPolicy takes.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// logGroupClasses is LogGroupClass.
var logGroupClasses = []string{"STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"}

var (
	logGroupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	logStreamName = regexp.MustCompile(`^[^:*]{1,512}$`)
	logTag        = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$`)
)

// Logs is CloudWatch Logs.
type Logs struct {
	region, account string
	operations      map[string]logsOperation

	mu     sync.Mutex
	groups map[string]*logGroup
	// queries are the saved ones, in the order of their making.
	queries []queryDefinition
}

// logsOperation carries an operation out on its JSON input and returns the
// output, nil if it has none. It holds the lock.
type logsOperation func(c *call, in []byte) (out any, items int, e *apiError)

type logGroup struct {
	created   int64 // ms since 1970
	class     string
	retention int // days, 0 for ever
	tags      map[string]string
	streams   map[string]*logStream
}

type logStream struct {
	created int64
	events  []LogEvent
}

func newLogs(region, account string) *Logs {
	l := &Logs{region: region, account: account, groups: map[string]*logGroup{}}
	l.operations = map[string]logsOperation{
		"CreateLogGroup":      l.createLogGroup,
		"CreateLogStream":     l.createLogStream,
		"PutRetentionPolicy":  l.putRetentionPolicy,
		"DescribeLogGroups":   l.describeLogGroups,
		"ListTagsForResource": l.listTagsForResource,
		"PutLogEvents":        l.putLogEvents,

		"PutQueryDefinition":       l.putQueryDefinition,
		"DescribeQueryDefinitions": l.describeQueryDefinitions,
		"DeleteQueryDefinition":    l.deleteQueryDefinition,
	}
	return l
}

func (l *Logs) name() string { return "logs" }

func (l *Logs) operation(r *http.Request, _ []byte) (string, bool) {
	return strings.CutPrefix(r.Header.Get("X-Amz-Target"), logsTarget)
}

func (l *Logs) scope(string) string { return "logs" }

func (l *Logs) serve(c *call) answer {
	operation, ok := l.operations[c.operation]
	if !ok {
		return l.refusal(errUnknownOperation(c.operation))
	}
	if c.r.Method != http.MethodPost || c.r.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		return l.refusal(errSerialization("The request is not of the protocol AWS JSON 1.1."))
	}
	plain, decoded, err := plainBody(c.r, c.body, maxLogsRequest)
	if err != nil {
		return l.refusal(errSerialization(err.Error()))
	}
	if len(plain) > maxLogsRequest {
		return l.refusal(errTooLarge(len(plain), maxLogsRequest))
	}
	l.mu.Lock()
	out, items, e := operation(c, plain)
	l.mu.Unlock()
	if e != nil {
		a := l.refusal(e)
		a.decoded = decoded
		return a
	}
	a := answer{
		status: http.StatusOK, header: jsonHeader(), decoded: decoded,
		stored: !strings.HasPrefix(c.operation, "Describe") && !strings.HasPrefix(c.operation, "List"), items: items,
	}
	if out != nil {
		a.body = encodeJSON(out)
	}
	return a
}

// refusal is an error of AWS JSON 1.1. Logs says 400 even to a bad signature.
func (l *Logs) refusal(e *apiError) answer {
	h := e.headers()
	h.Set("Content-Type", "application/x-amz-json-1.1")
	status := e.status
	if e.unauthenticated || e.shape == "AccessDeniedException" || e.shape == "ThrottlingException" {
		status = http.StatusBadRequest
	}
	code := e.shape
	if code == "InternalServiceFault" {
		code = "InternalServerException"
	}
	return answer{
		status: status, header: h, code: code,
		body: encodeJSON(map[string]string{"__type": code, "message": e.message}),
	}
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/x-amz-json-1.1"}}
}

// encodeJSON encodes what this package made, which cannot fail.
func encodeJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func logsError(shape, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, shape: shape, query: shape, message: fmt.Sprintf(format, args...)}
}

func invalidLogs(format string, args ...any) *apiError {
	return logsError("InvalidParameterException", format, args...)
}

// decodeLogs reads the input of an operation.
func decodeLogs(in []byte, to any) *apiError {
	if err := json.Unmarshal(in, to); err != nil {
		return errSerialization("reading the JSON body: " + err.Error())
	}
	return nil
}

func checkGroupName(name string) *apiError {
	if !logGroupName.MatchString(name) {
		return invalidLogs("1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+", name)
	}
	return nil
}

func (l *Logs) createLogGroup(c *call, body []byte) (any, int, *apiError) {
	var in struct {
		LogGroupName, LogGroupClass string
		Tags                        map[string]string
	}
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	if e := checkGroupName(in.LogGroupName); e != nil {
		return nil, 0, e
	}
	if strings.HasPrefix(in.LogGroupName, "aws/") {
		return nil, 0, invalidLogs("Log groups starting with AWS/ are reserved for AWS.")
	}
	if in.LogGroupClass == "" {
		in.LogGroupClass = "STANDARD"
	}
	if !slices.Contains(logGroupClasses, in.LogGroupClass) {
		return nil, 0, invalidLogs("1 validation error detected: Value '%s' at 'logGroupClass' failed to satisfy constraint: Member must satisfy enum value set: [%s]", in.LogGroupClass, strings.Join(logGroupClasses, ", "))
	}
	if len(in.Tags) > 50 {
		return nil, 0, invalidLogs("1 validation error detected: Value at 'tags' failed to satisfy constraint: Map value must have at most 50 entries")
	}
	for key, value := range in.Tags {
		if !logTag.MatchString(key) || strings.HasPrefix(strings.ToLower(key), "aws:") || len([]rune(key)) > 128 || len([]rune(value)) > 256 || value != "" && !logTag.MatchString(value) {
			return nil, 0, invalidLogs("1 validation error detected: Value at 'tags' failed to satisfy constraint: Map keys and values must satisfy regular expression pattern: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]+")
		}
	}
	if l.groups[in.LogGroupName] != nil {
		return nil, 0, logsError("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	l.groups[in.LogGroupName] = &logGroup{
		created: c.now.UnixMilli(), class: in.LogGroupClass, tags: in.Tags, streams: map[string]*logStream{},
	}
	return nil, 0, nil
}

// group finds a group by a name that it checks.
func (l *Logs) group(name string) (*logGroup, *apiError) {
	if e := checkGroupName(name); e != nil {
		return nil, e
	}
	g := l.groups[name]
	if g == nil {
		return nil, logsError("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return g, nil
}

func checkStreamName(name string) *apiError {
	if !logStreamName.MatchString(name) {
		return invalidLogs("1 validation error detected: Value '%s' at 'logStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [^:*]*", name)
	}
	return nil
}

func (l *Logs) createLogStream(c *call, body []byte) (any, int, *apiError) {
	var in struct{ LogGroupName, LogStreamName string }
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	if e := checkStreamName(in.LogStreamName); e != nil {
		return nil, 0, e
	}
	g, e := l.group(in.LogGroupName)
	if e != nil {
		return nil, 0, e
	}
	if g.streams[in.LogStreamName] != nil {
		return nil, 0, logsError("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	g.streams[in.LogStreamName] = &logStream{created: c.now.UnixMilli()}
	return nil, 0, nil
}

func (l *Logs) putRetentionPolicy(_ *call, body []byte) (any, int, *apiError) {
	var in struct {
		LogGroupName    string
		RetentionInDays int
	}
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	if !slices.Contains(retentions, in.RetentionInDays) {
		return nil, 0, invalidLogs("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", in.RetentionInDays, retentions)
	}
	g, e := l.group(in.LogGroupName)
	if e != nil {
		return nil, 0, e
	}
	g.retention = in.RetentionInDays
	return nil, 0, nil
}

// describedGroup is LogGroup, without what this stand-in knows nothing of.
type describedGroup struct {
	Arn             string `json:"arn"`
	LogGroupArn     string `json:"logGroupArn"`
	LogGroupName    string `json:"logGroupName"`
	LogGroupClass   string `json:"logGroupClass"`
	CreationTime    int64  `json:"creationTime"`
	RetentionInDays int    `json:"retentionInDays,omitempty"`
	StoredBytes     int64  `json:"storedBytes"`
}

func (l *Logs) describeLogGroups(_ *call, body []byte) (any, int, *apiError) {
	var in struct {
		LogGroupNamePrefix, LogGroupNamePattern, LogGroupClass, NextToken string
		Limit                                                             *int
	}
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	limit := 50
	if in.Limit != nil {
		limit = *in.Limit
	}
	if limit < 1 || limit > 50 {
		return nil, 0, invalidLogs("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 50", limit)
	}
	if in.LogGroupNamePrefix != "" && in.LogGroupNamePattern != "" {
		return nil, 0, invalidLogs("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	var names []string
	for name, g := range l.groups {
		if strings.HasPrefix(name, in.LogGroupNamePrefix) && strings.Contains(name, in.LogGroupNamePattern) &&
			(in.LogGroupClass == "" || in.LogGroupClass == g.class) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	start := 0
	if in.NextToken != "" {
		n, err := strconv.Atoi(in.NextToken)
		if err != nil || n < 0 || n > len(names) {
			return nil, 0, invalidLogs("The specified nextToken is invalid.")
		}
		start = n
	}
	end := min(start+limit, len(names))
	out := struct {
		LogGroups []describedGroup `json:"logGroups"`
		NextToken string           `json:"nextToken,omitempty"`
	}{LogGroups: []describedGroup{}}
	for _, name := range names[start:end] {
		out.LogGroups = append(out.LogGroups, l.described(name))
	}
	if end < len(names) {
		out.NextToken = strconv.Itoa(end)
	}
	return out, len(out.LogGroups), nil
}

// arn is that of a group, as tagging takes it: without ":*" at its end.
func (l *Logs) arn(group string) string {
	return "arn:aws:logs:" + l.region + ":" + l.account + ":log-group:" + group
}

func (l *Logs) listTagsForResource(_ *call, body []byte) (any, int, *apiError) {
	var in struct{ ResourceArn string }
	if e := decodeLogs(body, &in); e != nil {
		return nil, 0, e
	}
	name, ok := strings.CutPrefix(in.ResourceArn, l.arn(""))
	if !ok || strings.HasSuffix(name, ":*") {
		return nil, 0, invalidLogs("1 validation error detected: Value '%s' at 'resourceArn' is not the ARN of a log group", in.ResourceArn)
	}
	g := l.groups[name]
	if g == nil {
		return nil, 0, logsError("ResourceNotFoundException", "The specified resource does not exist.")
	}
	tags := g.tags
	if tags == nil {
		tags = map[string]string{}
	}
	return map[string]any{"tags": tags}, len(tags), nil
}

func (l *Logs) described(name string) describedGroup {
	g := l.groups[name]
	arn := l.arn(name)
	var stored int64
	for _, s := range g.streams {
		for _, e := range s.events {
			stored += int64(len(e.Message)) + eventOverhead
		}
	}
	return describedGroup{
		Arn: arn + ":*", LogGroupArn: arn, LogGroupName: name, LogGroupClass: g.class,
		CreationTime: g.created, RetentionInDays: g.retention, StoredBytes: stored,
	}
}

func (l *Logs) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups, l.queries = map[string]*logGroup{}, nil
}

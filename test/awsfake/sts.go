package awsfake

import (
	"encoding/xml"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

var roleSessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

// Role can be assumed.
type Role struct {
	ARN string `json:"arn"`
	// ExternalID must be given if it is not "".
	ExternalID string `json:"external_id,omitempty"`
	// Principals are the ARNs that may assume the role; nil means anyone with
	// a key.
	Principals []string `json:"principals,omitempty"`
	// WebIdentityTokens are the tokens that the role trusts.
	WebIdentityTokens []string `json:"web_identity_tokens,omitempty"`
}

// STS is the Security Token Service.
type STS struct {
	account string
	keys    *Keyring

	mu    sync.Mutex
	roles map[string]Role
}

func newSTS(roles []Role, account string, keys *Keyring) *STS {
	s := &STS{account: account, keys: keys, roles: map[string]Role{}}
	for _, r := range roles {
		s.SetRole(r)
	}
	return s
}

// SetRole adds or replaces a role.
func (s *STS) SetRole(r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[r.ARN] = r
}

func (s *STS) role(arn string) (Role, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.roles[arn]
	return r, ok
}

func (s *STS) name() string { return "sts" }

func (s *STS) operation(r *http.Request, body []byte) (string, bool) {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.URL.Path != "/" || r.Method != http.MethodPost || media != "application/x-www-form-urlencoded" {
		return "", false
	}
	form, err := url.ParseQuery(string(body))
	return form.Get("Action"), err == nil && form.Get("Version") == "2011-06-15"
}

// scope leaves AssumeRoleWithWebIdentity unsigned: the token is the proof.
func (s *STS) scope(operation string) string {
	if operation == "AssumeRoleWithWebIdentity" {
		return ""
	}
	return "sts"
}

func (s *STS) serve(c *call) answer {
	form, err := url.ParseQuery(string(c.body))
	if err != nil {
		return s.refusal(errSerialization(err.Error()))
	}
	var out any
	var e *apiError
	switch c.operation {
	case "AssumeRole":
		out, e = s.assumeRole(c, form)
	case "AssumeRoleWithWebIdentity":
		out, e = s.assumeRoleWithWebIdentity(c, form)
	case "GetCallerIdentity":
		out = &struct {
			XMLName              xml.Name `xml:"GetCallerIdentityResult"`
			Arn, UserId, Account string
		}{Arn: c.key.ARN, UserId: c.key.AccessKeyID, Account: s.account}
	default:
		e = errUnknownOperation(c.operation)
	}
	if e != nil {
		return s.refusal(e)
	}
	return xmlAnswer(http.StatusOK, c.operation+"Response", out)
}

func (s *STS) refusal(e *apiError) answer {
	kind := "Sender"
	if e.status >= http.StatusInternalServerError {
		kind = "Receiver"
	}
	type detail struct {
		XMLName             xml.Name `xml:"Error"`
		Type, Code, Message string
	}
	a := xmlAnswer(e.status, "ErrorResponse", &detail{Type: kind, Code: e.query, Message: e.message})
	for k, v := range e.headers() {
		a.header[k] = v
	}
	if e.shape == "ThrottlingException" {
		a.status = http.StatusBadRequest
	}
	a.code = e.query
	return a
}

// xmlAnswer wraps a result as AWS Query does.
func xmlAnswer(status int, root string, result any) answer {
	b, err := xml.Marshal(result)
	if err != nil {
		panic(err) // structs of strings always encode
	}
	body := "<" + root + " xmlns=\"" + stsNamespace + "\">" + string(b) + "</" + root + ">"
	return answer{status: status, header: http.Header{"Content-Type": {"text/xml"}}, body: []byte(body)}
}

func stsError(status int, code, format string, args ...any) *apiError {
	return &apiError{status: status, shape: code, query: code, message: fmt.Sprintf(format, args...)}
}

// assumedRole is the result of both ways to assume a role.
type assumedRole struct {
	XMLName     xml.Name
	Credentials struct {
		AccessKeyId, SecretAccessKey, SessionToken, Expiration string
	}
	AssumedRoleUser struct{ Arn, AssumedRoleId string }
}

func (s *STS) assumeRole(c *call, form url.Values) (any, *apiError) {
	arn := form.Get("RoleArn")
	role, ok := s.role(arn)
	allowed := ok && role.ExternalID == form.Get("ExternalId") &&
		(role.Principals == nil || slices.Contains(role.Principals, c.key.ARN))
	if !allowed {
		return nil, stsError(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s", c.key.ARN, arn)
	}
	return s.session(c, form)
}

func (s *STS) assumeRoleWithWebIdentity(c *call, form url.Values) (any, *apiError) {
	role, ok := s.role(form.Get("RoleArn"))
	if !ok {
		return nil, stsError(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	if !slices.Contains(role.WebIdentityTokens, form.Get("WebIdentityToken")) {
		return nil, stsError(http.StatusBadRequest, "InvalidIdentityToken", "The web identity token that was passed could not be validated by AWS.")
	}
	return s.session(c, form)
}

// session issues credentials of a role that the caller may assume.
func (s *STS) session(c *call, form url.Values) (any, *apiError) {
	name := form.Get("RoleSessionName")
	if !roleSessionName.MatchString(name) {
		return nil, stsError(http.StatusBadRequest, "ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*", name)
	}
	seconds := 3600
	if text := form.Get("DurationSeconds"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 900 || n > 43200 {
			return nil, stsError(http.StatusBadRequest, "ValidationError", "1 validation error detected: Value '%s' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", text)
		}
		seconds = n
	}
	arn := strings.Replace(form.Get("RoleArn"), ":iam:", ":sts:", 1)
	arn = strings.Replace(arn, ":role/", ":assumed-role/", 1) + "/" + name
	key := s.keys.issue(arn, c.now.Add(time.Duration(seconds)*time.Second))
	out := &assumedRole{XMLName: xml.Name{Local: c.operation + "Result"}}
	out.Credentials.AccessKeyId = key.AccessKeyID
	out.Credentials.SecretAccessKey = key.SecretAccessKey
	out.Credentials.SessionToken = key.SessionToken
	out.Credentials.Expiration = key.Expires.UTC().Format(time.RFC3339)
	out.AssumedRoleUser.Arn = arn
	out.AssumedRoleUser.AssumedRoleId = "AROAAWSFAKE000000000:" + name
	return out, nil
}

package awsfake

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	imdsTokenPath = "/latest/api/token"
	imdsTokenTTL  = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	imdsToken     = "X-Aws-Ec2-Metadata-Token"
	maxTokenTTL   = 21600 // seconds
	roleLifetime  = 6 * time.Hour
)

// IMDS is the instance metadata service, version 2.
type IMDS struct {
	region, account string
	keys            *Keyring

	mu       sync.Mutex
	instance Instance
	tokens   map[string]time.Time // when each ends
	role     Credential
	refused  int
}

func newIMDS(instance Instance, region, account string, keys *Keyring) *IMDS {
	m := &IMDS{region: region, account: account, keys: keys, tokens: map[string]time.Time{}}
	m.SetInstance(instance)
	return m
}

// SetInstance replaces the instance that is described.
func (m *IMDS) SetInstance(i Instance) {
	i.ENIs = slices.Clone(i.ENIs)
	i.Tags = maps.Clone(i.Tags)
	i.fill(m.region)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.instance = i
}

// Attach adds a network interface, or replaces the one with its MAC. The
// service knows of it from e.Visible on.
func (m *IMDS) Attach(e ENI) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e.fill(len(m.instance.ENIs))
	m.detach(e.MAC)
	m.instance.ENIs = append(m.instance.ENIs, e)
}

// Detach removes the network interface with a MAC, unless it is the only one.
func (m *IMDS) Detach(mac string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detach(strings.ToLower(mac))
}

func (m *IMDS) detach(mac string) {
	left := slices.DeleteFunc(slices.Clone(m.instance.ENIs), func(e ENI) bool { return e.MAC == mac })
	if len(left) > 0 {
		m.instance.ENIs = left
	}
}

// Refused counts requests of version 1, without a token, that were refused.
func (m *IMDS) Refused() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}

// RevokeTokens makes every token that was given out invalid.
func (m *IMDS) RevokeTokens() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.tokens)
}

func (m *IMDS) name() string { return "imds" }

// operation is "token", or the path below /latest/.
func (m *IMDS) operation(r *http.Request, _ []byte) (string, bool) {
	if r.URL.Path == imdsTokenPath {
		return "token", true
	}
	return strings.CutPrefix(r.URL.Path, "/latest/")
}

func (m *IMDS) scope(string) string { return "" }

func (m *IMDS) refusal(e *apiError) answer {
	a := htmlPage(e.status, e.retryAfter)
	a.code = e.shape
	return a
}

func (m *IMDS) status(status int) answer { return htmlPage(status, 0) }

func (m *IMDS) serve(c *call) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.instance.Disabled:
		return m.status(http.StatusForbidden)
	case c.operation == "token":
		return m.issueToken(c)
	case c.r.Method != http.MethodGet:
		return m.status(http.StatusMethodNotAllowed)
	}
	token := c.r.Header.Get(imdsToken)
	switch ends, known := m.tokens[token]; {
	case token == "" && m.instance.V1:
	case token == "":
		m.refused++
		return m.status(http.StatusUnauthorized)
	case !known || !c.now.Before(ends):
		return m.status(http.StatusUnauthorized)
	}
	if rest, ok := strings.CutPrefix(c.operation, "meta-data/iam/security-credentials"); ok {
		return m.credentials(strings.TrimPrefix(rest, "/"), c.now)
	}
	return m.get(c.operation, c.now)
}

func (m *IMDS) issueToken(c *call) answer {
	if c.r.Method != http.MethodPut {
		return m.status(http.StatusMethodNotAllowed)
	}
	// A forwarded request is one that an open proxy was tricked into.
	if c.r.Header.Get("X-Forwarded-For") != "" {
		return m.status(http.StatusForbidden)
	}
	ttl, err := strconv.Atoi(c.r.Header.Get(imdsTokenTTL))
	if err != nil || ttl < 1 || ttl > maxTokenTTL {
		return m.status(http.StatusBadRequest)
	}
	token := rand.Text() + rand.Text() + "=="
	m.tokens[token] = c.now.Add(time.Duration(ttl) * time.Second)
	a := plainAnswer(token)
	a.header.Set(imdsTokenTTL, strconv.Itoa(ttl))
	return a
}

// get returns a value, or the list of what is below a path.
func (m *IMDS) get(path string, now time.Time) answer {
	values := m.instance.metadata(m.region, m.account, now)
	if v, ok := values[path]; ok {
		return plainAnswer(v)
	}
	dir := strings.TrimSuffix(path, "/") + "/"
	if dir == "/" {
		dir = ""
	}
	var names []string
	for p := range values {
		rest, ok := strings.CutPrefix(p, dir)
		if !ok {
			continue
		}
		// Tag keys may hold slashes.
		if name, _, below := strings.Cut(rest, "/"); below && dir != "meta-data/tags/instance/" {
			rest = name + "/"
		}
		names = append(names, rest)
	}
	if len(names) == 0 && !(dir == "meta-data/tags/instance/" && m.instance.Tags != nil) {
		return m.status(http.StatusNotFound)
	}
	slices.Sort(names)
	return plainAnswer(strings.Join(slices.Compact(names), "\n"))
}

// credentials lists the role or returns its credentials, which change an hour
// before they end.
func (m *IMDS) credentials(role string, now time.Time) answer {
	switch {
	case m.instance.Role == "":
		return m.status(http.StatusNotFound)
	case role == "":
		return plainAnswer(m.instance.Role)
	case role != m.instance.Role:
		return m.status(http.StatusNotFound)
	}
	arn := "arn:aws:sts::" + m.account + ":assumed-role/" + role + "/" + m.instance.ID
	if m.role.ARN != arn || !now.Add(time.Hour).Before(m.role.Expires) {
		m.role = m.keys.issue(arn, now.Add(roleLifetime))
	} else if current, ok := m.keys.find(m.role.AccessKeyID); !ok || !now.Before(current.Expires) {
		m.role = m.keys.issue(arn, now.Add(roleLifetime))
	}
	return plainAnswer(string(encodeJSON(map[string]string{
		"Code": "Success", "LastUpdated": now.UTC().Format(time.RFC3339), "Type": "AWS-HMAC",
		"AccessKeyId": m.role.AccessKeyID, "SecretAccessKey": m.role.SecretAccessKey,
		"Token": m.role.SessionToken, "Expiration": m.role.Expires.UTC().Format(time.RFC3339),
	})))
}

func plainAnswer(text string) answer {
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"text/plain"}}, body: []byte(text)}
}

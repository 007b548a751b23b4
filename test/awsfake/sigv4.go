package awsfake

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signature Version 4, written from its specification (IAM User Guide,
// "Create a signed AWS API request") and not from the SDK's signer, which it
// is there to check.

const (
	sigAlgorithm = "AWS4-HMAC-SHA256"
	sigTime      = "20060102T150405Z"
	// maxSkew is how far the date of a request may be from the server's clock.
	maxSkew = 5 * time.Minute
)

// authorization is the Authorization header of a signed request.
type authorization struct {
	accessKeyID, date, region, service string
	signedHeaders                      []string
	signature                          string
}

// verify checks that the body and headers of a request are those that a known,
// unexpired key signed for this region and service, not long ago.
func (s *Server) verify(c *call, service string) (*Credential, *apiError) {
	header := c.r.Header.Get("Authorization")
	if header == "" {
		return nil, errMissingToken()
	}
	auth, e := parseAuthorization(header)
	if e != nil {
		return nil, e
	}
	key, ok := s.Keys.find(auth.accessKeyID)
	if !ok || key.SessionToken != c.r.Header.Get("X-Amz-Security-Token") {
		return nil, errUnknownKey()
	}
	if !key.Expires.IsZero() && !c.now.Before(key.Expires) {
		return nil, errExpiredToken()
	}
	at, err := time.Parse(sigTime, c.r.Header.Get("X-Amz-Date"))
	if err != nil {
		return nil, errIncompleteSignature("Date must be in ISO-8601 'basic format'. Got '" + c.r.Header.Get("X-Amz-Date") + "'. See http://en.wikipedia.org/wiki/ISO_8601")
	}
	if e := checkDate(at, c.now); e != nil {
		return nil, e
	}
	if e := auth.checkScope(at, s.region, service); e != nil {
		return nil, e
	}
	if e := auth.checkSigned(c.r); e != nil {
		return nil, e
	}
	return auth.checkSignature(c, key, at)
}

// parseAuthorization takes the header apart.
func parseAuthorization(header string) (authorization, *apiError) {
	var a authorization
	rest, ok := strings.CutPrefix(header, sigAlgorithm+" ")
	if !ok {
		return a, errIncompleteSignature("Unsupported AWS 'algorithm': '" + firstWord(header) + "'.")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return a, errIncompleteSignature("'" + part + "' not a valid key=value pair (missing equal-sign) in Authorization header.")
		}
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return a, errIncompleteSignature("Authorization header requires '" + name + "' parameter.")
		}
	}
	scope := strings.Split(fields["Credential"], "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return a, errIncompleteSignature("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + fields["Credential"] + "'")
	}
	return authorization{
		accessKeyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signedHeaders: strings.Split(fields["SignedHeaders"], ";"),
		signature:     fields["Signature"],
	}, nil
}

func firstWord(s string) string {
	word, _, _ := strings.Cut(s, " ")
	return word
}

// checkDate refuses a request whose date is too far from now.
func checkDate(at, now time.Time) *apiError {
	text := func(t time.Time) string { return t.UTC().Format(sigTime) }
	if earliest := now.Add(-maxSkew); at.Before(earliest.Truncate(time.Second)) {
		return errBadSignature("Signature expired: " + text(at) + " is now earlier than " + text(earliest) + " (" + text(now) + " - 5 min.)")
	}
	if latest := now.Add(maxSkew); at.After(latest) {
		return errBadSignature("Signature not yet current: " + text(at) + " is still later than " + text(latest) + " (" + text(now) + " + 5 min.)")
	}
	return nil
}

// checkScope refuses a signature made for another day, region or service.
func (a *authorization) checkScope(at time.Time, region, service string) *apiError {
	if a.date != at.Format("20060102") {
		return errBadSignature("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '" + a.date + "' != '" + at.Format("20060102") + "', from '" + at.Format(sigTime) + "'.")
	}
	if a.region != region {
		return errBadSignature("Credential should be scoped to a valid region, not '" + a.region + "'. ")
	}
	if a.service != service {
		return errBadSignature("Credential should be scoped to correct service: '" + service + "'. ")
	}
	return nil
}

// checkSigned refuses a request whose signature leaves out a header that it
// must cover: the host and every x-amz-* header.
func (a *authorization) checkSigned(r *http.Request) *apiError {
	if !slices.Contains(a.signedHeaders, "host") {
		return errBadSignature("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		if strings.HasPrefix(name, "x-amz-") && !slices.Contains(a.signedHeaders, name) {
			return errBadSignature("'" + name + "' must be a 'SignedHeader' in the AWS Authorization.")
		}
	}
	return nil
}

// checkSignature computes the signature anew and compares.
func (a *authorization) checkSignature(c *call, key Credential, at time.Time) (*Credential, *apiError) {
	sum := sha256.Sum256(c.body)
	payload := hex.EncodeToString(sum[:])
	canonical := a.canonicalRequest(c.r, payload)
	hashed := sha256.Sum256([]byte(canonical))
	toSign := strings.Join([]string{
		sigAlgorithm,
		at.Format(sigTime),
		strings.Join([]string{a.date, a.region, a.service, "aws4_request"}, "/"),
		hex.EncodeToString(hashed[:]),
	}, "\n")
	signature := []byte("AWS4" + key.SecretAccessKey)
	for _, part := range []string{a.date, a.region, a.service, "aws4_request", toSign} {
		mac := hmac.New(sha256.New, signature)
		mac.Write([]byte(part))
		signature = mac.Sum(nil)
	}
	if !hmac.Equal([]byte(hex.EncodeToString(signature)), []byte(a.signature)) {
		return nil, errBadSignature("The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\n" +
			"The Canonical String for this request should have been\n'" + canonical + "'\n\n" +
			"The String-to-Sign should have been\n'" + toSign + "'\n")
	}
	return &key, nil
}

// canonicalRequest writes the request the one way in which both ends hash it.
func (a *authorization) canonicalRequest(r *http.Request, payload string) string {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + uriEncode(path, true) + "\n" + canonicalQuery(r) + "\n")
	for _, name := range a.signedHeaders {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(a.signedHeaders, ";") + "\n" + payload)
	return b.String()
}

// headerValue returns the values of a header, joined and trimmed. Package http
// keeps two of them outside of the map.
func headerValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

func canonicalQuery(r *http.Request) string {
	var pairs []string
	for name, values := range r.URL.Query() {
		for _, v := range values {
			pairs = append(pairs, uriEncode(name, false)+"="+uriEncode(v, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// uriEncode escapes every byte but the unreserved ones of RFC 3986, and "/" in
// a path. A path that is escaped already is so a second time, as the
// specification asks for every service but S3.
func uriEncode(s string, path bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		}
	}
	return b.String()
}

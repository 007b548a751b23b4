package identity

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func FuzzParseMACs(f *testing.F) {
	for _, list := range []string{
		"", mac1 + "/", mac1 + "/\n" + mac2 + "/", strings.ToUpper(mac1) + "/\r\n", "../" + mac1 + "/\n<html>", mac1 + "//",
	} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		for _, m := range parseMACs(list) {
			if len(m) != 17 || strings.Trim(m, "0123456789abcdef:") != "" || !strings.Contains(strings.ToLower(list), m) {
				t.Errorf("%q is no MAC of %q", m, list)
			}
		}
	})
}

// FuzzAnswers has IMDS answer the same to all requests: whatever that is, what
// is believed is valid, and the requests are few.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "300", []byte(`{"instanceId": "i-1", "region": "us-east-1", "availabilityZone": 5}`), "eks:cluster-name\naws:autoscaling:groupName")
	f.Add(200, "300", []byte(`{"instanceId": "i-1", "pendingTime": "2026-11-01T00:00:00Z"}`), mac1+"/\n"+mac2+"/")
	f.Add(200, "0", []byte(`{}`), "eni-1")
	f.Add(200, "300", []byte("null"), "1")
	f.Add(200, "many", []byte("<html>"), "<html>")
	f.Add(302, "300", []byte(""), "")
	f.Add(404, "-1", []byte("x"), "")
	f.Fuzz(func(t *testing.T, status int, ttl string, document []byte, value string) {
		requests := 0
		c := newClient(&url.URL{Scheme: "http", Host: "imds"}, roundTripper(func(r *http.Request) (*http.Response, error) {
			requests++
			body := []byte(value)
			switch {
			case r.Method == http.MethodPut:
				body = []byte(secret)
			case strings.HasSuffix(r.URL.Path, "/document"):
				body = document
			}
			return &http.Response{
				StatusCode: status, Header: http.Header{"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": {ttl}},
				Body: io.NopCloser(bytes.NewReader(body)),
			}, nil
		}))
		r := &Resolver{client: c, open: map[string]time.Time{}}
		host, enis, errs := r.Find(t.Context(), mac1, mac2)
		lines(t, errs[:len(errs)-1])
		for i, value := range host.fields() {
			if *value != "" && !possible(i, *value) {
				t.Errorf("%s is %q", facts[i].name, *value)
			}
		}
		for _, e := range enis {
			if resourceID("eni-", e.ID) == "" || (e.MAC != mac1 && e.MAC != mac2) {
				t.Errorf("ENI is %+v", e)
			}
		}
		if requests > 2*(3+5+1+2*6) { // twice, because a token may have ended
			t.Errorf("%d requests", requests)
		}
	})
}

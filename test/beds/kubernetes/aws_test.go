//go:build beds

package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// awsAPI stands in for the APIs of AWS that the page's commands of aws call. It
// keeps what they ask for: AWS's own CLI has checked it against AWS's models.
type awsAPI struct {
	*httptest.Server
	mu    sync.Mutex
	calls map[string]map[string]any // members of a request, by service, method and path
}

func startAWSAPI(t *testing.T) *awsAPI {
	t.Helper()
	a := &awsAPI{calls: map[string]map[string]any{}}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		// AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, ...
		scope := strings.Split(r.Header.Get("Authorization"), "/")
		if len(scope) < 5 || scope[2] != "us-east-1" {
			t.Errorf("%s %s is signed %q", r.Method, r.URL, scope)
			return
		}
		members := map[string]any{}
		if form, err := url.ParseQuery(string(body)); err == nil && form.Has("Action") { // IAM's protocol
			for name := range form {
				members[name] = form.Get(name)
			}
			io.WriteString(w, "<"+form.Get("Action")+"Response><"+form.Get("Action")+"Result/></"+form.Get("Action")+"Response>")
		} else if err := json.Unmarshal(body, &members); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		} else {
			io.WriteString(w, "{}")
		}
		delete(members, "clientToken") // random, as this is:
		delete(members, "clientRequestToken")
		if data, ok := members["data"].(string); ok {
			text, err := base64.StdEncoding.DecodeString(data)
			if err != nil {
				t.Error(err)
			}
			members["data"] = string(text)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls[scope[3]+" "+r.Method+" "+r.URL.Path] = members
	}))
	t.Cleanup(a.Close)
	return a
}

// asked are the requests so far.
func (a *awsAPI) asked() map[string]map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.calls
}

// wantedOfAWS is what the page's commands of aws are to ask for.
func wantedOfAWS(t *testing.T) map[string]map[string]any {
	file := func(path ...string) string {
		return string(mustRead(t, filepath.Join(deploy(), filepath.Join(path...))))
	}
	return map[string]map[string]any{
		"iam POST /":           {"Action": "CreatePolicy", "Version": "2010-05-08", "PolicyName": "enawatch", "PolicyDocument": file("iam", "amp-remote-write.json")},
		"aps POST /workspaces": {"alias": "enawatch"},
		"aps POST /workspaces/ws-1/rulegroupsnamespaces":    {"name": "enawatch", "data": file("amp", "rules.yaml")},
		"aps POST /workspaces/ws-1/alertmanager/definition": {"data": file("amp", "alertmanager.yaml")},
		"eks POST /clusters/prod/addons":                    {"addonName": "eks-pod-identity-agent"},
		"eks POST /clusters/prod/addons/coredns/update":     {"resolveConflicts": "PRESERVE", "configurationValues": file("eks", "dns", "coredns-addon.json")},
	}
}

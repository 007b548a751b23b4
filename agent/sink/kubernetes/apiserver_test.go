package kubernetes

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// apiserver stands in for the Kubernetes API server: it keeps Events and the
// node's conditions, and answers what it is told to.
type apiserver struct {
	t      *testing.T
	server *httptest.Server
	dir    string // of the service account

	mu       sync.Mutex
	token    string
	events   map[string]object
	order    []string
	node     object
	requests int
	// answer is what the next requests get; 0 is the truth.
	answer []int
	header http.Header
	lose   bool // the answer of the next request
	// forbids is what the account may not do: a method and how paths begin.
	forbids string
	seen    chan string
}

func newAPIServer(t *testing.T) *apiserver {
	a := &apiserver{t: t, dir: t.TempDir(), events: map[string]object{}, seen: make(chan string, 1000), header: http.Header{}}
	a.server = httptest.NewTLSServer(a)
	t.Cleanup(a.server.Close)
	a.write("ca.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.server.Certificate().Raw})))
	a.setToken("first")
	host, port, err := net.SplitHostPort(a.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", host)
	t.Setenv("KUBERNETES_SERVICE_PORT", port)
	return a
}

func (a *apiserver) write(name, text string) {
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// setToken renews the token, of which the kubelet tells the pod.
func (a *apiserver) setToken(token string) {
	a.mu.Lock()
	a.token = token
	a.mu.Unlock()
	a.write("token", token+"\n")
}

func (a *apiserver) client() *client {
	c, err := inCluster(a.dir)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *apiserver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	code := a.serve(w, r)
	a.seen <- fmt.Sprintf("%s %d", r.Method, code)
}

func (a *apiserver) serve(w http.ResponseWriter, r *http.Request) int {
	say := func(code int) int {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","message":"told to say %d"}`, code)
		return code
	}
	if r.Header.Get("Authorization") != "Bearer "+a.token {
		return say(http.StatusUnauthorized)
	}
	if len(a.answer) > 0 {
		code := a.answer[0]
		if a.answer = a.answer[1:]; code != 0 {
			for k, v := range a.header {
				w.Header()[k] = v
			}
			return say(code)
		}
	}
	var body object
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return say(http.StatusBadRequest)
	}
	dry := r.URL.Query().Get("dryRun") == "All"
	if right := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1/"); a.forbids != "" && strings.HasPrefix(right, a.forbids) {
		return say(http.StatusForbidden)
	}
	name, patched := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/default/events/")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/api/v1/namespaces/default/events":
		name = body["metadata"].(object)["name"].(string)
		if _, ok := a.events[name]; ok {
			return say(http.StatusConflict)
		}
		if dry {
			break
		}
		a.events[name] = body
		a.order = append(a.order, name)
	case r.Method == http.MethodPatch && patched && r.Header.Get("Content-Type") == "application/merge-patch+json":
		e, ok := a.events[name]
		if !ok {
			return say(http.StatusNotFound)
		}
		for k, v := range body {
			if !dry {
				e[k] = v
			}
		}
	case r.Method == http.MethodPatch && r.URL.Path == "/api/v1/nodes/node-1/status" && r.Header.Get("Content-Type") == "application/strategic-merge-patch+json":
		if condition := body["status"].(object)["conditions"].([]any)[0].(object); !dry {
			a.node = condition
		}
	default:
		return say(http.StatusNotFound)
	}
	if a.lose {
		a.lose = false
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusOK)
	return http.StatusOK
}

// wait waits for n requests and returns how each was answered.
func (a *apiserver) wait(n int) (list []string) {
	a.t.Helper()
	deadline := time.After(30 * time.Second)
	for range n {
		select {
		case s := <-a.seen:
			list = append(list, s)
		case <-deadline:
			a.t.Fatalf("after 30 s: %v, want %d requests", list, n)
		}
	}
	return list
}

// all lists the Events in the order in which they were made.
func (a *apiserver) all() (list []object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.order {
		list = append(list, a.events[name])
	}
	return list
}

func (a *apiserver) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

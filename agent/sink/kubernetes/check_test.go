package kubernetes

import (
	"strings"
	"testing"
	"time"
)

// Whatever the account may not do of what the sink asks for is told, and nothing is
// stored.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil     func(*apiserver)
		node      string
		condition bool
		want      string
	}{
		"well":                      {want: ""},
		"well, with the condition":  {condition: true, want: ""},
		"may not make Events":       {spoil: func(a *apiserver) { a.forbids = "POST namespaces/default/events" }, want: "POST /api/v1/namespaces/default/events?dryRun=All: HTTP 403"},
		"may not change Events":     {spoil: func(a *apiserver) { a.forbids = "PATCH namespaces/default/events" }, want: "HTTP 403"},
		"may not set the condition": {spoil: func(a *apiserver) { a.forbids = "PATCH nodes" }, condition: true, want: "PATCH /api/v1/nodes/node-1/status?dryRun=All: HTTP 403"},
		"does not want to":          {spoil: func(a *apiserver) { a.forbids = "PATCH nodes" }, want: ""},
		"another node":              {node: "node-9", condition: true, want: "nodes/node-9/status?dryRun=All: HTTP 404"},
		"token of nobody":           {spoil: func(a *apiserver) { a.token = "second" }, want: "HTTP 401"},
		"no API server":             {spoil: func(a *apiserver) { a.server.Close() }, want: "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPIServer(t)
			if tt.spoil != nil {
				tt.spoil(a)
			}
			o := options(&logs{})
			o.Condition = tt.condition
			if tt.node != "" {
				o.Node = tt.node
			}
			err := a.client().check(t.Context(), o, time.Now())
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\n") || strings.Contains(err.Error(), "first")):
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if len(a.all()) > 0 || a.node != nil {
				t.Errorf("stored: Events %v, condition %v", a.all(), a.node)
			}
		})
	}
}

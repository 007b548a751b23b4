package awsfake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const controlPrefix = "/_fake/"

func isControl(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, controlPrefix) }

// ServeControl answers the paths under /_fake/, by which another process
// drives the server. A second listener may serve them alone: the first does
// not answer while it refuses connections.
//
//	GET    /_fake/requests?service=&operation=       the journal
//	GET    /_fake/ambiguous?service=                 requests and items stored without a word
//	GET    /_fake/metrics                            metrics that have data
//	GET    /_fake/data?namespace=&name=&from=&to=    accepted data; dim.NAME=VALUE for each dimension
//	GET    /_fake/sum?...                            the same, added up
//	GET    /_fake/logs?group=&stream=                accepted events
//	GET    /_fake/series?workspace=                  accepted series; label.NAME=VALUE selects
//	GET    /_fake/points?metric=                     accepted OTLP points
//	GET    /_fake/imds                               what the metadata service refused
//	POST   /_fake/faults                             adds rules (a JSON array)
//	DELETE /_fake/faults                             removes all rules
//	POST   /_fake/refuse?for=2s                      closes the listener, also to the command itself
//	POST   /_fake/skew?by=-1h                        sets the clock off
//	POST   /_fake/expire                             ends all temporary credentials
//	PUT    /_fake/instance                           replaces the instance (JSON)
//	POST   /_fake/attach?lag=5s                      adds a network interface (JSON)
//	POST   /_fake/detach?mac=                        removes one
//	PUT    /_fake/container                          sets role and token (JSON)
//	PUT    /_fake/role                               adds a role to STS (JSON)
//	POST   /_fake/reset                              forgets data, journal and faults
//
// Times are RFC 3339, durations as in Go.
func (s *Server) ServeControl(w http.ResponseWriter, r *http.Request) {
	commands := map[string]func(*http.Request) (any, error){
		"GET requests": func(r *http.Request) (any, error) {
			return s.Journal.Requests(r.FormValue("service"), r.FormValue("operation")), nil
		},
		"GET ambiguous": func(r *http.Request) (any, error) {
			requests, items := s.Journal.Ambiguous(r.FormValue("service"))
			return map[string]int{"requests": requests, "items": items}, nil
		},
		"GET metrics": func(*http.Request) (any, error) { return s.CloudWatch.Metrics(), nil },
		"GET data": func(r *http.Request) (any, error) {
			q, err := metricQuery(r)
			return s.CloudWatch.Data(q), err
		},
		"GET sum": func(r *http.Request) (any, error) {
			q, err := metricQuery(r)
			return s.CloudWatch.Summarize(q), err
		},
		"GET logs": func(r *http.Request) (any, error) {
			return s.Logs.Events(r.FormValue("group"), r.FormValue("stream")), nil
		},
		"GET series": func(r *http.Request) (any, error) {
			return s.Prometheus.Series(r.FormValue("workspace"), prefixed(r, "label.")), nil
		},
		"GET points": func(r *http.Request) (any, error) { return s.OTLP.Points(r.FormValue("metric")), nil },
		"GET imds": func(*http.Request) (any, error) {
			return map[string]int{"refused": s.IMDS.Refused()}, nil
		},
		"POST faults":   s.controlFaults,
		"DELETE faults": func(*http.Request) (any, error) { s.Faults.Clear(); return nil, nil },
		"POST refuse": func(r *http.Request) (any, error) {
			d, err := time.ParseDuration(r.FormValue("for"))
			if err == nil {
				s.Refuse(d)
			}
			return nil, err
		},
		"POST skew": func(r *http.Request) (any, error) {
			d, err := time.ParseDuration(r.FormValue("by"))
			if err == nil {
				s.SetSkew(d)
			}
			return nil, err
		},
		"POST expire":   func(*http.Request) (any, error) { s.Keys.ExpireSessions(s.Now()); return nil, nil },
		"PUT instance":  control(s.IMDS.SetInstance),
		"POST attach":   s.controlAttach,
		"POST detach":   func(r *http.Request) (any, error) { s.IMDS.Detach(r.FormValue("mac")); return nil, nil },
		"PUT container": control(s.Container.Set),
		"PUT role":      control(s.STS.SetRole),
		"POST reset":    func(*http.Request) (any, error) { s.Reset(); return nil, nil },
	}
	command, ok := commands[r.Method+" "+strings.TrimPrefix(r.URL.Path, controlPrefix)]
	if !ok {
		http.Error(w, "awsfake: there is no command "+r.Method+" "+r.URL.Path, http.StatusNotFound)
		return
	}
	out, err := command(r)
	if err != nil {
		http.Error(w, "awsfake: "+err.Error(), http.StatusBadRequest)
		return
	}
	if out == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "awsfake: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// control is a command that sets something to the JSON in the body.
func control[T any](set func(T)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var v T
		if err := decodeControl(r, &v); err != nil {
			return nil, err
		}
		set(v)
		return nil, nil
	}
}

func decodeControl(r *http.Request, to any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("reading the JSON body: %w", err)
	}
	return nil
}

// prefixed returns the parameters whose names begin with prefix; nil if there
// are none.
func prefixed(r *http.Request, prefix string) map[string]string {
	var out map[string]string
	for name, values := range r.URL.Query() {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if out == nil {
				out = map[string]string{}
			}
			out[rest] = values[0]
		}
	}
	return out
}

func metricQuery(r *http.Request) (MetricQuery, error) {
	q := MetricQuery{Namespace: r.FormValue("namespace"), Name: r.FormValue("name"), Dimensions: prefixed(r, "dim.")}
	for name, to := range map[string]*time.Time{"from": &q.From, "to": &q.To} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return q, fmt.Errorf("%s: %w", name, err)
		}
		*to = t
	}
	return q, nil
}

func (s *Server) controlAttach(r *http.Request) (any, error) {
	var e ENI
	if err := decodeControl(r, &e); err != nil {
		return nil, err
	}
	if lag := r.FormValue("lag"); lag != "" {
		d, err := time.ParseDuration(lag)
		if err != nil {
			return nil, fmt.Errorf("lag: %w", err)
		}
		e.Visible = s.Now().Add(d)
	}
	s.IMDS.Attach(e)
	return nil, nil
}

// jsonDuration is a duration as text.
type jsonDuration time.Duration

// UnmarshalText reads a duration as Go writes it.
func (d *jsonDuration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = jsonDuration(v)
	return err
}

// jsonRule is a Rule from outside of the process.
type jsonRule struct {
	Service     string  `json:"service"`
	Operation   string  `json:"operation"`
	After       int     `json:"after"`
	Times       int     `json:"times"`
	Probability float64 `json:"probability"`
	Faults      []struct {
		Kind       Kind         `json:"kind"`
		Store      bool         `json:"store"`
		Status     int          `json:"status"`
		Code       string       `json:"code"`
		Message    string       `json:"message"`
		RetryAfter jsonDuration `json:"retry_after"`
		Delay      jsonDuration `json:"delay"`
		Skew       jsonDuration `json:"skew"`
	} `json:"faults"`
}

func (s *Server) controlFaults(r *http.Request) (any, error) {
	var in []jsonRule
	if err := decodeControl(r, &in); err != nil {
		return nil, err
	}
	var rules []Rule
	for _, j := range in {
		rule := Rule{Service: j.Service, Operation: j.Operation, After: j.After, Times: j.Times, Probability: j.Probability}
		for _, f := range j.Faults {
			rule.Faults = append(rule.Faults, Fault{
				Kind: f.Kind, Store: f.Store, Status: f.Status, Code: f.Code, Message: f.Message,
				RetryAfter: time.Duration(f.RetryAfter), Delay: time.Duration(f.Delay), Skew: time.Duration(f.Skew),
			})
		}
		rules = append(rules, rule)
	}
	return nil, s.Faults.Add(rules...)
}

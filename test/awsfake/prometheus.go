package awsfake

import (
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/snappy"
)

// Limits of Amazon Managed Prometheus: labels for each series from its quotas,
// the others are Cortex's defaults, from which AMP descends.
const (
	maxLabels           = 70
	maxLabelName        = 1024
	maxLabelValue       = 2048
	maxSampleAhead      = 10 * time.Minute
	maxWriteRequest     = 16 << 20
	defaultOutOfOrder   = 60 * time.Second
	inOrderGrace        = time.Hour // half of the head block's range
	remoteWriteV1Header = "0.1.0"
)

var (
	writePath  = regexp.MustCompile(`^/workspaces/([^/]+)/api/v1/remote_write$`)
	metricName = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

// Prometheus is Amazon Managed Service for Prometheus.
type Prometheus struct {
	exists []string

	mu         sync.Mutex
	window     time.Duration
	workspaces map[string]*workspace
}

func newPrometheus(exists []string, window time.Duration) *Prometheus {
	p := &Prometheus{exists: exists, workspaces: map[string]*workspace{}}
	if window == 0 {
		window = defaultOutOfOrder
	}
	p.SetOutOfOrderWindow(window)
	return p
}

// SetOutOfOrderWindow changes how old a sample may be. AMP takes 0 to 600 s.
func (p *Prometheus) SetOutOfOrderWindow(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.window = max(0, d)
}

func (p *Prometheus) name() string { return "prometheus" }

func (p *Prometheus) operation(r *http.Request, _ []byte) (string, bool) {
	return "RemoteWrite", writePath.MatchString(r.URL.Path)
}

func (p *Prometheus) scope(string) string { return "aps" }

func (p *Prometheus) serve(c *call) answer {
	id := writePath.FindStringSubmatch(c.r.URL.Path)[1]
	if p.exists != nil && !slices.Contains(p.exists, id) {
		return p.refusal(&apiError{status: http.StatusNotFound, shape: "ResourceNotFoundException", message: "Workspace not found: " + id})
	}
	if e := checkWriteHeaders(c.r); e != nil {
		return p.refusal(e)
	}
	n, err := snappy.DecodedLen(c.body)
	if err != nil {
		return textAnswer(http.StatusBadRequest, err.Error())
	}
	if n > maxWriteRequest {
		return textAnswer(http.StatusRequestEntityTooLarge, fmt.Sprintf("received message larger than max (%d vs %d)", n, maxWriteRequest))
	}
	plain, err := snappy.Decode(nil, c.body)
	if err != nil {
		return textAnswer(http.StatusBadRequest, err.Error())
	}
	w, err := parseWriteRequest(plain)
	if err != nil {
		a := textAnswer(http.StatusBadRequest, err.Error())
		a.decoded = plain
		return a
	}
	a := p.write(id, w, c)
	a.decoded = plain
	return a
}

// checkWriteHeaders refuses a request that is not remote write 1.0 in the form
// that AMP documents.
func checkWriteHeaders(r *http.Request) *apiError {
	wrong := func(format string, args ...any) *apiError {
		return &apiError{status: http.StatusUnsupportedMediaType, shape: "UnsupportedMediaTypeException", message: fmt.Sprintf(format, args...)}
	}
	if r.Method != http.MethodPost {
		return &apiError{status: http.StatusMethodNotAllowed, shape: "MethodNotAllowedException", message: "Method Not Allowed"}
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-protobuf" || (params["proto"] != "" && params["proto"] != "prometheus.WriteRequest") {
		return wrong("unsupported content type %q", r.Header.Get("Content-Type"))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "snappy" {
		return wrong("unsupported content encoding %q", encoding)
	}
	if version := r.Header.Get("X-Prometheus-Remote-Write-Version"); version != remoteWriteV1Header {
		return wrong("unsupported remote write version %q", version)
	}
	return nil
}

// write stores every sample that it can and then reports the first that it
// could not, as Cortex does.
func (p *Prometheus) write(id string, w *writeRequest, c *call) answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	ws := p.workspaces[id]
	if ws == nil {
		ws = &workspace{series: map[string]*Series{}, metadata: map[string]Metadata{}}
		p.workspaces[id] = ws
	}
	var first error
	stored, seen := 0, 0
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, s := range w.series {
		seen += len(s.samples)
		if err := checkSeries(s); err != nil {
			note(err)
			continue
		}
		for _, v := range s.samples {
			added, err := ws.add(s.labels, v, c.now, p.window)
			note(err)
			if added {
				stored++
			}
		}
	}
	for _, m := range w.metadata {
		ws.metadata[m.Family] = m
	}
	a := answer{status: http.StatusOK, header: http.Header{}}
	if first != nil {
		a = textAnswer(http.StatusBadRequest, "user="+id+": err: "+first.Error())
	}
	a.stored, a.items = stored > 0 || len(w.metadata) > 0, seen
	return a
}

// checkSeries refuses labels that no series can have.
func checkSeries(s timeSeries) error {
	name := ""
	for i, l := range s.labels {
		switch {
		case i > 0 && l.Name == s.labels[i-1].Name:
			return fmt.Errorf("duplicate label name: %q series: %s", l.Name, seriesText(s.labels))
		case i > 0 && l.Name < s.labels[i-1].Name:
			return fmt.Errorf("labels not sorted: %q series: %s", l.Name, seriesText(s.labels))
		case !labelName.MatchString(l.Name):
			return fmt.Errorf("sample invalid label: %q metric %s", l.Name, seriesText(s.labels))
		case len(l.Name) > maxLabelName:
			return fmt.Errorf("label name too long for metric: %s label name: %q", seriesText(s.labels), l.Name)
		case len(l.Value) > maxLabelValue:
			return fmt.Errorf("label value too long for metric: %s label value: %q", seriesText(s.labels), l.Value)
		case l.Value == "" || !utf8.ValidString(l.Value):
			return fmt.Errorf("sample invalid label value: %q metric %s", l.Name, seriesText(s.labels))
		case l.Name == "__name__":
			name = l.Value
		}
	}
	switch {
	case name == "":
		return fmt.Errorf("sample missing metric name")
	case !metricName.MatchString(name):
		return fmt.Errorf("sample invalid metric name: %q", name)
	case len(s.labels) > maxLabels:
		return fmt.Errorf("series has too many labels (actual: %d, limit: %d) series: %s", len(s.labels), maxLabels, seriesText(s.labels))
	case s.others > 0:
		return fmt.Errorf("exemplars and native histograms are not supported here")
	}
	return nil
}

// seriesText writes labels the way Prometheus does.
func seriesText(labels []Label) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range labels {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
	}
	b.WriteByte('}')
	return b.String()
}

// refusal is an error of the gateway in front of AMP: JSON with the shape's
// name in a header.
func (p *Prometheus) refusal(e *apiError) answer { return gatewayRefusal(e) }

func gatewayRefusal(e *apiError) answer {
	h := e.headers()
	h.Set("Content-Type", "application/json")
	h.Set("X-Amzn-Errortype", e.shape)
	return answer{status: e.status, header: h, code: e.shape, body: encodeJSON(map[string]string{"message": e.message})}
}

// textAnswer is an error of Cortex itself: a line of text.
func textAnswer(status int, text string) answer {
	return answer{status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(text + "\n")}
}

func (p *Prometheus) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workspaces = map[string]*workspace{}
}

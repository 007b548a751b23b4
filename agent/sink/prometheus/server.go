// Package prometheus is the HTTP endpoint: /metrics for whoever scrapes,
// /healthz and /readyz for whoever supervises, and the live page for whoever
// looks. It is pulled: it asks for a snapshot when a request comes, and keeps
// nothing between two requests.
package prometheus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/sink/prometheus/webconfig"
)

// Limits of the server. Whoever can reach the port must not be able to hold
// the agent's memory or connections for long.
const (
	// maxScrapes is how many scrapes are answered at once: a pair of
	// Prometheus servers and two people looking. More get status 503.
	maxScrapes = 4
	// requestTimeout is for reading a request, its headers included.
	requestTimeout = 5 * time.Second
	// answerTimeout is Prometheus' default scrape_timeout.
	answerTimeout = 10 * time.Second
	// idleTimeout outlasts Prometheus' default scrape_interval of a minute, so
	// that it keeps its connection.
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
)

// Options configure a Server. Snapshot, Health, Ready and Logger must be set.
type Options struct {
	// Listen is the address to listen on, HOST:PORT.
	Listen string
	// WebConfigFile is the path of a web configuration file of the Prometheus
	// exporter toolkit (TLS, basic auth, headers), or "" for plain HTTP.
	WebConfigFile string
	// Names are the name sets to publish: "native", "node_exporter" and
	// "showmax" in any combination. With none, there are only the agent's own
	// metrics.
	Names []string
	// Snapshot returns the agent's state. It is called once for each scrape,
	// from several goroutines. What it returns is not nil and does not change
	// any more.
	Snapshot func() *metric.Snapshot
	// Page answers what is no other path's: the live page. nil answers with
	// status 404.
	Page http.Handler
	// Health and Ready return nil, or the reason why the agent is not healthy
	// or not ready.
	Health, Ready func() error
	// Version and Revision are those of the agent, for enawatch_build_info.
	Version, Revision string
	Logger            *slog.Logger
}

// Server serves the endpoint.
type Server struct {
	listen, webConfigFile string
	log                   *slog.Logger
	http                  *http.Server
	addr                  net.Addr
	done                  chan struct{} // closed when serving has ended; nil before Start
}

// New checks the options and returns a server that does not listen yet. Errors
// name the key of the configuration that is at fault.
func New(o Options) (*Server, error) {
	g, err := newGatherer(&o)
	if err != nil {
		return nil, err
	}
	// An empty address would mean any port of all addresses.
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return nil, fmt.Errorf("sinks.prometheus.listen: %w; %s", err, listenRemedy(err))
	}
	if err := webconfig.Check(o.WebConfigFile); err != nil {
		return nil, fmt.Errorf("sinks.prometheus.web_config_file: %w; it must be a web configuration file of the Prometheus exporter toolkit", err)
	}
	stopping, stop := context.WithCancel(context.Background())
	s := &Server{
		listen:        o.Listen,
		webConfigFile: o.WebConfigFile,
		log:           o.Logger,
		http: &http.Server{
			Handler:        routes(g, &o),
			BaseContext:    func(net.Listener) context.Context { return stopping },
			ReadTimeout:    requestTimeout,
			WriteTimeout:   answerTimeout,
			IdleTimeout:    idleTimeout,
			MaxHeaderBytes: maxHeaderBytes,
			ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
		},
	}
	s.http.RegisterOnShutdown(stop) // streams end of themselves
	return s, nil
}

// Start listens, then serves until Shutdown. When it returns nil, the port is
// open. An error is compatible with errors.Is of what net.Listen says, as
// syscall.EADDRINUSE. It is called once.
func (s *Server) Start() error {
	l, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("sinks.prometheus.listen: %w; %s", err, listenRemedy(err))
	}
	s.addr = l.Addr()
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		err := webconfig.Serve(l, s.http, s.webConfigFile, s.log)
		l.Close() // Serve leaves it open if the web configuration went bad since New.
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP endpoint stopped; metrics are not served until the agent is restarted", "err", err)
		}
	}()
	return nil
}

func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "stop the program that has the port, or choose another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "choose an address of this host"
	case errors.Is(err, syscall.EACCES):
		return "choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE"
	}
	return "write HOST:PORT, as in 127.0.0.1:9109"
}

// Addr returns the address that the server listens on, after Start.
func (s *Server) Addr() net.Addr { return s.addr }

// Shutdown stops listening and waits for requests that are being answered.
// When ctx ends first, it cuts them off and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("stop the HTTP endpoint: %w; requests were cut off", err)
	}
	if s.done != nil {
		<-s.done
	}
	return err
}

// routes returns the endpoint's handler. Methods other than GET and HEAD get
// status 405.
func routes(g *gatherer, o *Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: maxScrapes,
		// One family that can't be encoded does not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.HandleFunc("GET /healthz", probe(o.Health))
	mux.HandleFunc("GET /readyz", probe(o.Ready))
	if o.Page != nil {
		mux.Handle("GET /", o.Page)
	}
	return safeHeaders(mux)
}

// probe answers "ok", or status 503 and the reason.
func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := check(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, err)
			return
		}
		io.WriteString(w, "ok\n")
	}
}

// policy lets the live page have what this server sends, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// safeHeaders tells browsers to run nothing from elsewhere, and to embed nothing
// of this elsewhere. A header that the web configuration file sets is left as it
// is.
func safeHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		for _, kv := range [...][2]string{
			{"X-Content-Type-Options", "nosniff"},
			{"X-Frame-Options", "deny"},
			{"Content-Security-Policy", policy},
			{"Cross-Origin-Resource-Policy", "same-origin"},
			{"Referrer-Policy", "no-referrer"},
		} {
			if h.Get(kv[0]) == "" {
				h.Set(kv[0], kv[1])
			}
		}
		next.ServeHTTP(w, r)
	})
}

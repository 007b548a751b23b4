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
	"sync/atomic"
	"syscall"
	"time"

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
	endpoint              atomic.Pointer[endpoint]
	listener              net.Listener  // nil before Listen
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
	s := &Server{listen: o.Listen, webConfigFile: o.WebConfigFile, log: o.Logger}
	s.http = &http.Server{
		Handler:        http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.endpoint.Load().ServeHTTP(w, r) }),
		ReadTimeout:    requestTimeout,
		WriteTimeout:   answerTimeout,
		IdleTimeout:    idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn),
	}
	e := &endpoint{routes: routes(g, &o)}
	e.over, e.end = context.WithCancel(context.Background())
	s.endpoint.Store(e)
	s.http.RegisterOnShutdown(func() { s.endpoint.Load().end() })
	return s, nil
}

// endpoint answers requests until it is over: streams end of themselves then.
type endpoint struct {
	routes http.Handler
	over   context.Context
	end    context.CancelFunc
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(e.over, cancel)()
	e.routes.ServeHTTP(w, r.WithContext(ctx))
}

// Become has s answer as next would, from now on, if next has the same address
// and web configuration file: no connection is refused or cut. It reports whether
// it has; next was not started and is to be forgotten then.
func (s *Server) Become(next *Server) bool {
	if !s.same(next) {
		return false
	}
	s.endpoint.Swap(next.endpoint.Load()).end()
	return true
}

func (s *Server) same(o *Server) bool {
	return s.listen == o.listen && s.webConfigFile == o.webConfigFile
}

// Listen opens the port. Where old is not nil and has the same address, it shares
// old's port, which stays open whichever of the two is shut down; where old can
// Become s, it opens nothing. An error is compatible with errors.Is of what
// net.Listen says, as syscall.EADDRINUSE. It is called once, before Start.
func (s *Server) Listen(old *Server) error {
	var err error
	switch {
	case old == nil || old.listen != s.listen:
		s.listener, err = net.Listen("tcp", s.listen)
	case !old.same(s):
		s.listener, err = share(old.listener)
	}
	if err != nil {
		return fmt.Errorf("sinks.prometheus.listen: %w; %s", err, listenRemedy(err))
	}
	return nil
}

// share returns another listener on the same socket.
func share(l net.Listener) (net.Listener, error) {
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// Start serves until Shutdown. It is called once.
func (s *Server) Start() {
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		err := webconfig.Serve(s.listener, s.http, s.webConfigFile, s.log)
		s.listener.Close() // Serve leaves it open if the web configuration went bad since New.
		if !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the HTTP endpoint stopped; metrics are not served until the agent is restarted", "err", err)
		}
	}()
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

// Addr returns the address that the server listens on, after Listen.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Shutdown stops listening and waits for requests that are being answered.
// When ctx ends first, it cuts them off and returns the context's error. A server
// that was not started is only closed.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("stop the HTTP endpoint: %w; requests were cut off", err)
	}
	switch {
	case s.done != nil:
		<-s.done
	case s.listener != nil:
		s.listener.Close()
	}
	return err
}

// routes returns the endpoint's handler. Methods other than GET and HEAD get
// status 405.
func routes(g *gatherer, o *Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", g.serve)
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

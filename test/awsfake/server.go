package awsfake

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxBody bounds how much of a request is read, above every limit of the
// services, so that they get to refuse what is too large in their own words.
const maxBody = 32 << 20

// Options configure a Server. The zero value is a usable account.
type Options struct {
	// Now is the clock of AWS; time.Now if nil.
	Now func() time.Time
	// Region is the only region that requests may be signed for; "us-east-1"
	// if empty.
	Region string
	// Account is the twelve-digit account id; "123456789012" if empty.
	Account string
	// Credentials are the access keys that exist from the start;
	// DefaultCredential if there are none.
	Credentials []Credential
	// Roles can be assumed through STS.
	Roles []Role
	// Instance is what the metadata service describes. It can be changed later
	// through Server.IMDS.
	Instance Instance
	// Container configures the container credential endpoint; without a role
	// it answers 404.
	Container Container
	// Workspaces are the ids of the Prometheus workspaces that exist. Any id
	// does if there are none.
	Workspaces []string
	// OutOfOrderWindow is how much older than the newest sample of its
	// workspace a sample may be: 60 s if zero (what AMP starts with), none if
	// negative.
	OutOfOrderWindow time.Duration
	// Seed makes faults that are drawn at random repeatable.
	Seed uint64
	// TLS serves HTTPS, with a certificate of Server.CA.
	TLS bool
}

// Server is the stand-in. Its fields are the services, each with questions of
// its own, and what they have in common. All are safe for concurrent use.
type Server struct {
	Keys       *Keyring
	Faults     *Faults
	Journal    *Journal
	CloudWatch *CloudWatch
	Logs       *Logs
	Prometheus *Prometheus
	OTLP       *OTLP
	IMDS       *IMDS
	STS        *STS
	Container  *ContainerCredentials
	// CA signed the certificate that the server presents; nil without TLS.
	CA *CA

	region   string
	services []service

	clock struct {
		sync.Mutex
		now  func() time.Time
		skew time.Duration
	}
	gate   *gate
	http   *http.Server
	closed chan struct{}
	close  sync.Once
}

// Unknown is the service, in the journal, of requests that no service is for.
const Unknown = "unknown"

// service is one AWS API.
type service interface {
	// name is what rules and the journal call it.
	name() string
	// operation says what a request asks of the service, and whether it is
	// for this service at all.
	operation(r *http.Request, body []byte) (string, bool)
	// scope is the service name in the credential scope of a signature, or ""
	// for an operation that is not signed.
	scope(operation string) string
	// serve carries an operation out.
	serve(c *call) answer
	// refusal spells an error the way the service does.
	refusal(e *apiError) answer
}

// call is one request on its way through a service.
type call struct {
	r         *http.Request
	body      []byte
	operation string
	// now is the server's time for this request, skew included.
	now time.Time
	// key signed the request; nil if the operation is not signed.
	key *Credential
	// record is this request's line in the journal.
	record *Request
}

// answer is a whole HTTP response before it is sent.
type answer struct {
	status int
	header http.Header
	body   []byte
	// code is the error code, or "".
	code string
	// stored says that the request changed what the server holds.
	stored bool
	// items counts what the request brought, for the journal.
	items int
	// decoded is the body of the request after decompression, or nil if it was
	// not compressed.
	decoded []byte
}

// New returns a server that is a plain http.Handler. It listens nowhere until
// Listen is called; without a listener, faults that reset a connection end
// the request by panicking with http.ErrAbortHandler.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Account == "" {
		o.Account = "123456789012"
	}
	if len(o.Credentials) == 0 {
		o.Credentials = []Credential{DefaultCredential}
	}
	s := &Server{
		Keys:       newKeyring(o.Credentials),
		Faults:     newFaults(o.Seed),
		Journal:    &Journal{},
		CloudWatch: newCloudWatch(o.Region, o.Account),
		Logs:       newLogs(o.Region, o.Account),
		Prometheus: newPrometheus(o.Workspaces, o.OutOfOrderWindow),
		OTLP:       &OTLP{},
		region:     o.Region,
		closed:     make(chan struct{}),
	}
	s.IMDS = newIMDS(o.Instance, o.Region, o.Account, s.Keys)
	s.STS = newSTS(o.Roles, o.Account, s.Keys)
	s.Container = newContainerCredentials(o.Container, o.Account, s.Keys)
	s.services = []service{s.CloudWatch, s.Logs, s.Prometheus, s.OTLP, s.IMDS, s.STS, s.Container}
	s.clock.now = o.Now
	if o.TLS {
		ca, err := newCA(o.Region)
		if err != nil {
			return nil, err
		}
		s.CA = ca
	}
	return s, nil
}

// Start returns a server that listens on a loopback port of the kernel's
// choice.
func Start(o Options) (*Server, error) {
	s, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	return s, nil
}

// Listen starts serving on address, which must not be in use.
func (s *Server) Listen(address string) error {
	g, err := newGate(address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	s.gate = g
	var l net.Listener = g
	if s.CA != nil {
		l = tls.NewListener(g, s.CA.serverConfig())
	}
	// AWS offers these APIs over HTTP/1.1, and resetting a connection in the
	// middle of an answer needs it.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	s.http = &http.Server{
		Handler:   s,
		Protocols: &protocols,
		// Clients that hang up are what this server is for.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go s.http.Serve(l)
	return nil
}

// Addr returns the host and port that the server listens on. It needs Listen.
func (s *Server) Addr() string { return s.gate.Addr().String() }

// URL returns the endpoint of every service, without a trailing slash. It needs
// Listen.
func (s *Server) URL() string {
	if s.CA != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}

// Close stops listening and ends every connection, also those that hang.
func (s *Server) Close() error {
	s.close.Do(func() { close(s.closed) })
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	// The HTTP server knows of the listener only once it has begun to serve.
	s.gate.Close()
	return err
}

// Refuse closes the listener and every connection for d, after which the
// server listens on the same port again.
func (s *Server) Refuse(d time.Duration) { s.gate.shut(d) }

// Now returns the server's time.
func (s *Server) Now() time.Time {
	s.clock.Lock()
	defer s.clock.Unlock()
	return s.clock.now().Add(s.clock.skew)
}

// SetSkew makes the server's clock differ from the one in Options by d.
func (s *Server) SetSkew(d time.Duration) {
	s.clock.Lock()
	defer s.clock.Unlock()
	s.clock.skew = d
}

// Reset forgets what the services stored, the journal and all faults. Access
// keys, roles and the instance stay.
func (s *Server) Reset() {
	s.Faults.Clear()
	s.Journal.reset()
	s.CloudWatch.reset()
	s.Logs.reset()
	s.Prometheus.reset()
	s.OTLP.reset()
}

// ServeHTTP answers a request to any of the services, or to /_fake/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isControl(r) {
		s.ServeControl(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		// The client left in the middle of its own request.
		panic(http.ErrAbortHandler)
	}
	svc, operation := s.route(r, body)
	if svc == nil {
		c := &call{r: r, body: body, operation: r.Method + " " + r.URL.Path, now: s.Now()}
		s.Journal.answered(s.Journal.open(Unknown, c), http.StatusNotFound, "", true)
		http.Error(w, "awsfake: no service has "+r.Method+" "+r.URL.Path, http.StatusNotFound)
		return
	}
	c := &call{r: r, body: body, operation: operation, now: s.Now()}
	c.record = s.Journal.open(svc.name(), c)
	f := s.Faults.next(c.record)
	if f == nil {
		s.send(w, c, s.perform(svc, c))
		return
	}
	s.Journal.faulted(c.record, f)
	s.fail(w, svc, c, f)
}

// route finds the service that a request is for.
func (s *Server) route(r *http.Request, body []byte) (service, string) {
	for _, svc := range s.services {
		if operation, ok := svc.operation(r, body); ok {
			return svc, operation
		}
	}
	return nil, ""
}

// perform authenticates a request and has the service carry it out.
func (s *Server) perform(svc service, c *call) answer {
	var a answer
	if scope := svc.scope(c.operation); scope != "" {
		key, e := s.verify(c, scope)
		if e != nil {
			a = svc.refusal(e)
			s.Journal.performed(c.record, a)
			return a
		}
		c.key = key
		s.Journal.signedBy(c.record, key)
	}
	a = svc.serve(c)
	s.Journal.performed(c.record, a)
	return a
}

// send writes the whole answer and notes whether the client could be told.
func (s *Server) send(w http.ResponseWriter, c *call, a answer) {
	h := w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	h.Set("Date", c.now.UTC().Format(http.TimeFormat))
	h.Set("X-Amzn-Requestid", requestID(c.record.Seq))
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	// Noted before it is true, so that whoever has the answer finds it noted.
	s.Journal.answered(c.record, a.status, a.code, true)
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	if err != nil {
		s.Journal.answered(c.record, a.status, a.code, false)
	}
}

// requestID looks like one of AWS and is unique in this server.
func requestID(seq int) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", seq)
}

// wait blocks for d, and returns false if the client or the server is gone
// before.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

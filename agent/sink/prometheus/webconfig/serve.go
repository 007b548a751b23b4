package webconfig

import (
	"crypto/sha256"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/time/rate"
)

// Serve serves l with s, under the web configuration file at path unless that
// is "". The file is read again for each request, and the certificates for each
// connection, so that a change takes effect at once; only whether there is TLS,
// and the rate limit, are settled at the start. It returns what s.Serve does,
// or why the configuration can't be used.
func Serve(l net.Listener, s *http.Server, path string, log *slog.Logger) error {
	if path == "" {
		return s.Serve(l)
	}
	f, err := read(path)
	if err != nil {
		return err
	}
	c, err := f.TLS.config()
	if err != nil {
		return err
	}
	g := &guard{path: path, next: s.Handler, log: log, known: map[[sha256.Size]byte]bool{}}
	if f.Rate.Interval > 0 {
		g.rate = rate.NewLimiter(rate.Every(f.Rate.Interval), f.Rate.Burst)
	}
	s.Handler = g
	if c == nil {
		return s.Serve(l)
	}
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		f, err := read(path)
		if err != nil {
			return nil, err
		}
		return f.TLS.config()
	}
	s.TLSConfig = c
	s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	return s.ServeTLS(l, "", "")
}

// guard lets requests through that have the right password.
type guard struct {
	path string
	next http.Handler
	log  *slog.Logger
	rate *rate.Limiter // nil is without limit

	// checking lets one comparison of passwords run at a time, because each
	// takes a processor for up to a second, and guards known: what comparisons
	// came to.
	checking sync.Mutex
	known    map[[sha256.Size]byte]bool
}

// maxKnown bounds what is remembered of passwords.
const maxKnown = 100

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, err := read(g.path)
	if err != nil {
		g.log.Error("the web configuration file can't be used; requests are refused until it can", "err", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	if g.rate != nil && !g.rate.Allow() {
		http.Error(w, http.StatusText(http.StatusTooManyRequests), http.StatusTooManyRequests)
		return
	}
	for name, value := range f.HTTP.Headers {
		w.Header().Set(name, value)
	}
	if len(f.Users) > 0 && !g.allowed(f.Users, r) {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		return
	}
	g.next.ServeHTTP(w, r)
}

// nobody is the hash that the password of an unknown user is compared with, so
// that the time of an answer does not tell who is known.
const nobody = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

func (g *guard) allowed(users map[string]string, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	hash, exists := users[user]
	if !exists {
		hash = nobody
	}
	sum := sha256.New()
	for _, s := range []string{user, hash, password} {
		part := sha256.Sum256([]byte(s))
		sum.Write(part[:])
	}
	key := [sha256.Size]byte(sum.Sum(nil))
	g.checking.Lock()
	defer g.checking.Unlock()
	right, known := g.known[key]
	if !known {
		right = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
		if len(g.known) >= maxKnown {
			clear(g.known)
		}
		g.known[key] = right
	}
	return right && exists
}

package awsfake

import (
	"errors"
	"net/http"
	"net/http/httptest"
)

// Direct is an HTTP client whose requests the stand-in answers without a network,
// which simulated time could not pass, and refuses while it is not up.
type Direct struct {
	Server  *Server
	Up      func() bool
	Refused int // requests
}

// Do answers a request.
func (d *Direct) Do(r *http.Request) (*http.Response, error) {
	if !d.Up() {
		d.Refused++
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	if r.Host == "" {
		r.Host = r.URL.Host
	}
	d.Server.ServeHTTP(w, r)
	return w.Result(), nil
}

package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// serviceAccount is where the kubelet puts a pod's credentials.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// callLimit is how long a request may take.
	callLimit = 5 * time.Second
	// maxBody bounds an answer and a credential, in bytes.
	maxBody = 256 << 10
)

// client makes requests to the API server of the cluster that this pod runs in.
// The token and the certificate authority are read anew for each: the kubelet
// renews them, and requests are rare.
type client struct {
	base, dir string
	ca        []byte // that http trusts
	http      *http.Client
}

// inCluster finds the API server as client-go's rest.InClusterConfig does.
func inCluster(dir string) (*client, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("sinks.kubernetes: this is no pod, as KUBERNETES_SERVICE_HOST is not set: remove the key")
	}
	if _, err := os.Stat(filepath.Join(dir, "token")); err != nil {
		return nil, fmt.Errorf("sinks.kubernetes: the pod has no service account token: set automountServiceAccountToken: %w", err)
	}
	return &client{base: "https://" + net.JoinHostPort(host, port), dir: dir}, nil
}

// answerError is an answer that is no success.
type answerError struct {
	status int
	after  time.Duration // that the server asks to wait
	text   string
}

func (e *answerError) Error() string { return e.text }

// hopeless answers would be the same again.
func (e *answerError) hopeless() bool {
	return e.status == http.StatusBadRequest || e.status == http.StatusUnprocessableEntity || e.status == http.StatusMethodNotAllowed ||
		e.status == http.StatusRequestEntityTooLarge || e.status == http.StatusUnsupportedMediaType
}

// gone says that what was to be changed is not there.
func (e *answerError) gone() bool { return e.status == http.StatusNotFound }

// denied answers change only when someone changes the cluster.
func (e *answerError) denied() bool { return e.status == http.StatusForbidden }

func exists(err error) bool {
	var a *answerError
	return errors.As(err, &a) && a.status == http.StatusConflict
}

// do makes a request. The error is compatible with errors.As(err, **answerError)
// if there was an answer.
func (c *client) do(ctx context.Context, method, path, contentType string, body any) error {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	what := method + " " + path
	token, err := c.credentials()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "enawatch")
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return refusal(what, resp, answer)
}

// refusal explains an answer.
func refusal(what string, resp *http.Response, body []byte) error {
	var status struct{ Message string }
	_ = json.Unmarshal(body, &status) // or what is between says no more than the code
	e := &answerError{status: resp.StatusCode, text: fmt.Sprintf("%s: HTTP %d", what, resp.StatusCode)}
	if status.Message != "" {
		e.text += fmt.Sprintf(" %.300q", status.Message)
	}
	switch resp.StatusCode {
	case http.StatusForbidden:
		e.text += ": grant what docs/eks.md lists"
	case http.StatusUnauthorized:
		e.text += ": the token is read anew for the next request"
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		e.after = time.Duration(min(s, 3600)) * time.Second
	}
	return e
}

// credentials reads the token, and makes another HTTP client if the certificate
// authority changed.
func (c *client) credentials() (token string, err error) {
	ca, err := readFile(filepath.Join(c.dir, "ca.crt"))
	if err != nil {
		return "", err
	}
	if c.http == nil || !bytes.Equal(ca, c.ca) {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(ca) {
			return "", fmt.Errorf("%s/ca.crt has no certificate", c.dir)
		}
		if c.http != nil {
			c.http.CloseIdleConnections()
		}
		c.ca = ca
		c.http = &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{ // no proxy: the server is in the cluster
				TLSClientConfig: &tls.Config{RootCAs: pool}, MaxResponseHeaderBytes: maxBody, IdleConnTimeout: 30 * time.Second,
			},
		}
	}
	text, err := readFile(filepath.Join(c.dir, "token"))
	if err != nil {
		return "", err
	}
	token = strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%s/token holds no token", c.dir)
	}
	return token, nil
}

// readFile reads a small file.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBody))
}

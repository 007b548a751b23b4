// Package webconfig switches on TLS, client certificates, basic authentication
// and headers of an HTTP server, by the web configuration file that Prometheus
// and its exporters take (prometheus/exporter-toolkit, docs/web-configuration.md).
//
// The toolkit itself is not used because it brings html/template along, which
// keeps the linker from leaving out any method of any type: a third of the
// program.
package webconfig

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// maxFile bounds a web configuration file, in bytes.
const maxFile = 1 << 20

// file is a web configuration as it is written. HTTP/2 is never offered: http2
// is read, and changes nothing, as does prefer_server_cipher_suites.
type file struct {
	TLS  tlsServer `yaml:"tls_server_config"`
	HTTP struct {
		HTTP2   bool              `yaml:"http2"`
		Headers map[string]string `yaml:"headers"`
	} `yaml:"http_server_config"`
	Rate struct {
		Burst    int           `yaml:"burst"`
		Interval time.Duration `yaml:"interval"`
	} `yaml:"rate_limit"`
	Users map[string]string `yaml:"basic_auth_users"`
}

// Check reads the file at path, and the files that it names, and says what is
// wrong with them. A path of "" is right. Errors hold no secrets.
func Check(path string) error {
	if path == "" {
		return nil
	}
	f, err := read(path)
	if err != nil {
		return err
	}
	_, err = f.TLS.config()
	return err
}

func read(path string) (*file, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	content, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	f, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	f.TLS.in(filepath.Dir(path))
	return f, nil
}

func parse(content []byte) (*file, error) {
	f := &file{TLS: tlsServer{Min: tls.VersionTLS12, Max: tls.VersionTLS13}}
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(f); err != nil && !errors.Is(err, io.EOF) {
		return nil, oneLine(err)
	}
	for user, hash := range f.Users {
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("basic_auth_users: the password of %q is no bcrypt hash; make one with htpasswd -nBC 10 \"\"", user)
		}
	}
	if f.Rate.Interval < 0 || f.Rate.Burst < 0 {
		return nil, errors.New("rate_limit: interval and burst can't be negative")
	}
	return f, checkHeaders(f.HTTP.Headers)
}

// oneLine returns an error of the YAML parser, which has a line for each
// mistake, in one, without what stood in the file: it may be a password.
func oneLine(err error) error {
	if e, ok := errors.AsType[*yaml.TypeError](err); ok {
		mistakes := slices.Clone(e.Errors)
		for i, m := range mistakes {
			if place, _, ok := strings.Cut(m, ": cannot unmarshal"); ok {
				mistakes[i] = place + ": not of the type that belongs here"
			}
		}
		return errors.New(strings.Join(mistakes, "; "))
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// headers are those that may be set, with their values if only some are right.
var headers = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny", "sameorigin"},
	"X-XSS-Protection":          nil,
	"Content-Security-Policy":   nil,
}

func checkHeaders(set map[string]string) error {
	for name, value := range set {
		values, ok := headers[name]
		switch {
		case !ok:
			return fmt.Errorf("http_server_config.headers: %q can't be set", name)
		case values != nil && !slices.Contains(values, value):
			return fmt.Errorf("http_server_config.headers: %s takes %s", name, strings.Join(values, " or "))
		}
	}
	return nil
}

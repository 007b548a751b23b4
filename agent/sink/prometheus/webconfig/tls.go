package webconfig

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// tlsServer is the group tls_server_config. Certificates, keys and authorities
// are files, or stand in the configuration itself.
type tlsServer struct {
	CertFile     string   `yaml:"cert_file"`
	KeyFile      string   `yaml:"key_file"`
	ClientCAFile string   `yaml:"client_ca_file"`
	Cert         string   `yaml:"cert"`
	Key          string   `yaml:"key"`
	ClientCA     string   `yaml:"client_ca"`
	ClientAuth   string   `yaml:"client_auth_type"`
	AllowedSANs  []string `yaml:"client_allowed_sans"`
	Ciphers      []cipher `yaml:"cipher_suites"`
	Curves       []curve  `yaml:"curve_preferences"`
	Min          version  `yaml:"min_version"`
	Max          version  `yaml:"max_version"`
	PreferServer bool     `yaml:"prefer_server_cipher_suites"`
}

// in makes relative paths those of files in dir.
func (t *tlsServer) in(dir string) {
	for _, path := range []*string{&t.CertFile, &t.KeyFile, &t.ClientCAFile} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
}

// clientAuth is what client_auth_type can be. RequireClientCert is an older name.
var clientAuth = map[string]tls.ClientAuthType{
	"":                           tls.NoClientCert,
	"NoClientCert":               tls.NoClientCert,
	"RequestClientCert":          tls.RequestClientCert,
	"RequireAnyClientCert":       tls.RequireAnyClientCert,
	"RequireClientCert":          tls.RequireAnyClientCert,
	"VerifyClientCertIfGiven":    tls.VerifyClientCertIfGiven,
	"RequireAndVerifyClientCert": tls.RequireAndVerifyClientCert,
}

// config returns what the group asks for, or nil if it asks for no TLS. Files
// are read now.
func (t *tlsServer) config() (*tls.Config, error) {
	if cmp.Or(t.CertFile, t.Cert, t.KeyFile, t.Key, t.ClientCAFile, t.ClientCA, t.ClientAuth) == "" {
		return nil, nil
	}
	cert, err := t.pair()
	if err != nil {
		return nil, fmt.Errorf("tls_server_config: %w", err)
	}
	auth, ok := clientAuth[t.ClientAuth]
	if !ok {
		return nil, fmt.Errorf("tls_server_config.client_auth_type: %q is not known", t.ClientAuth)
	}
	c := &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientAuth: auth, NextProtos: []string{"http/1.1"},
		MinVersion: uint16(t.Min), MaxVersion: uint16(t.Max),
	}
	for _, id := range t.Ciphers {
		c.CipherSuites = append(c.CipherSuites, uint16(id))
	}
	for _, id := range t.Curves {
		c.CurvePreferences = append(c.CurvePreferences, tls.CurveID(id))
	}
	if t.AllowedSANs != nil {
		c.VerifyConnection = t.verify
	}
	return c, t.addAuthorities(c)
}

func (t *tlsServer) pair() (tls.Certificate, error) {
	cert, err := material("cert", t.CertFile, t.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := material("key", t.KeyFile, t.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// material returns what a file holds, or the text in its place.
func material(name, path, text string) ([]byte, error) {
	switch {
	case path != "":
		return os.ReadFile(path)
	case text != "":
		return []byte(text), nil
	}
	return nil, fmt.Errorf("%s_file or %[1]s is missing", name)
}

func (t *tlsServer) addAuthorities(c *tls.Config) error {
	if t.ClientCAFile == "" && t.ClientCA == "" {
		return nil
	}
	if c.ClientAuth == tls.NoClientCert {
		return errors.New("tls_server_config: client_ca_file asks for client certificates, client_auth_type for none: set it to RequireAndVerifyClientCert")
	}
	pem, err := material("client_ca", t.ClientCAFile, t.ClientCA)
	if err != nil {
		return fmt.Errorf("tls_server_config: %w", err)
	}
	c.ClientCAs = x509.NewCertPool()
	if !c.ClientCAs.AppendCertsFromPEM(pem) {
		return errors.New("tls_server_config: client_ca_file holds no certificate")
	}
	return nil
}

// verify refuses a client whose certificate has no name that is allowed.
func (t *tlsServer) verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the client has no certificate")
	}
	cert := s.PeerCertificates[0]
	names := slices.Concat(cert.DNSNames, cert.EmailAddresses)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range cert.URIs {
		names = append(names, uri.String())
	}
	for _, name := range names {
		if slices.Contains(t.AllowedSANs, name) {
			return nil
		}
	}
	return errors.New("the client's certificate has no name of client_allowed_sans")
}

// Names of the configuration for numbers of TLS.
type (
	cipher  uint16
	curve   tls.CurveID
	version uint16
)

func (c *cipher) UnmarshalYAML(n *yaml.Node) error {
	for _, suite := range tls.CipherSuites() {
		if suite.Name == n.Value {
			*c = cipher(suite.ID)
			return nil
		}
	}
	return fmt.Errorf("line %d: %q is no cipher suite", n.Line, n.Value)
}

func (c *curve) UnmarshalYAML(n *yaml.Node) error {
	id, ok := map[string]tls.CurveID{
		"CurveP256": tls.CurveP256, "CurveP384": tls.CurveP384, "CurveP521": tls.CurveP521, "X25519": tls.X25519,
	}[n.Value]
	if !ok {
		return fmt.Errorf("line %d: %q is no curve", n.Line, n.Value)
	}
	*c = curve(id)
	return nil
}

func (v *version) UnmarshalYAML(n *yaml.Node) error {
	number, ok := map[string]uint16{
		"TLS10": tls.VersionTLS10, "TLS11": tls.VersionTLS11, "TLS12": tls.VersionTLS12, "TLS13": tls.VersionTLS13,
	}[n.Value]
	if !ok {
		return fmt.Errorf("line %d: %q is no version of TLS", n.Line, n.Value)
	}
	*v = version(number)
	return nil
}

package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/pattern"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
	"github.com/enawatch/enawatch/agent/sink/prometheus"
)

// Auth says how the agent proves who it is.
type Auth string

const (
	// NoAuth sends no credentials but, where Options name one, a certificate.
	NoAuth Auth = "none"
	SigV4  Auth = "sigv4"
	Basic  Auth = "basic"
	Bearer Auth = "bearer"
)

// Version is that of the protocol.
type Version uint8

const (
	// Auto is 2.0 while the receiver does not show that it takes only 1.0.
	Auto Version = iota
	V1
	V2
)

func (v Version) number() float64 {
	if v == V1 {
		return 1
	}
	return 2
}

// Options configure a Sink. URL, Names and Interval are required.
type Options struct {
	// URL is where requests go, as https://HOST/api/v1/write.
	URL string
	// Auth is SigV4 for AMP's own hosts and NoAuth for others, if it is empty.
	Auth Auth
	// Region is AMP's; if empty, that in URL, then the SDK's, then FindRegion's.
	Region     string
	FindRegion func(context.Context) (string, error)
	// RoleARN is a role to assume, and ExternalID goes with it.
	RoleARN, ExternalID string
	// Credentials replace the SDK's credential chain; DisableIMDS keeps it from
	// the instance metadata service.
	Credentials aws.CredentialsProvider
	DisableIMDS bool
	// User and Password are for Basic, Token is for Bearer. The files, if they
	// are named, hold a password and token instead, and are read each time.
	User, Password, PasswordFile string
	Token, TokenFile             string
	// CAFile is a PEM file of authorities to trust besides the system's;
	// CertFile and KeyFile are the certificate to show and its key.
	CAFile, CertFile, KeyFile string
	// Headers are sent besides, as X-Scope-OrgID.
	Headers map[string]string
	Version Version

	// Names are the name sets, as of [prometheus.Options].
	Names []string
	// Want reports whether a stat of the driver is sent; nil means all.
	Want func(stat string) bool
	// Self sends all that the agent says of itself.
	Self bool
	// ExternalLabels are set on every series.
	ExternalLabels map[string]string
	// Host returns what is known of the host by now; nil if nothing ever is.
	Host func() Host
	// MaxAge is how old a sample may be: the receiver's out-of-order window. 60 s
	// if 0.
	MaxAge time.Duration
	// Timeout bounds each HTTP request, 20 s if 0.
	Timeout                   time.Duration
	Simulated                 bool
	AgentVersion, AgentCommit string
	// Now is the wall clock, time.Now if nil.
	Now func() time.Time
}

// Host holds facts for labels. A field is "" while unknown.
type Host struct {
	Cluster, Node, Zone string
}

const defaultMaxAge = time.Minute

// errSimulated refuses to mix invented numbers with measured ones.
var errSimulated = errors.New("remote_write sink: a simulation is never pushed: remove the remote_write sink, or do not simulate")

// ampHost is that of a workspace, with its region.
var ampHost = pattern.New(`^aps-workspaces(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|api\.aws)$`)

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("url: give a URL as https://HOST/api/v1/write")
	case u.User != nil:
		return errors.New("url: it holds a password, which would be logged: give it as username and password_file")
	}
	if amp := ampHost().FindStringSubmatch(u.Hostname()); amp != nil {
		if o.Auth == "" {
			o.Auth = SigV4
		}
		if o.Region == "" {
			o.Region = amp[1]
		}
		if o.Version == Auto {
			o.Version = V1
		}
	}
	if o.Auth == "" {
		o.Auth = NoAuth
	}
	if o.MaxAge == 0 {
		o.MaxAge = defaultMaxAge
	}
	if o.Timeout == 0 {
		o.Timeout = awsclient.DefaultTimeout
	}
	if o.Want == nil {
		o.Want = func(string) bool { return true }
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{} }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o.check()
}

// check refuses what the configuration's own rules do not know of.
func (o *Options) check() error {
	for name := range o.Headers {
		if reserved[http.CanonicalHeaderKey(name)] {
			return fmt.Errorf("headers: %s is the sink's own: remove it", name)
		}
	}
	return nil
}

// reserved are the headers that the sink sets.
var reserved = map[string]bool{
	"Authorization": true, "Content-Encoding": true, "Content-Type": true, "Content-Length": true, "Host": true, "User-Agent": true,
	"X-Prometheus-Remote-Write-Version": true, "X-Amz-Date": true, "X-Amz-Security-Token": true, "X-Amz-Content-Sha256": true,
}

// families returns what makes families of a snapshot.
func (o *Options) families() (func(*metric.Snapshot) []*prometheus.Family, error) {
	return prometheus.Families(o.Names, o.AgentVersion, o.AgentCommit)
}

// account returns what package awsclient is to know.
func (o *Options) account() awsclient.Options {
	return awsclient.Options{
		Sink: "remote_write", Service: "Amazon Managed Prometheus", Region: o.Region, FindRegion: o.FindRegion,
		RoleARN: o.RoleARN, ExternalID: o.ExternalID, CAFile: o.CAFile, Timeout: o.Timeout,
		DisableIMDS: o.DisableIMDS, Credentials: o.Credentials,
	}
}

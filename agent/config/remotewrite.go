package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/enawatch/enawatch/agent/pattern"
)

// RemoteWrite configures the sink of Prometheus remote write.
type RemoteWrite struct {
	URL             string            `yaml:"url" check:"push url" doc:"Where to push, as https://aps-workspaces.REGION.amazonaws.com/workspaces/ID/api/v1/remote_write or https://HOST/api/v1/write."`
	Interval        time.Duration     `yaml:"interval" default:"15s" min:"1s" max:"5m" doc:"Time between the samples of a series."`
	MaxAge          time.Duration     `yaml:"max_age" default:"60s" min:"5s" max:"10m" doc:"Samples that are older than this are given up and counted: the receiver's out-of-order window, which in Amazon Managed Prometheus is 60 s and can be set up to 10 min."`
	Names           []string          `yaml:"names" default:"showmax" required:"true" oneof:"native node_exporter showmax" doc:"Names under which stats are sent, several at once: those of Showmax's exporter (node_net_ethtool), those of node_exporter (node_ethtool_*), enawatch's own."`
	Include         []string          `yaml:"include" default:"*" required:"true" check:"glob" doc:"Globs of the driver's stats to send, such as *_allowance_*."`
	Exclude         []string          `yaml:"exclude" default:"queue_*" check:"glob" doc:"Globs of stats not to send, though included."`
	Self            bool              `yaml:"self" default:"false" doc:"Send what the agent says of itself too: about 60 series."`
	ExternalLabels  map[string]string `yaml:"external_labels" max:"30" check:"external label" doc:"Labels of every series, besides instance, instance_id, availability_zone, cluster, node and eni, which they override."`
	Auth            string            `yaml:"auth" default:"auto" required:"true" oneof:"auto none sigv4 basic bearer" doc:"How the agent proves who it is. auto is sigv4 for hosts of Amazon Managed Prometheus, none for others."`
	Region          string            `yaml:"region" check:"label" doc:"With sigv4, the region of the workspace. Empty: that in url, AWS_REGION, or the region that this host is in."`
	RoleARN         string            `yaml:"role_arn" check:"label" doc:"With sigv4, a role to assume, as of the account that has the workspace."`
	ExternalID      string            `yaml:"external_id" check:"label" doc:"External id that the role asks for."`
	Username        string            `yaml:"username" doc:"With basic, the name of the user."`
	Password        string            `yaml:"password" secret:"true" doc:"With basic, the password. Rather use password_file."`
	PasswordFile    string            `yaml:"password_file" doc:"With basic, a file that holds the password; it is read for each request."`
	BearerToken     string            `yaml:"bearer_token" secret:"true" doc:"With bearer, the token. Rather use bearer_token_file."`
	BearerTokenFile string            `yaml:"bearer_token_file" doc:"With bearer, a file that holds the token; it is read for each request."`
	CAFile          string            `yaml:"ca_file" doc:"PEM file of the certificate authorities to trust besides the system's."`
	CertFile        string            `yaml:"cert_file" doc:"PEM file of the certificate to show to the receiver."`
	KeyFile         string            `yaml:"key_file" doc:"PEM file of its key."`
	Headers         map[string]string `yaml:"headers" max:"20" secret:"true" check:"header" doc:"Headers to send besides, such as X-Scope-OrgID, which names the tenant of Cortex and Mimir."`
	Protocol        string            `yaml:"protocol" default:"auto" required:"true" oneof:"auto 1.0 2.0" doc:"Version of remote write. auto asks for 2.0 and falls back to 1.0, which Amazon Managed Prometheus always gets."`
}

// Match reports whether a stat of the driver is to be sent.
func (w *RemoteWrite) Match(stat string) bool {
	return matches(w.Include, stat) && !matches(w.Exclude, stat)
}

// ToAMP reports whether samples go to Amazon Managed Prometheus.
func (w *RemoteWrite) ToAMP() bool {
	return w.Auth == "sigv4" || w.Auth == "auto" && strings.Contains(w.URL, "://aps-workspaces")
}

// checkPushURL never repeats the URL, which may hold a password.
func checkPushURL(_, text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("is no URL: write one such as https://HOST/api/v1/write")
	case u.User != nil:
		return errors.New("holds a password: write it as username and password_file")
	}
	return nil
}

var labelName = pattern.New(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func checkExternalLabel(name, text string) error {
	switch {
	case !labelName().MatchString(name) || strings.HasPrefix(name, "__"):
		return fmt.Errorf("%s is no name of a label: write letters, digits and underscores, with no digit and no two underscores in front", quote(name))
	case text == "" || len(text) > 1024:
		return fmt.Errorf("the value of %s must have 1 to 1024 bytes", quote(name))
	}
	return nil
}

// checkRemoteWrite refuses what no single key shows.
func (l *loader) checkRemoteWrite() {
	const path = "sinks.remote_write"
	c := l.config.Sinks.RemoteWrite
	if c == nil || l.faulty(path) || l.faulty("sample_interval") {
		return
	}
	fault := func(key, text string) {
		at, ok := l.set[path+"."+key]
		if !ok {
			at = l.set[path]
		}
		l.fault(at, path+"."+key, "%s", text)
	}
	for _, only := range []struct{ auth, key, value string }{
		{"basic", "username", c.Username}, {"basic", "password", c.Password}, {"basic", "password_file", c.PasswordFile},
		{"bearer", "bearer_token", c.BearerToken}, {"bearer", "bearer_token_file", c.BearerTokenFile},
	} {
		if only.value != "" && c.Auth != only.auth {
			fault(only.key, fmt.Sprintf("is only for auth: %s, and that is %s: change auth, or remove this", only.auth, c.Auth))
		}
	}
	for name := range c.Headers {
		if strings.EqualFold(name, "Authorization") {
			fault("headers", "has Authorization: write username, password_file or bearer_token_file instead")
		}
	}
	switch {
	case c.URL == "":
		fault("url", "is empty: write where to push, such as https://HOST/api/v1/write")
	case c.Interval < l.config.SampleInterval:
		fault("interval", fmt.Sprintf("%s is shorter than sample_interval %s: write %[2]s", short(c.Interval), short(l.config.SampleInterval)))
	case c.Auth == "basic" && (c.Username == "" || (c.Password == "") == (c.PasswordFile == "")):
		fault("auth", "basic needs username, and either password_file or password")
	case c.Auth == "bearer" && (c.BearerToken == "") == (c.BearerTokenFile == ""):
		fault("auth", "bearer needs either bearer_token_file or bearer_token")
	case (c.CertFile == "") != (c.KeyFile == ""):
		fault("cert_file", "and key_file need each other: write both, or none")
	case c.CertFile != "" && c.ToAMP():
		fault("cert_file", "is not for sigv4: remove it, or write another auth")
	case c.RoleARN != "" && !c.ToAMP():
		fault("role_arn", "is only for auth: sigv4: write that, or remove this")
	}
}

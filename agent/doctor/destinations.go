package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/enawatch/enawatch/agent/sink"
	"github.com/enawatch/enawatch/agent/sink/awsclient"
)

// Destination is a sink whose destination can be asked.
type Destination struct {
	Sink string
	// Account is that which its requests are signed for, nil if they are not. Role
	// is what it assumes, "" for none: those that assume the same one have the
	// same credentials.
	Account *awsclient.Client
	Role    string
	Probe   func(context.Context) awsclient.Probe
}

// Destinations checks credentials and whose they are, whether each destination
// can be reached and takes requests, and the clock by what their answers say.
func Destinations(ctx context.Context, list []Destination, now time.Time) []Check {
	callers := make([]*awsclient.Caller, len(list)) // nil where another has the same
	probes := make([]awsclient.Probe, len(list))
	var all sync.WaitGroup
	roles := map[string]bool{}
	for i, d := range list {
		if d.Account != nil && !roles[d.Role] {
			roles[d.Role] = true
			all.Go(func() { c := d.Account.Caller(ctx); callers[i] = &c })
		}
		all.Go(func() { probes[i] = d.Probe(ctx) })
	}
	all.Wait()
	var checks []Check
	bad := map[string]bool{} // by role
	for i, c := range callers {
		if c != nil {
			check := credentials(c, list[i].Role, now)
			bad[list[i].Role] = check.Level == Failed
			checks = append(checks, check)
		}
	}
	for i, d := range list {
		// Without good credentials, each destination would say the same of them.
		told := d.Account != nil && bad[d.Role]
		checks = append(checks, destination(d, &probes[i], told)...)
	}
	return append(checks, clock(probes, callers)...)
}

// sources says where the SDK's providers find credentials.
var sources = map[string]string{
	"EnvConfigCredentials":        "the environment",
	"EC2RoleProvider":             "the instance's role",
	"WebIdentityCredentials":      "a web identity, as of IRSA",
	"CredentialsEndpointProvider": "the container's endpoint, as of EKS Pod Identity or ECS",
	"AssumeRoleProvider":          "assuming that role",
	"SSOProvider":                 "SSO",
	"ProcessProvider":             "the shared configuration's credential_process",
}

// credentials says whose credentials there are and where they come from.
func credentials(c *awsclient.Caller, role string, now time.Time) Check {
	name := "credentials"
	if role != "" {
		name = "credentials of " + role
	}
	if c.Credentials.Source == "" {
		return Check{name, Failed, c.Failure.Err.Error(), remedy(c.Failure, "see docs/cloudwatch.md")}
	}
	source, file, _ := strings.Cut(c.Credentials.Source, ": ")
	if known := sources[source]; known != "" {
		source = known
	} else if file != "" {
		source = "the file " + file
	}
	until := ""
	if c.Credentials.CanExpire {
		until = ", for " + span(c.Credentials.Expires.Sub(now).Round(time.Minute))
	}
	switch {
	case c.Failure == nil:
		return fine(name, "%s, from %s%s", c.ARN, source, until)
	case c.Failure.Kind == sink.Credentials && c.Failure.Remedy != awsclient.RemedyClock:
		return Check{name, Failed, fmt.Sprintf("from %s%s: %v", source, until, c.Failure.Err), remedy(c.Failure, "give others")}
	}
	return Check{name, Warning, fmt.Sprintf("from %s%s; STS does not say whose they are: %v", source, until, c.Failure.Err),
		remedy(c.Failure, "nothing, if the requests below are allowed: the agent needs STS only to assume a role")}
}

func remedy(e *sink.Error, otherwise string) string {
	if e.Remedy != "" {
		return e.Remedy
	}
	return otherwise
}

// destination says whether one can be reached and takes requests. told is true if
// its credentials are known to be bad.
func destination(d Destination, p *awsclient.Probe, told bool) []Check {
	name, e := d.Sink, p.Failure
	endpoint, taken := "endpoint "+name, "answer "+name
	if d.Account != nil {
		taken = "permission " + name
	}
	switch {
	case p.Server() == "" && told:
		return nil
	case p.Server() == "":
		return []Check{{"destination " + name, Failed, e.Err.Error(), remedy(e, "look at the configuration of the sink")}}
	case p.Status() == 0:
		found := e.Err.Error()
		if via := p.Via(); via != "" {
			found += " (by the proxy " + via + ")"
		}
		return []Check{{endpoint, Failed, found, remedy(e, unreached(e.Err, p))}}
	}
	checks := []Check{fine(endpoint, "%s answers%s", p.Server(), where(p))}
	switch {
	case e == nil:
		return append(checks, fine(taken, "%s", p.Shows))
	case e.Remedy == awsclient.RemedyClock, e.Kind == sink.Credentials && told: // told by another line
		return checks
	case e.Kind == sink.Credentials:
		return append(checks, Check{taken, Failed, e.Err.Error(), remedy(e, "look at the identity's policies")})
	case e.Kind == sink.Throttled:
		return append(checks, Check{"answer " + name, Warning, e.Err.Error(), "run doctor again later: the agent waits and tries again"})
	}
	return append(checks, Check{"answer " + name, Failed, e.Err.Error(), remedy(e, "run doctor again; if it stays, look at the endpoint and for a proxy on the way")})
}

// where says by which way a destination answered.
func where(p *awsclient.Probe) string {
	if via := p.Via(); via != "" {
		return ", by the proxy " + via
	}
	at, err := netip.ParseAddrPort(p.Peer())
	if err != nil {
		return ""
	}
	if at.Addr().IsPrivate() {
		return fmt.Sprintf(", at %s: a private address, as of a VPC endpoint", at.Addr())
	}
	return fmt.Sprintf(", at %s", at.Addr())
}

// unreached says what to do about a destination that does not answer.
func unreached(err error, p *awsclient.Probe) string {
	_, noName := errors.AsType[*net.DNSError](err)
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case p.Via() != "":
		return "look at the proxy, at HTTPS_PROXY, and at NO_PROXY if it is to be reached without"
	case noName:
		return "look at the region, and at the VPC's DNS; a VPC endpoint needs private DNS names, or its own name as endpoint of the sink"
	case plain:
		return "it speaks no TLS: look at the scheme and port of its endpoint"
	}
	return "let this host reach its port (security group, network ACL, route, NAT), make a VPC endpoint for the service, or name a proxy by HTTPS_PROXY"
}

// Signatures are good for five minutes (Signature Version 4 in the AWS reference).
const (
	skewWarning = 30 * time.Second
	skewFailed  = 4 * time.Minute
)

// clock says how far the host's clock is from that of those who answered.
func clock(probes []awsclient.Probe, callers []*awsclient.Caller) []Check {
	var worst time.Duration
	var of string
	note := func(x *awsclient.Exchange) {
		if x == nil || x.Server() == "" {
			return
		}
		if skew, ok := x.Skew(); ok && (of == "" || skew.Abs() > worst.Abs()) {
			worst, of = skew, x.Server()
		}
	}
	for i := range probes {
		note(probes[i].Exchange)
	}
	for _, c := range callers {
		if c != nil {
			note(c.Exchange)
		}
	}
	way := "behind"
	if worst < 0 {
		way = "ahead of"
	}
	found := fmt.Sprintf("this host's clock is %s %s that of %s", span(worst.Abs()), way, of)
	switch {
	case of == "":
		return nil
	case worst.Abs() > skewFailed:
		return []Check{{"clock", Failed, found + ": signatures are good for 5m", awsclient.RemedyClock}}
	case worst.Abs() > skewWarning:
		return []Check{{"clock", Warning, found, awsclient.RemedyClock}}
	}
	return []Check{fine("clock", "within %s of that of %s", max(span(worst.Abs()), "1s"), of)}
}

// Cluster says whether the API server of this pod's cluster takes Events, and the
// node's condition if that is on, by what a dry run of them came to.
func Cluster(server string, condition bool, err error) Check {
	const name = "permission kubernetes"
	if err != nil {
		return Check{name, Failed, err.Error(), "run doctor in the agent's pod; install the chart with events.enabled, and with events.condition for the condition (docs/eks.md)"}
	}
	what := "Events"
	if condition {
		what += " and the node's condition"
	}
	return fine(name, "%s takes %s, by a dry run", server, what)
}

// Listener checks whether something listens where EMF goes on this host, by TCP,
// by UDP or at a unix socket. By UDP it sends a datagram with nothing in it, which
// this host's kernel refuses if nobody listens.
func Listener(ctx context.Context, network, address string) []Check {
	const name = "endpoint emf"
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
	if err == nil {
		defer conn.Close()
		if network == "udp" {
			err = refused(conn, address)
		}
	}
	if err != nil {
		return []Check{{name, Failed, err.Error(), "start the CloudWatch agent or Fluent Bit, with a listener there (docs/emf.md)"}}
	}
	if network == "udp" {
		return []Check{fine(name, "nothing refuses what is sent to %s; by UDP nobody says more", address)}
	}
	return []Check{fine(name, "something listens at %s", address)}
}

// refused sends nothing by UDP, and returns an error if it was refused: nil if
// nobody says so in half a second.
func refused(conn net.Conn, address string) error {
	_, err := conn.Write(nil)
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("udp %s: %w", address, syscall.ECONNREFUSED)
	}
	return nil
}

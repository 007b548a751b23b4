package cloudwatch

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// errSimulated refuses to mix invented numbers with measured ones, for which
// somebody pays and on which somebody is paged.
var errSimulated = errors.New("cloudwatch sink: a simulation is never published to AWS: remove the cloudwatch sink, or do not simulate")

// Roll-ups, each named for its dimension.
const (
	RollupAutoScalingGroup = "AutoScalingGroupName"
	RollupCluster          = "ClusterName"
	RollupNodegroup        = "NodegroupName"
)

const (
	defaultMaxSeries   = 500
	defaultTimeout     = 20 * time.Second
	defaultSessionName = "enawatch"
)

// Forms of what IAM takes (API_AssumeRole in the STS API reference).
var (
	roleARN     = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,576}$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[\w+=,.@:/-]{2,}$`)
)

// complete checks the options and fills in defaults.
func (o *Options) complete() error {
	if err := checkNamespace(o.Namespace); err != nil {
		return err
	}
	if o.Resolution == 0 {
		o.Resolution = 60
	}
	if o.MaxSeries == 0 {
		o.MaxSeries = defaultMaxSeries
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.SessionName == "" {
		o.SessionName = defaultSessionName
	}
	if o.CWAgentDimensions == nil {
		o.CWAgentDimensions = appended
	}
	for _, name := range o.CWAgentDimensions {
		if !slices.Contains(appended, name) {
			return fmt.Errorf("dimension %q is none that the CloudWatch agent appends: use any of %s", name, strings.Join(appended, ", "))
		}
	}
	if o.Host == nil {
		o.Host = func() Host { return Host{} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for i, name := range o.Rollups {
		switch {
		case !slices.Contains([]string{RollupAutoScalingGroup, RollupCluster, RollupNodegroup}, name):
			return fmt.Errorf("roll-up %q is not known: use %s, %s or %s", name, RollupAutoScalingGroup, RollupCluster, RollupNodegroup)
		case slices.Contains(o.Rollups[:i], name):
			return fmt.Errorf("roll-up %q is there twice: remove one", name)
		}
	}
	switch {
	case o.Resolution != 1 && o.Resolution != 60:
		return fmt.Errorf("storage resolution %d: CloudWatch has 1 and 60 seconds", o.Resolution)
	case o.MaxSeries < 0:
		return fmt.Errorf("at most %d series: give a positive number", o.MaxSeries)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %v: give a positive duration", o.Timeout)
	case o.RoleARN != "" && !roleARN.MatchString(o.RoleARN):
		return fmt.Errorf("role %q: give the ARN of an IAM role, as arn:aws:iam::123456789012:role/NAME", o.RoleARN)
	case o.ExternalID != "" && (o.RoleARN == "" || !externalID.MatchString(o.ExternalID)):
		return errors.New("external id: it needs a role to assume, and at least 2 letters, digits or any of _+=,.@:/-")
	case !sessionName.MatchString(o.SessionName):
		return fmt.Errorf("session name %q: it must be 2 to 64 letters, digits or any of _+=,.@-", o.SessionName)
	}
	return o.checkEndpoint()
}

// checkEndpoint never repeats the URL, which may hold a password.
func (o *Options) checkEndpoint() error {
	if o.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("endpoint: give a URL as https://HOST, with a port if need be")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("endpoint: give a URL without user, query and fragment")
	case o.FIPS || o.DualStack:
		return errors.New("endpoint: it can't be combined with FIPS or dual-stack, which choose one themselves: remove one of them")
	}
	return nil
}

func checkNamespace(namespace string) error {
	switch {
	case strings.HasPrefix(namespace, "AWS/"):
		return fmt.Errorf("namespace %q: AWS/ is reserved for AWS services: choose another", namespace)
	case !validName(namespace):
		return fmt.Errorf("namespace %q: it must be 1 to %d printable ASCII characters, not only spaces, and not start with a colon", namespace, maxName)
	}
	return nil
}

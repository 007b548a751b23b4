package cloudwatch

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/sink/awsclient"
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

const defaultMaxSeries = 500

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
	}
	return nil
}

// account returns what package awsclient is to know.
func (o *Options) account() awsclient.Options {
	return awsclient.Options{
		Sink: "cloudwatch", Service: "CloudWatch", Region: o.Region, FindRegion: o.FindRegion, Endpoint: o.Endpoint, FIPS: o.FIPS, DualStack: o.DualStack,
		RoleARN: o.RoleARN, ExternalID: o.ExternalID, SessionName: o.SessionName, CAFile: o.CAFile, Timeout: o.Timeout,
		DisableIMDS: o.DisableIMDS, Credentials: o.Credentials,
	}
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

package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/identity"
)

// Host checks what is known of this host, and IMDS, which says it: host, asked
// and errs are what [identity.Resolver.Ask] returned. inPod is true if this is a
// Kubernetes pod.
func Host(host identity.Host, asked bool, errs []error, inPod bool) []Check {
	var checks []Check
	for _, err := range errs {
		checks = append(checks, imds(err, inPod))
	}
	switch {
	case len(checks) > 0:
	case asked:
		checks = append(checks, fine("imds", "version 2 answers"))
	default:
		checks = append(checks, fine("imds", "not asked, by identity.mode or AWS_EC2_METADATA_DISABLED"))
	}
	if host.InstanceID == "" {
		return append(checks, Check{"host", Warning, fmt.Sprintf("%s has no instance id: metrics carry its name instead, and alarms by instance do not see them", host.Hostname),
			"set identity.instance_id, or let IMDS answer"})
	}
	var known []string
	for _, s := range []string{host.InstanceID, host.InstanceType, host.Zone} {
		if s != "" {
			known = append(known, s)
		}
	}
	if host.Zone == "" && host.Region != "" {
		known = append(known, host.Region)
	}
	return append(checks, fine("host", "%s is %s", host.Hostname, strings.Join(known, ", ")))
}

// imds says what an error of IMDS means.
func imds(err error, inPod bool) Check {
	fault, ok := errors.AsType[*identity.Fault](err)
	if !ok { // not asked, or what it says is not believed
		what, remedy, _ := strings.Cut(err.Error(), ": ")
		return Check{"imds", Warning, what, remedy}
	}
	c := Check{"imds", Failed, fault.Err.Error(), fault.Remedy}
	if inPod && errors.Is(err, identity.ErrNoAnswer) {
		c.Found += ", and this is a pod"
	}
	return c
}

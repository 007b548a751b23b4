package doctor

import (
	"errors"
	"strings"

	"github.com/enawatch/enawatch/agent/config"
)

// Configuration says where counters are to go. faulty is what is wrong with it,
// if it is not nil; cfg is then a default one.
func Configuration(cfg *config.Config, faulty error) []Check {
	const name = "configuration"
	if faulty != nil {
		var checks []Check
		faults := []string{faulty.Error()}
		if e, ok := errors.AsType[*config.Error](faulty); ok {
			faults = e.Faults
		}
		for _, fault := range faults {
			checks = append(checks, Check{name, Failed, fault, "mend it: the agent does not start with it; destinations and spool were not checked"})
		}
		return checks
	}
	s := cfg.Sinks
	var to []string
	if s.CloudWatch != nil {
		to = append(to, "CloudWatch")
	}
	if s.EMF != nil {
		to = append(to, "EMF on "+s.EMF.Output)
	}
	if s.OTLP != nil {
		to = append(to, "OTLP")
	}
	if s.RemoteWrite != nil {
		to = append(to, "remote write")
	}
	switch {
	case len(to) == 0 && s.Prometheus == nil:
		return []Check{{name, Failed, "no sink is on: counters go nowhere", "switch one on, as sinks: {cloudwatch: {}}"}}
	case len(to) == 0:
		return []Check{{name, Warning, "counters are served at /metrics and sent nowhere", "nothing, if Prometheus scrapes them; for CloudWatch, switch its sink on, as sinks: {cloudwatch: {}}"}}
	}
	return []Check{fine(name, "counters go to %s", strings.Join(to, ", "))}
}

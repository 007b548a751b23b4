package doctor

import (
	"fmt"
	"strings"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/metric"
)

// Reading is one interface and what a reading of it said.
type Reading struct {
	Interface metric.Interface
	Verdict   ena.Verdict
	Reason    ena.Reason
	// Values are those of the stats that its driver lists.
	Values map[ena.Stat]uint64
}

// Interfaces checks drivers and readings, and whether the configuration wants
// them read. err says why they can't be listed.
func Interfaces(readings []Reading, err error, wanted func(metric.Interface) bool) []Check {
	if err != nil {
		return []Check{{"interfaces", Failed, err.Error(), "run doctor on the host itself, in its network namespace; enawatch needs no privilege, but netlink and an inet socket"}}
	}
	if len(readings) == 0 {
		return []Check{{"interfaces", Failed, "this host has no ENA interface", "enawatch reads the ena driver only: is this a Nitro instance, in the host's network namespace?"}}
	}
	var checks []Check
	read := 0
	for _, r := range readings {
		name := "interface " + r.Interface.Name
		switch {
		case !wanted(r.Interface):
			checks = append(checks, fine(name, "not read, by interfaces.include and interfaces.exclude"))
			continue
		case r.Verdict != ena.Valid:
			checks = append(checks, Check{name, Failed, fmt.Sprintf("the reading is %s: %s", r.Verdict, r.Reason),
				"the device does not answer its driver: look at dmesg for \"ena\"; if it stays, update the driver or stop and start the instance"})
		default:
			checks = append(checks, driver(name, r))
		}
		checks = append(checks, adminQueue(name, r)...)
		read++
	}
	if read == 0 {
		checks = append(checks, Check{"interfaces", Failed, "the configuration has none of them read", "mend interfaces.include and interfaces.exclude"})
	}
	return checks
}

// driver says which allowances the driver does not tell of.
func driver(name string, r Reading) Check {
	var missing []string
	level, since := OK, ""
	for s, e := range ena.Catalogue() {
		if _, has := r.Values[ena.Stat(s)]; has || e.Allowance == "" {
			continue
		}
		missing = append(missing, e.Name)
		if ena.Stat(s).Exceeded() {
			level, since = Failed, e.Since
		} else if level == OK {
			level, since = Warning, e.Since
		}
	}
	if level == OK {
		return fine(name, "driver %s has every allowance, and the device answers", r.Interface.DriverVersion)
	}
	return Check{name, level, fmt.Sprintf("driver %s lacks %s", r.Interface.DriverVersion, strings.Join(missing, ", ")), "update the ENA driver or the kernel: they come with " + since}
}

// adminQueue says whether commands to the device were lost, for the life of the
// network device. While they are, its counters can't be believed.
func adminQueue(name string, r Reading) []Check {
	var lost []string
	for _, s := range []ena.Stat{ena.AdminNoCompletion, ena.AdminAborted, ena.AdminOutOfSpace, ena.ResetFail} {
		if n := r.Values[s]; n > 0 {
			lost = append(lost, fmt.Sprintf("%s %d", s, n))
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return []Check{{name, Warning, "its admin queue lost commands since the driver was loaded: " + strings.Join(lost, ", "),
		"readings of such seconds are held back as suspect; if it grows, update the ENA driver, look at dmesg for \"ena\", and open a case with AWS Support"}}
}

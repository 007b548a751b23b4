// Package identity finds out who this host is and which elastic network
// interfaces (ENIs) it has: from the configuration, from EC2's instance
// metadata service (IMDS), from Kubernetes, the environment, the firmware's
// tables (DMI) and the operating system, in this order.
//
// IMDS is a link-local service, so each request to it comes out of the budget
// of 1024 packets per second that the agent watches. It is asked once at the
// start and once more when an interface comes, never on a tick; a request costs
// about one packet sent, as all of one round share a connection.
package identity

import (
	"fmt"
	"log/slog"
	"regexp"
)

// Source says where a fact comes from. It is a word for logs.
type Source string

const (
	Config      Source = "config"
	IMDS        Source = "imds"
	Kubernetes  Source = "kubernetes" // the downward API
	Environment Source = "environment"
	DMI         Source = "dmi"
	OS          Source = "os"
)

// Host is what is known of this host. A field is "" while it is not known.
type Host struct {
	// Hostname is the name of the node in a pod that is told it, and elsewhere
	// what the operating system says.
	Hostname     string
	InstanceID   string
	InstanceType string
	Region       string
	// Zone is the name of the availability zone, which stands for another
	// place in each account; ZoneID ("use1-az1") is the same for all.
	Zone, ZoneID string
	AccountID    string
	ImageID      string
	// AutoScalingGroup, Cluster and Nodegroup come from the instance's tags,
	// which IMDS shows only if InstanceMetadataTags is enabled.
	AutoScalingGroup, Cluster, Nodegroup string
	// Node and Pod are the names that Kubernetes has for this host and for the
	// pod that the agent runs in.
	Node, Pod string

	from [numFacts]Source
}

// Fact is one field of a Host and where it comes from.
type Fact struct {
	// Name is that of the field's key in the configuration, below "identity".
	Name, Value string
	Source      Source
}

const numFacts = 13

// facts names the fields of a Host and says what one can hold: a value from
// elsewhere goes into dimensions, and must not be what a broken proxy answered.
// CloudWatch takes only ASCII there, and at most 255 bytes.
var facts = [numFacts]struct {
	name  string
	valid *regexp.Regexp
}{
	{"host", printable},
	{"instance_id", regexp.MustCompile(`^i-[0-9a-f]+$`)},
	{"instance_type", regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)},
	{"region", place},
	{"zone", place},
	{"zone_id", place},
	{"account_id", regexp.MustCompile(`^[0-9]{12}$`)},
	{"image_id", regexp.MustCompile(`^ami-[0-9a-f]+$`)},
	{"auto_scaling_group", printable},
	{"cluster", printable},
	{"nodegroup", printable},
	{"node", printable},
	{"pod", printable},
}

var (
	printable = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?$`)
	place     = regexp.MustCompile(`^[a-z][a-z0-9]+(-[a-z0-9]+)+$`)
)

func (h *Host) fields() [numFacts]*string {
	return [numFacts]*string{
		&h.Hostname, &h.InstanceID, &h.InstanceType, &h.Region, &h.Zone, &h.ZoneID, &h.AccountID, &h.ImageID,
		&h.AutoScalingGroup, &h.Cluster, &h.Nodegroup, &h.Node, &h.Pod,
	}
}

// Facts lists what is known, in a fixed order.
func (h Host) Facts() []Fact {
	var known []Fact
	for i, value := range h.fields() {
		if *value != "" {
			known = append(known, Fact{facts[i].name, *value, h.from[i]})
		}
	}
	return known
}

// LogValue groups what is known, each with its source.
func (h Host) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, f := range h.Facts() {
		attrs = append(attrs, slog.String(f.Name, fmt.Sprintf("%s (%s)", f.Value, f.Source)))
	}
	return slog.GroupValue(attrs...)
}

// fill takes over what o knows and h does not.
func (h *Host) fill(o Host, from Source) {
	theirs := o.fields()
	for i, mine := range h.fields() {
		if *mine == "" && *theirs[i] != "" {
			*mine, h.from[i] = *theirs[i], from
		}
	}
}

// strip empties the fields that hold what they can't, and says which.
func (h *Host) strip(from Source) []error {
	var errs []error
	for i, value := range h.fields() {
		if *value != "" && !possible(i, *value) {
			errs = append(errs, fmt.Errorf("%s is no %s, so %s is not believed: set identity.%[2]s",
				quote(*value), facts[i].name, from))
			*value = ""
		}
	}
	return errs
}

// possible reports whether the field number i can hold value.
func possible(i int, value string) bool {
	longest := 40 // bytes, of an AWS id, type or place
	if facts[i].valid == printable {
		longest = 255
	}
	return len(value) <= longest && facts[i].valid.MatchString(value)
}

// quote makes text of unknown origin short and printable.
func quote(s string) string { return fmt.Sprintf("%+.40q", s) }

package emf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

const (
	// maxFixed is how many fixed dimensions a set has room for: CloudWatch takes
	// 30, of which the host key, the interface's and simulated may be three.
	maxFixed = 30 - 3
	// maxKey and maxDimension are how long a dimension's name and value may be,
	// in characters (EMF schema).
	maxKey       = 250
	maxDimension = 1024
)

// Members of the root whose meaning is given.
const (
	awsMember       = "_aws"
	hostMember      = "host"
	instanceMember  = "InstanceId"
	simulatedMember = "simulated"
	eniMember       = "NetworkInterfaceId"
	interfaceMember = "interface"
	macMember       = "mac"
	subnetMember    = "subnet"
	zoneMember      = "availability_zone"
	driverMember    = "driver_version"
	startMember     = "start"
	lengthMember    = "window_seconds"
	listMember      = "interfaces"
	omittedMember   = "interfaces_omitted"
	podsMember      = "pods"
	podsDNSMember   = "pods_dns"
	podsMoreMember  = "pods_omitted"

	sendersMember   = "linklocal_senders"
	othersMember    = "linklocal_others"
	topSenderMember = "linklocal_top_sender"
	topPacketMember = "linklocal_top_packets"
	recordsMember   = "allowance_records"

	ownersMember      = "conntrack_owners"
	otherOwnersMember = "conntrack_others"
	topOwnerMember    = "conntrack_top_owner"
	topEntriesMember  = "conntrack_top_entries"
)

var reserved = []string{
	awsMember, hostMember, instanceMember, simulatedMember, eniMember, interfaceMember,
	macMember, driverMember, startMember, lengthMember, listMember, omittedMember,
	podsMember, podsDNSMember, podsMoreMember, subnetMember, zoneMember,
	sendersMember, othersMember, topSenderMember, topPacketMember, recordsMember,
	ownersMember, otherOwnersMember, topOwnerMember, topEntriesMember,
}

// CheckDimensions reports the first fixed dimension that can't be published.
// Append does the same for every batch; a program that asks at its start can
// refuse a bad configuration there.
func CheckDimensions(fixed []metric.Dimension) error {
	if len(fixed) > maxFixed {
		return fmt.Errorf("%d fixed dimensions, more than the %d that CloudWatch has room for: remove some", len(fixed), maxFixed)
	}
	for i, d := range fixed {
		switch {
		case slices.Contains(reserved, d.Name):
			return fmt.Errorf("dimension %q: the name has a meaning of its own in EMF documents: choose another", d.Name)
		case !validKey(d.Name, maxKey):
			return fmt.Errorf("dimension %q: the name must be 1 to %d printable ASCII characters, not only spaces, and not start with a colon", d.Name, maxKey)
		case !printable(d.Value) || !validLength(d.Value):
			return fmt.Errorf("dimension %q: the value %q must be 1 to %d printable ASCII characters, not only spaces", d.Name, d.Value, maxDimension)
		case slices.ContainsFunc(fixed[:i], func(o metric.Dimension) bool { return o.Name == d.Name }):
			return fmt.Errorf("dimension %q is given twice: remove one", d.Name)
		}
	}
	return nil
}

// validKey holds for what may be a dimension's name or a namespace.
func validKey(s string, limit int) bool {
	return printable(s) && len(s) <= limit && !blank(s) && s[0] != ':'
}

// validLength holds for a dimension value that is neither blank nor too long.
func validLength(value string) bool {
	return !blank(value) && len(value) <= maxDimension
}

func blank(s string) bool { return strings.Trim(s, " ") == "" }

// printable holds if s has nothing but printable ASCII characters.
func printable(s string) bool { return !strings.ContainsFunc(s, unprintable) }

func unprintable(r rune) bool { return r < ' ' || r > '~' }

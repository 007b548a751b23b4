package identity

import (
	"cmp"
	"context"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ENI is an elastic network interface.
type ENI struct {
	// MAC is in lower case, with colons.
	MAC string
	ID  string
	// DeviceNumber counts the interfaces of a network card, and NetworkCard
	// the cards of the instance, both from 0.
	DeviceNumber, NetworkCard int
	SubnetID, VPCID           string
	// Resolver is the address of the VPC's resolver, the base of its network plus
	// two; not valid if unknown.
	Resolver netip.Addr
}

const macsPath = "network/interfaces/macs/"

// enis asks for the ENIs with the given MACs, in one request for all and six
// for each that IMDS knows by now. After an error, enis are those before it.
func (c *client) enis(ctx context.Context, macs []string) (enis []ENI, err error) {
	list, err := c.get(ctx, macsPath)
	if err != nil {
		return nil, err
	}
	known := parseMACs(list)
	for _, mac := range macs {
		if !slices.Contains(known, mac) {
			continue
		}
		e, ok, err := c.eni(ctx, mac)
		if err != nil {
			return enis, err
		}
		if ok {
			enis = append(enis, e)
		}
	}
	return enis, nil
}

var mac = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)

// parseMACs reads the list of interfaces: a MAC with a final slash on each line.
func parseMACs(list string) []string {
	var macs []string
	for line := range strings.Lines(strings.ToLower(list)) {
		if m := strings.TrimSuffix(strings.TrimSpace(line), "/"); mac.MatchString(m) {
			macs = append(macs, m)
		}
	}
	return macs
}

// resourceID returns s if it is an id of AWS with that prefix, else "".
func resourceID(prefix, s string) string {
	number, ok := strings.CutPrefix(s, prefix)
	if !ok || number == "" || len(number) > 32 || strings.Trim(number, "0123456789abcdef") != "" {
		return ""
	}
	return s
}

// eni asks for one ENI. It is not ok while IMDS does not know its id and its
// place. Instances of one network card have no network-card.
func (c *client) eni(ctx context.Context, mac string) (e ENI, ok bool, err error) {
	var values [6]string
	for i, name := range []string{"interface-id", "device-number", "network-card", "subnet-id", "vpc-id", "vpc-ipv4-cidr-block"} {
		if values[i], err = c.get(ctx, macsPath+mac+"/"+name); err != nil {
			return e, false, err
		}
	}
	device, err1 := strconv.ParseUint(values[1], 10, 16)
	card, err2 := strconv.ParseUint(cmp.Or(values[2], "0"), 10, 16)
	return ENI{
		MAC: mac, ID: values[0], DeviceNumber: int(device), NetworkCard: int(card),
		SubnetID: resourceID("subnet-", values[3]), VPCID: resourceID("vpc-", values[4]),
		Resolver: resolverOf(values[5]),
	}, resourceID("eni-", values[0]) != "" && err1 == nil && err2 == nil, nil
}

// resolverOf returns the address of a VPC's resolver: the base of its primary
// network plus two (VPC user guide, "Understanding Amazon DNS").
func resolverOf(cidr string) netip.Addr {
	network, err := netip.ParsePrefix(cidr)
	if err != nil || !network.Addr().Is4() {
		return netip.Addr{}
	}
	return network.Masked().Addr().Next().Next()
}

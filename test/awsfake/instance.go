package awsfake

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Instance is what the metadata service tells of a machine. Empty fields get
// the values of an ordinary instance; no interface becomes one.
type Instance struct {
	ID               string `json:"id"`
	Type             string `json:"type"`
	AMI              string `json:"ami"`
	AvailabilityZone string `json:"availability_zone"`
	ZoneID           string `json:"zone_id"`
	PlacementGroup   string `json:"placement_group"`
	// Partition is the number in a partition placement group, 0 for none.
	Partition int `json:"partition"`
	// Tags are visible if they are not nil: InstanceMetadataTags=enabled.
	Tags map[string]string `json:"tags"`
	// Role is the name of the instance profile's role, "" for none.
	Role string `json:"role"`
	// ENIs are the network interfaces; the first has the primary MAC.
	ENIs []ENI `json:"enis"`
	// LifecycleState is autoscaling/target-lifecycle-state, "" outside of an
	// Auto Scaling group.
	LifecycleState string `json:"lifecycle_state"`
	// SpotAction is spot/instance-action, as {"action":"terminate","time":"…"}; "" for
	// an instance that is not interrupted.
	SpotAction string `json:"spot_action"`
	// Disabled answers 403 to everything: HttpEndpoint=disabled.
	Disabled bool `json:"disabled"`
	// V1 allows requests without a token: HttpTokens=optional.
	V1 bool `json:"v1"`
}

// ENI is a network interface of an instance.
type ENI struct {
	ID             string   `json:"id"`
	MAC            string   `json:"mac"`
	DeviceNumber   int      `json:"device_number"`
	NetworkCard    int      `json:"network_card"`
	Subnet         string   `json:"subnet"`
	VPC            string   `json:"vpc"`
	IPs            []string `json:"ips"`
	SecurityGroups []string `json:"security_groups"`
	SubnetCIDR     string   `json:"subnet_cidr"`
	VPCCIDR        string   `json:"vpc_cidr"`
	// Visible is when the metadata service begins to know the interface: it
	// lags behind a hot attach. The zero time is from the start.
	Visible time.Time `json:"visible,omitzero"`
}

func (i *Instance) fill(region string) {
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	set(&i.ID, "i-0123456789abcdef0")
	set(&i.Type, "c7i.large")
	set(&i.AMI, "ami-0123456789abcdef0")
	set(&i.AvailabilityZone, region+"a")
	set(&i.ZoneID, "use1-az1")
	if len(i.ENIs) == 0 {
		i.ENIs = []ENI{{}}
	}
	for n := range i.ENIs {
		i.ENIs[n].fill(n)
	}
}

// fill gives the nth interface what it lacks.
func (e *ENI) fill(n int) {
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	set(&e.ID, fmt.Sprintf("eni-%017x", n+1))
	set(&e.MAC, fmt.Sprintf("02:00:00:00:00:%02x", n+1))
	e.MAC = strings.ToLower(e.MAC)
	set(&e.Subnet, "subnet-0123456789abcdef0")
	set(&e.VPC, "vpc-0123456789abcdef0")
	set(&e.SubnetCIDR, "10.0.0.0/24")
	set(&e.VPCCIDR, "10.0.0.0/16")
	if e.DeviceNumber == 0 {
		e.DeviceNumber = n
	}
	if len(e.IPs) == 0 {
		e.IPs = []string{fmt.Sprintf("10.0.0.%d", n+10)}
	}
	if len(e.SecurityGroups) == 0 {
		e.SecurityGroups = []string{"default"}
	}
}

// metadata returns every path below /latest/ and its value, for an instance as
// it is visible now. Paths of credentials are not among them.
func (i *Instance) metadata(region, account string, now time.Time) map[string]string {
	m := map[string]string{
		"meta-data/instance-id":                    i.ID,
		"meta-data/instance-type":                  i.Type,
		"meta-data/ami-id":                         i.AMI,
		"meta-data/mac":                            i.ENIs[0].MAC,
		"meta-data/local-ipv4":                     i.ENIs[0].IPs[0],
		"meta-data/placement/region":               region,
		"meta-data/placement/availability-zone":    i.AvailabilityZone,
		"meta-data/placement/availability-zone-id": i.ZoneID,
		"dynamic/instance-identity/document":       i.document(region, account),
	}
	optional := func(path, value string) {
		if value != "" {
			m["meta-data/"+path] = value
		}
	}
	optional("placement/group-name", i.PlacementGroup)
	if i.Partition > 0 {
		optional("placement/partition-number", strconv.Itoa(i.Partition))
	}
	optional("autoscaling/target-lifecycle-state", i.LifecycleState)
	optional("spot/instance-action", i.SpotAction)
	for key, value := range i.Tags {
		m["meta-data/tags/instance/"+key] = value
	}
	for _, e := range i.ENIs {
		if e.Visible.After(now) {
			continue
		}
		at := "meta-data/network/interfaces/macs/" + e.MAC + "/"
		m[at+"mac"] = e.MAC
		m[at+"interface-id"] = e.ID
		m[at+"device-number"] = strconv.Itoa(e.DeviceNumber)
		m[at+"network-card"] = strconv.Itoa(e.NetworkCard)
		m[at+"subnet-id"] = e.Subnet
		m[at+"vpc-id"] = e.VPC
		m[at+"owner-id"] = account
		m[at+"local-ipv4s"] = strings.Join(e.IPs, "\n")
		m[at+"security-groups"] = strings.Join(e.SecurityGroups, "\n")
		m[at+"security-group-ids"] = "sg-0123456789abcdef0"
		m[at+"subnet-ipv4-cidr-block"] = e.SubnetCIDR
		m[at+"vpc-ipv4-cidr-block"] = e.VPCCIDR
		m[at+"vpc-ipv4-cidr-blocks"] = e.VPCCIDR
	}
	return m
}

func (i *Instance) document(region, account string) string {
	b, err := json.MarshalIndent(map[string]any{
		"accountId": account, "architecture": "x86_64", "availabilityZone": i.AvailabilityZone,
		"imageId": i.AMI, "instanceId": i.ID, "instanceType": i.Type,
		"pendingTime": "2026-11-01T00:00:00Z", "privateIp": i.ENIs[0].IPs[0],
		"region": region, "version": "2017-09-30",
	}, "", "  ")
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

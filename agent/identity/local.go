package identity

import (
	"cmp"
	"os"
	"path/filepath"
	"strings"
)

// fromKubernetes reads the environment variables that the manifest of the pod
// fills by the downward API: NODE_NAME (spec.nodeName) and POD_NAME
// (metadata.name). The provider id, which holds the instance id, is not
// available there.
func fromKubernetes(getenv func(string) string) Host {
	node := getenv("NODE_NAME")
	return Host{Hostname: node, Node: node, Pod: getenv("POD_NAME")}
}

// fromEnvironment reads the region as the AWS SDKs do. Where it disagrees with
// IMDS, it is the region to publish to, not the one that the host is in.
func fromEnvironment(getenv func(string) string) Host {
	return Host{Region: cmp.Or(getenv("AWS_REGION"), getenv("AWS_DEFAULT_REGION"))}
}

// fromOS asks the operating system for its name.
func fromOS() Host {
	name, _ := os.Hostname() // Find says so if nothing else names the host
	return Host{Hostname: name}
}

// fromDMI reads the firmware's tables as the kernel shows them to everybody in
// /sys/class/dmi/id. On the Nitro system, board_asset_tag is the instance id
// (EC2 user guide, "Detect whether a host is an EC2 instance") and product_name
// the instance type. If they say that this is no EC2 instance, alien is the
// maker's name; on older, Xen-based instances the maker is Xen, and the uuid in
// /sys/hypervisor begins with ec2.
func fromDMI(sys string) (h Host, alien string) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(sys, name))
		if err != nil {
			return "" // no evidence
		}
		return strings.TrimSpace(string(b))
	}
	switch vendor := read("class/dmi/id/sys_vendor"); vendor {
	case "Amazon EC2":
		h.InstanceID, h.InstanceType = read("class/dmi/id/board_asset_tag"), read("class/dmi/id/product_name")
		h.strip(DMI) // metal and older instances may hold other words there
	case "Xen":
		if uuid := strings.ToLower(read("hypervisor/uuid")); uuid != "" && !strings.HasPrefix(uuid, "ec2") {
			alien = vendor
		}
	default:
		alien = vendor // or no evidence
	}
	return h, alien
}

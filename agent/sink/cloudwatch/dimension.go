package cloudwatch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
)

// Limits of names (API_MetricDatum, API_Dimension), in characters.
const (
	maxName           = 255
	maxDimensionValue = 1024
	maxDimensions     = 30
)

const (
	hostDimension         = "host"
	instanceDimension     = "InstanceId"
	eniDimension          = "NetworkInterfaceId"
	interfaceDimension    = "interface"
	driverDimension       = "driver"
	imageDimension        = "ImageId"
	instanceTypeDimension = "InstanceType"
)

// cwagentDriver is what the CloudWatch agent's dimension "driver" says of every
// interface that this program reads.
const cwagentDriver = "ena"

// appended are the dimensions that the CloudWatch agent knows to append
// (CloudWatch User Guide, "append_dimensions").
var appended = []string{instanceDimension, imageDimension, instanceTypeDimension, RollupAutoScalingGroup}

// dimension is a name and a value. It is encoded as a list of the two.
type dimension [2]string

// dimensions are those of a metric.
type dimensions struct {
	list []dimension
	// shared is true if other hosts publish the same metric.
	shared bool
	// key tells them apart from others.
	key string
}

// newDimensions puts the fixed dimensions of r behind list and checks all.
func newDimensions(list []dimension, r *metric.Resource) (*dimensions, error) {
	for _, f := range r.Dimensions {
		list = append(list, dimension{f.Name, f.Value})
	}
	if len(list) > maxDimensions {
		return nil, fmt.Errorf("%d dimensions, more than the %d that CloudWatch takes: remove fixed ones", len(list), maxDimensions)
	}
	var key strings.Builder
	for i, d := range list {
		switch name, value := d[0], d[1]; {
		case !validName(name):
			return nil, fmt.Errorf("dimension %.80q: the name must be 1 to %d printable ASCII characters, not only spaces, and not start with a colon", name, maxName)
		case slices.ContainsFunc(list[:i], func(o dimension) bool { return o[0] == name }):
			return nil, fmt.Errorf("dimension %q is there twice: rename the fixed one", name)
		case !printable(value) || blank(value) || len(value) > maxDimensionValue:
			return nil, fmt.Errorf("dimension %q: the value %.80q must be 1 to %d printable ASCII characters, not only spaces", name, value, maxDimensionValue)
		}
		key.WriteString(d[0] + "\x00" + d[1] + "\x00")
	}
	return &dimensions{list: list, key: key.String()}, nil
}

// hostKey returns the dimension that names the host.
func hostKey(r *metric.Resource) dimension {
	if r.InstanceID != "" {
		return dimension{instanceDimension, ascii(r.InstanceID)}
	}
	return dimension{hostDimension, ascii(r.Host)}
}

// interfaceKey returns the dimension that names an interface.
func interfaceKey(n *metric.Interface) dimension {
	if n.ENI != "" {
		return dimension{eniDimension, ascii(n.ENI)}
	}
	return dimension{interfaceDimension, ascii(n.Name)}
}

// Rollup returns the dimensions of a roll-up, or nil while a value is unknown.
func (h *Host) Rollup(name string) (out []metric.Dimension) {
	for _, d := range h.rollup(name) {
		out = append(out, metric.Dimension{Name: d[0], Value: d[1]})
	}
	return out
}

// rollup returns the same in the sink's own words.
func (h *Host) rollup(name string) []dimension {
	var list []dimension
	switch name {
	case RollupAutoScalingGroup:
		list = []dimension{{name, ascii(h.AutoScalingGroup)}}
	case RollupCluster:
		list = []dimension{{name, ascii(h.Cluster)}}
	case RollupNodegroup:
		list = []dimension{{RollupCluster, ascii(h.Cluster)}, {name, ascii(h.Nodegroup)}}
	}
	if slices.ContainsFunc(list, func(d dimension) bool { return d[1] == "" }) {
		return nil
	}
	return list
}

// cwagent returns the dimensions that the CloudWatch agent gives an interface if
// it is to append those that are wanted.
func (h *Host) cwagent(r *metric.Resource, n *metric.Interface, wanted []string) []dimension {
	list := []dimension{{hostDimension, ascii(r.Host)}, {driverDimension, cwagentDriver}, {interfaceDimension, ascii(n.Name)}}
	own := len(list)
	for _, d := range []dimension{
		{instanceDimension, r.InstanceID}, {imageDimension, h.ImageID},
		{instanceTypeDimension, h.InstanceType}, {RollupAutoScalingGroup, h.AutoScalingGroup},
	} {
		if d[1] != "" && slices.Contains(wanted, d[0]) {
			list = append(list, dimension{d[0], ascii(d[1])})
		}
	}
	if len(list) > own {
		return list[1:]
	}
	return list
}

// validName holds for what may name a namespace, a metric or a dimension.
func validName(s string) bool {
	return printable(s) && len(s) <= maxName && !blank(s) && s[0] != ':'
}

func blank(s string) bool { return strings.Trim(s, " ") == "" }

// printable holds if s has nothing but printable ASCII characters.
func printable(s string) bool { return !strings.ContainsFunc(s, unprintable) }

func unprintable(r rune) bool { return r < ' ' || r > '~' }

// ascii replaces what CloudWatch would not take.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, s)
}

// Dimensions returns what a series of b is published under, but for roll-ups.
func Dimensions(b *metric.Batch, s *metric.Series) []metric.Dimension {
	list := []dimension{hostKey(&b.Resource)}
	if s.Interface >= 0 {
		list = append(list, interfaceKey(&b.Interfaces[s.Interface]))
	}
	var out []metric.Dimension
	for _, d := range list {
		out = append(out, metric.Dimension{Name: d[0], Value: d[1]})
	}
	return append(out, b.Resource.Dimensions...)
}

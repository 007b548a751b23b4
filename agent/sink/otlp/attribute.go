package otlp

import (
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/enawatch/enawatch/agent/metric"
)

// attributes are those of a resource or a point.
type attributes []*commonpb.KeyValue

// add adds what is known: not an empty value.
func (a *attributes) add(key, value string) {
	if value != "" {
		// Protobuf takes no other strings than UTF-8.
		a.put(key, &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, "?")}})
	}
}

// put adds an attribute, in the place of the one that has its key already.
func (a *attributes) put(key string, value *commonpb.AnyValue) {
	kv := &commonpb.KeyValue{Key: strings.ToValidUTF8(key, "?"), Value: value}
	if i := slices.IndexFunc(*a, func(o *commonpb.KeyValue) bool { return o.Key == kv.Key }); i >= 0 {
		(*a)[i] = kv
		return
	}
	*a = append(*a, kv)
}

// key tells sets of attributes apart.
func (a attributes) key() string {
	var b strings.Builder
	for _, kv := range a {
		b.WriteString(kv.Key + "\x00" + kv.Value.GetStringValue() + "\x00")
	}
	return b.String()
}

// resource returns what a batch speaks of.
func (h *Host) resource(r *metric.Resource) *resourcepb.Resource {
	var a attributes
	a.add("service.name", "enawatch")
	a.add("host.name", r.Host)
	a.add("host.id", r.InstanceID)
	a.add("host.type", h.InstanceType)
	a.add("host.image.id", h.ImageID)
	if r.InstanceID != "" {
		a.add("cloud.provider", "aws")
		if h.Cluster != "" {
			a.add("cloud.platform", "aws_eks")
		} else {
			a.add("cloud.platform", "aws_ec2")
		}
	}
	a.add("cloud.region", h.Region)
	a.add("cloud.availability_zone", h.Zone)
	a.add("cloud.account.id", h.AccountID)
	a.add("k8s.cluster.name", h.Cluster)
	a.add("k8s.node.name", h.Node)
	for _, d := range r.Dimensions {
		a.add(d.Name, d.Value)
	}
	if r.Simulated {
		a.put("enawatch.simulated", &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}})
	}
	return &resourcepb.Resource{Attributes: a}
}

// of returns the attributes of points that speak of an interface.
func of(n *metric.Interface) (a attributes) {
	a.add("network.interface.name", n.Name)
	a.add("hw.id", n.BusInfo)
	a.add("hw.network.physical_address", n.MAC)
	a.add("enawatch.eni.id", n.ENI)
	return a
}

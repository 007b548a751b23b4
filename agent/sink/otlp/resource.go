package otlp

import (
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/enawatch/enawatch/agent/metric"
)

// ResourceAttribute is one attribute of the resource.
type ResourceAttribute struct {
	Name, Meaning string
	// Own is true if no semantic convention has it.
	Own   bool
	value func(*metric.Resource, *Host) string
}

// ResourceAttributes lists what a resource can have, in order: those whose value
// is not known are left out. service.name and service.instance.id are what
// Prometheus makes job and instance of.
func ResourceAttributes() []ResourceAttribute { return resourceAttributes }

var resourceAttributes = []ResourceAttribute{
	{"service.name", "enawatch", false, func(*metric.Resource, *Host) string { return "enawatch" }},
	{"service.instance.id", "the instance's id, or the host's name", false, func(r *metric.Resource, _ *Host) string {
		if r.InstanceID != "" {
			return r.InstanceID
		}
		return r.Host
	}},
	{"host.name", "the host's name", false, func(r *metric.Resource, _ *Host) string { return r.Host }},
	{"host.id", "the EC2 instance id", false, func(r *metric.Resource, _ *Host) string { return r.InstanceID }},
	{"host.type", "the EC2 instance type", false, func(_ *metric.Resource, h *Host) string { return h.InstanceType }},
	{"host.image.id", "the AMI", false, func(_ *metric.Resource, h *Host) string { return h.ImageID }},
	{"cloud.provider", "aws, on an EC2 instance", false, func(r *metric.Resource, _ *Host) string { return onEC2(r, "aws") }},
	{"cloud.platform", "aws_ec2, or aws_eks on a node of an EKS cluster", false, func(r *metric.Resource, h *Host) string {
		if h.Cluster != "" {
			return onEC2(r, "aws_eks")
		}
		return onEC2(r, "aws_ec2")
	}},
	{"cloud.region", "the region", false, func(_ *metric.Resource, h *Host) string { return h.Region }},
	{"cloud.availability_zone", "the availability zone's name", false, func(_ *metric.Resource, h *Host) string { return h.Zone }},
	{"cloud.account.id", "the AWS account", false, func(_ *metric.Resource, h *Host) string { return h.AccountID }},
	{"k8s.cluster.name", "the EKS cluster", false, func(_ *metric.Resource, h *Host) string { return h.Cluster }},
	{"k8s.node.name", "the node's name in Kubernetes", false, func(_ *metric.Resource, h *Host) string { return h.Node }},
	{"aws.autoscaling_group.name", "the Auto Scaling group", true, func(_ *metric.Resource, h *Host) string { return h.AutoScalingGroup }},
	{"aws.eks.nodegroup.name", "the EKS node group", true, func(_ *metric.Resource, h *Host) string { return h.Nodegroup }},
}

func onEC2(r *metric.Resource, word string) string {
	if r.InstanceID == "" {
		return ""
	}
	return word
}

// resource returns the host that a window speaks of.
func resource(r *metric.Resource, h Host) *resourcepb.Resource {
	var out resourcepb.Resource
	for _, a := range resourceAttributes {
		if v := a.value(r, &h); v != "" {
			out.Attributes = append(out.Attributes, attribute(a.Name, v))
		}
	}
	return &out
}

// Attributes of points that speak of an interface.
const (
	interfaceName = "network.interface.name"
	interfaceENI  = "aws.network_interface.id"
)

// attributes returns those of points of an interface, nil being the host.
func attributes(r *metric.Resource, i *metric.Interface) (list []*commonpb.KeyValue) {
	if i != nil {
		list = append(list, attribute(interfaceName, i.Name))
		if i.ENI != "" {
			list = append(list, attribute(interfaceENI, i.ENI))
		}
	}
	for _, d := range r.Dimensions {
		list = append(list, attribute(d.Name, d.Value))
	}
	return list
}

// attribute returns a name and its value. Protobuf takes valid UTF-8 only.
func attribute(name, value string) *commonpb.KeyValue {
	const unknown = "\uFFFD"
	return &commonpb.KeyValue{
		Key:   strings.ToValidUTF8(name, unknown),
		Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(value, unknown)}},
	}
}

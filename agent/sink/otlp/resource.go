package otlp

import (
	"strings"

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

// resource returns the host that a window speaks of, as a Resource.
func resource(r *metric.Resource, h Host) (b []byte) {
	for _, a := range resourceAttributes {
		if v := a.value(r, &h); v != "" {
			known := newAttribute(a.Name, v)
			b = known.append(b, hostAttributes)
		}
	}
	return b
}

// Attributes of points that speak of an interface.
const (
	interfaceName = "network.interface.name"
	interfaceENI  = "aws.network_interface.id"
)

// attributes returns those of points of an interface, nil being the host.
func attributes(r *metric.Resource, i *metric.Interface) (list []attribute) {
	if i != nil {
		list = append(list, newAttribute(interfaceName, i.Name))
		if i.ENI != "" {
			list = append(list, newAttribute(interfaceENI, i.ENI))
		}
	}
	for _, d := range r.Dimensions {
		list = append(list, newAttribute(d.Name, d.Value))
	}
	return list
}

// newAttribute makes both texts valid UTF-8: protobuf takes no others.
func newAttribute(name, value string) attribute {
	const unknown = "\uFFFD"
	return attribute{strings.ToValidUTF8(name, unknown), strings.ToValidUTF8(value, unknown)}
}

package linklocal

import (
	"path"
	"strings"

	"github.com/enawatch/enawatch/agent/pattern"
)

// Name says who a sender is. Of its parts, those are empty that do not apply or
// are not known.
type Name struct {
	// Namespace, Pod and Container are what Kubernetes calls it. PodUID and
	// ContainerID are known even where the names are not.
	Namespace, Pod, Container string
	PodUID, ContainerID       string
	// Unit is the systemd unit.
	Unit string
	// Process is the command's name as the kernel has it, at most 15 bytes.
	Process string
	// Cgroup is the path below the root of cgroup v2.
	Cgroup string
}

// String returns the name as people say it: "namespace/pod/container",
// "chronyd.service", "process dig".
func (n Name) String() string {
	switch {
	case n.Pod != "":
		return strings.TrimSuffix(n.Namespace+"/"+n.Pod+"/"+n.Container, "/")
	case n.PodUID != "":
		return "pod " + n.PodUID
	case n.ContainerID != "":
		return "container " + n.ContainerID[:min(12, len(n.ContainerID))]
	case n.Unit != "" && !strings.HasSuffix(n.Unit, ".scope"):
		return n.Unit
	case n.Process != "":
		return "process " + n.Process
	case n.Unit != "":
		return n.Unit
	case n.Cgroup != "":
		return "cgroup " + n.Cgroup
	}
	return "unknown"
}

// whole reports whether a sender's cgroup says who it is, so that its processes
// need not be told apart.
func (n Name) whole() bool {
	return n.PodUID != "" || n.ContainerID != "" || n.Unit != "" && !strings.HasSuffix(n.Unit, ".scope")
}

var (
	// podDir matches the kubelet's cgroup of a pod: "kubepods-burstable-pod" and
	// the UID with underscores and ".slice" with the systemd driver, "pod" and
	// the UID with cgroupfs (kubernetes pkg/kubelet/cm, cgroup_manager_linux.go).
	podDir = pattern.New(`^(?:kubepods(?:-besteffort|-burstable)?-)?pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?$`)
	// containerDir matches a container's: "cri-containerd-ID.scope",
	// "crio-ID.scope", "docker-ID.scope", "libpod-ID.scope" or the bare id.
	containerDir = pattern.New(`^(?:[a-z-]+-)?([0-9a-f]{64})(?:\.scope)?$`)
)

// nameOf reads a cgroup's path below the root. What a path says that is nearer
// to its end counts.
func nameOf(cgroup string) Name {
	n := Name{Cgroup: cgroup}
	for part := range strings.SplitSeq(strings.Trim(cgroup, "/"), "/") {
		switch pod, container := podDir().FindStringSubmatch(part), containerDir().FindStringSubmatch(part); {
		case pod != nil:
			n.PodUID = strings.ReplaceAll(pod[1], "_", "-")
		case container != nil:
			n.ContainerID = container[1]
		}
		switch path.Ext(part) {
		case ".service", ".scope", ".socket", ".mount", ".swap":
			n.Unit = part
		}
	}
	if n.PodUID != "" || n.ContainerID != "" {
		n.Unit = ""
	}
	return n
}

// podLog and containerLog match what the kubelet calls a pod's directory in
// /var/log/pods and a container's link in /var/log/containers.
var (
	podLog       = pattern.New(`^([a-z0-9.-]+)_([a-z0-9.-]+)_([0-9a-f-]+)$`)
	containerLog = pattern.New(`^([a-z0-9.-]+)_([a-z0-9.-]+)_([a-z0-9.-]+)-([0-9a-f]{64})\.log$`)
)

// fill adds the names to n that the kubelet's directories of logs have. pods and
// containers list what is in them.
func (n *Name) fill(pods, containers []string) {
	for _, dir := range pods {
		if m := podLog().FindStringSubmatch(dir); m != nil && m[3] == n.PodUID {
			n.Namespace, n.Pod = m[1], m[2]
		}
	}
	for _, file := range containers {
		if m := containerLog().FindStringSubmatch(file); m != nil && m[4] == n.ContainerID {
			n.Pod, n.Namespace, n.Container = m[1], m[2], m[3]
		}
	}
}

package linklocal

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	const uid = "0f1e2d3c-1111-2222-3333-444455556666"
	pods := []string{"shop_cart-0_" + uid, "kube-system_other_aaaaaaaa-1111-2222-3333-444455556666", "no pod"}
	containers := []string{"cart-0_shop_web-" + id + ".log", "x.log"}
	systemd := "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/"
	for _, tt := range []struct{ cgroup, process, want string }{
		{systemd + "cri-containerd-" + id + ".scope", "app", "shop/cart-0/web"},
		{systemd + "crio-" + id + ".scope", "app", "shop/cart-0/web"},
		{"/kubepods/pod" + uid + "/" + id, "app", "shop/cart-0/web"},
		{"/kubepods/besteffort/pod" + uid, "app", "shop/cart-0"},
		{"/kubepods.slice/kubepods-pod" + strings.Repeat("f", 32) + ".slice", "", "pod " + strings.Repeat("f", 32)}, // a static pod
		{"/system.slice/docker-" + strings.Repeat("e", 64) + ".scope", "app", "container eeeeeeeeeeee"},
		{"/system.slice/chronyd.service", "chronyd", "chronyd.service"},
		{"/user.slice/user-0.slice/session-3.scope", "dig", "process dig"},
		{"/user.slice/user-0.slice/session-3.scope", "", "session-3.scope"},
		{"/", "dig", "process dig"},
		{"/custom", "", "cgroup /custom"},
		{"", "", "unknown"},
	} {
		n := nameOf(tt.cgroup)
		if n.Unit != "" && (n.PodUID != "" || n.ContainerID != "") {
			t.Errorf("%s: a container's scope, %s, is no unit", tt.cgroup, n.Unit)
		}
		n.Process = tt.process
		n.fill(pods, containers)
		if got := n.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.cgroup, got, tt.want)
		}
	}
}

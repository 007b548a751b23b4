package doctor

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/live"
	"github.com/enawatch/enawatch/agent/metric"
)

func TestDNS(t *testing.T) {
	dropped := func(name string, packets uint64) Reading {
		return Reading{Interface: metric.Interface{Name: name}, Values: map[ena.Stat]uint64{ena.LinklocalAllowanceExceeded: packets}}
	}
	on := func(name string, worst uint64, pods ...string) live.Interface {
		return live.Interface{Name: name, Pods: pods, Allowances: []live.Allowance{{Name: "linklocal_allowance_exceeded", Worst: worst}}}
	}
	doc := func(list ...live.Interface) *live.Document { return &live.Document{Interfaces: list} }
	inPod := ParseResolv("nameserver 172.20.0.10\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
	const coredns1, coredns2, cart, local = "kube-system/coredns-5d78c9869d-abcde (cluster DNS)", "kube-system/coredns-5d78c9869d-fghij (cluster DNS)", "shop/cart-0", "node-local-dns (host network) (cluster DNS)"
	for name, tt := range map[string]struct {
		readings []Reading
		d        *live.Document
		resolv   Resolv
		node     bool
		want     Level
	}{
		"dns-quiet-host":        {[]Reading{dropped("ens5", 0)}, doc(on("ens5", 0)), Resolv{}, false, OK},
		"dns-quiet-node":        {[]Reading{dropped("ens5", 0)}, doc(on("ens5", 0, coredns1, cart, local)), inPod, true, OK},
		"dns-coredns-dropped":   {[]Reading{dropped("ens5", 0), dropped("ens6", 1893)}, doc(on("ens5", 0), on("ens6", 1400, coredns1, cart)), Resolv{}, true, Warning},
		"dns-coredns-shared":    {[]Reading{dropped("ens5", 0)}, doc(on("ens5", 0, coredns1, coredns2, cart)), Resolv{}, true, Warning},
		"dns-coredns-both":      {[]Reading{dropped("ens5", 1893)}, doc(on("ens5", 800, coredns1, coredns2)), Resolv{}, true, Warning},
		"dns-pods-themselves":   {[]Reading{dropped("ens5", 40)}, doc(on("ens5", 0, cart)), inPod, true, Warning},
		"dns-in-spite-of-cache": {[]Reading{dropped("ens5", 40)}, doc(on("ens5", 0, cart, local)), Resolv{}, true, Warning},
		"dns-host":              {[]Reading{dropped("ens5", 640)}, nil, Resolv{}, false, Warning},
	} {
		t.Run(name, func(t *testing.T) {
			checks := DNS(tt.readings, tt.d, tt.resolv, tt.node)
			if got := Worst(checks); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			golden(t, name, checks)
		})
	}
}

func TestParseResolv(t *testing.T) {
	for _, tt := range []struct {
		text   string
		want   Resolv
		cached bool
	}{
		{"", Resolv{Ndots: 1}, false},
		{"# a\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n", Resolv{Servers: []netip.Addr{netip.MustParseAddr("127.0.0.53")}, Search: 1, Ndots: 1}, true},
		{"nameserver 169.254.20.10\nnameserver fd00:ec2::253\nsearch a b\noptions ndots:99 timeout:1", Resolv{Servers: []netip.Addr{netip.MustParseAddr("169.254.20.10"), netip.MustParseAddr("fd00:ec2::253")}, Search: 2, Ndots: 15}, true},
		{"nameserver 10.0.0.2\nnameserver nonsense\noptions ndots:x\nnameserver", Resolv{Servers: []netip.Addr{netip.MustParseAddr("10.0.0.2")}, Ndots: 1}, false},
	} {
		got := ParseResolv(tt.text)
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || got.cached() != tt.cached {
			t.Errorf("%q: cached is %v (-want +got)\n%s", tt.text, got.cached(), diff)
		}
	}
}

func FuzzParseResolv(f *testing.F) {
	f.Add("nameserver 10.0.0.2\nsearch a b c\noptions ndots:5")
	f.Fuzz(func(t *testing.T, text string) {
		r := ParseResolv(text)
		if queries, _ := r.spreading(); r.Ndots < 0 || r.Ndots > 15 || queries < 2 {
			t.Errorf("%+v of %q", r, text)
		}
	})
}

package pods

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/agent/metric"
)

func answer(t testing.TB, name string) []assignment {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	list, err := parse(body)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b assignment) int { return cmp.Compare(a.pod, b.pod) })
	return list
}

// The files are answers as the marshalled structs of these versions of
// amazon-vpc-cni-k8s make them (pkg/ipamd/datastore/data_store.go).
func TestAnswers(t *testing.T) {
	at := netip.MustParseAddr
	tests := map[string][]assignment{
		"v1.12-secondary-addresses": {
			{"kube-system/coredns-5d78c9869d-abcde", at("10.0.1.20"), "eni-0aaa0000000000001"},
			{"shop/cart-7f9c7d6c5b-x2x2x", at("10.0.1.22"), "eni-0aaa0000000000001"},
			{"shop/checkout-0", at("10.0.1.40"), "eni-0aaa0000000000002"},
			{"shop/checkout-1", at("10.0.1.41"), "eni-0aaa0000000000002"},
		},
		"v1.19-prefixes-custom-networking": {
			{"batch/job-1", at("100.64.0.17"), "eni-0bbb0000000000002"},
			{"batch/job-2", at("100.64.1.17"), "eni-0bbb0000000000003"},
			{"kube-system/coredns-1", at("100.64.0.16"), "eni-0bbb0000000000002"},
		},
		"v1.20-ipv6": {
			{"kube-system/coredns-2", at("2001:db8:1:2::1"), "eni-0ccc0000000000001"},
			{"web/front-1", at("2001:db8:1:2::2"), "eni-0ccc0000000000001"},
		},
		"v1.23-two-cards-trunk": {
			{"hpc/rank-0", at("10.0.2.50"), "eni-0ddd0000000000003"},
			{"web/api-1", at("10.0.2.30"), "eni-0ddd0000000000002"},
			{"web/front-2", at("10.0.2.10"), "eni-0ddd0000000000001"},
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := gocmp.Diff(want, answer(t, name), gocmp.AllowUnexported(assignment{}), gocmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefusesWhatIsNotTheCNIs(t *testing.T) {
	for _, body := range []string{"", "<html>", "[]", `"x"`, `{"ENIs":[]}`, `{"0":[1]}`, `{"AvailableCommands":["/v1/enis"]}`} {
		if list, err := parse([]byte(body)); err == nil {
			t.Errorf("%q: no error, but %v", body, list)
		}
	}
	for _, body := range []string{
		`{"ENIs":{"eni-1":{"AvailableIPv4Cidrs":{"c":{"IPAddresses":{"a":{"Address":"10.0.0.1","IPAMMetadata":{"k8sPodNamespace":"a b","k8sPodName":"p"}}}}}}}}`,
		`{"ENIs":{"eni-1":{"AvailableIPv4Cidrs":{"c":{"IPAddresses":{"a":{"Address":"x","IPAMMetadata":{"k8sPodNamespace":"ns","k8sPodName":"p"}}}}}}}}`,
		`{"ENIs":{"eni-1":{"AvailableIPv4Cidrs":{"c":null}}}}`, `{}`,
	} {
		if list, err := parse([]byte(body)); err != nil || len(list) > 0 {
			t.Errorf("%s: %v, %v, want nothing", body, list, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"v1.12-secondary-addresses", "v1.20-ipv6", "v1.23-two-cards-trunk"} {
		body, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, _ := parse(body)
		for _, a := range list {
			if !a.address.IsValid() || len(a.pod) > 253+1+253 {
				t.Errorf("%+v is no assignment", a)
			}
		}
	})
}

// node is one with a primary ENI (2), a secondary one (3), a trunk (4) with a
// branch on VLAN 7 (10), and four pods' veths (20 to 23).
func node() (map[int]link, []rule, []route) {
	host := func(s string) netip.Prefix {
		a := netip.MustParseAddr(s)
		return netip.PrefixFrom(a, a.BitLen())
	}
	all, all6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	links := map[int]link{
		1: {name: "lo"}, 2: {name: "ens5"}, 3: {name: "ens6"}, 4: {name: "ens7"},
		10: {name: "vlan.eth.7", kind: "vlan", parent: 4},
		20: {name: "eni1", kind: "veth"}, 21: {name: "eni2", kind: "veth"}, 22: {name: "vlan3", kind: "veth"}, 23: {name: "eni4", kind: "veth"},
	}
	rules := []rule{{host("10.0.1.40"), 2}, {netip.MustParsePrefix("10.0.0.0/8"), 9}}
	routes := []route{
		{mainTable, all, 3, 1024}, {mainTable, all, 2, 512}, {2, all, 3, 0}, {107, all, 10, 0}, {mainTable, all6, 2, 1024},
		{mainTable, host("10.0.1.20"), 20, 0}, {mainTable, host("10.0.1.40"), 21, 0}, {107, host("10.0.9.9"), 22, 0},
		{mainTable, host("2001:db8:1:2::2"), 23, 0}, {mainTable, host("169.254.172.3"), 23, 0},
		{mainTable, host("10.0.1.1"), 2, 0}, {107, host("10.0.9.1"), 10, 0}, {mainTable, netip.MustParsePrefix("10.0.1.0/24"), 2, 0},
	}
	return links, rules, routes
}

func TestFollow(t *testing.T) {
	got := follow(node())
	want := map[netip.Addr]int{
		netip.MustParseAddr("10.0.1.20"): 2, netip.MustParseAddr("10.0.1.40"): 3,
		netip.MustParseAddr("10.0.9.9"): 4, netip.MustParseAddr("2001:db8:1:2::2"): 2,
	}
	if diff := gocmp.Diff(fmt.Sprint(want), fmt.Sprint(got.egress)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.nodeLocalDNS != 0 {
		t.Errorf("NodeLocal DNSCache on %d, but there is none", got.nodeLocalDNS)
	}
	links, rules, routes := node()
	links[30] = link{name: "nodelocaldns", kind: "dummy"}
	if got := follow(links, rules, routes).nodeLocalDNS; got != 2 {
		t.Errorf("NodeLocal DNSCache on %d, want the primary ENI, 2", got)
	}
	if got := follow(links, rules, nil); len(got.egress) != 0 || got.nodeLocalDNS != 0 {
		t.Errorf("%+v on a host without routes", got)
	}
}

func TestMap(t *testing.T) {
	named := answer(t, "v1.12-secondary-addresses")
	routes := follow(node())
	routes.nodeLocalDNS = 2
	both := join(named, routes)
	byName := join(named, routing{})
	byRoute := join(nil, routes)
	many := Map{}
	for i := range 30 {
		many.entries = append(many.entries, entry{pod: fmt.Sprintf("ns/p%02d", i), index: 2}, entry{pod: fmt.Sprintf("kube-system/coredns-%02d", i), index: 3})
	}
	dns := []string{"kube-system/coredns-5d78c9869d-abcde", "node-local-dns (host network)"}
	tests := []struct {
		name  string
		m     Map
		index int
		eni   string
		want  *metric.Pods
	}{
		// cart has no route: the CNI's word counts.
		{"both, primary", both, 2, "eni-0aaa0000000000001", &metric.Pods{Names: append(dns, "2001:db8:1:2::2", "shop/cart-7f9c7d6c5b-x2x2x"), DNS: dns}},
		{"both, id not known", both, 3, "", &metric.Pods{Names: []string{"shop/checkout-0"}, DNS: []string{}}},
		{"both, trunk", both, 4, "eni-0aaa0000000000009", &metric.Pods{Names: []string{"10.0.9.9"}, DNS: []string{}}},
		{"both, another", both, 5, "", nil},
		{"names alone", byName, 3, "eni-0aaa0000000000002", &metric.Pods{Names: []string{"shop/checkout-0", "shop/checkout-1"}, DNS: []string{}}},
		{"names alone, id not known", byName, 3, "", nil},
		{"routes alone", byRoute, 3, "eni-0aaa0000000000002", &metric.Pods{Names: []string{"10.0.1.40"}, DNS: []string{}}},
		{"nothing", Map{}, 2, "eni-1", nil},
		{"many", many, 2, "", &metric.Pods{Names: names("ns/p%02d", 20), DNS: []string{}, Omitted: 10}},
		{"many of DNS", many, 3, "", &metric.Pods{Names: names("kube-system/coredns-%02d", 20), DNS: names("kube-system/coredns-%02d", 20), Omitted: 10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := gocmp.Diff(tt.want, tt.m.Of(tt.index, tt.eni)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func names(format string, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf(format, i))
	}
	return list
}

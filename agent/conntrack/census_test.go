package conntrack

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhoseEntriesTheyAre(t *testing.T) {
	addr := netip.MustParseAddr
	pods := map[netip.Addr]string{
		addr("10.0.1.20"): "shop/cart", addr("10.0.1.30"): "kube-system/coredns-1", addr("2001:db8::20"): "shop/cart",
	}
	c := newCensus(func(a netip.Addr) (string, bool) { name, ok := pods[a]; return name, ok })
	c.local = map[netip.Addr]bool{addr("10.0.0.5"): true}
	for _, e := range []struct {
		source, destination, answerer string
		protocol                      uint8
		port                          uint16
		times                         int
	}{
		{"10.0.1.20", "172.20.0.10", "10.0.1.30", 17, 53, 5},    // cart asks CoreDNS by its Service: cart's
		{"10.0.1.20", "10.0.3.9", "10.0.3.9", 6, 5432, 7},       // and its database
		{"2001:db8::20", "2001:db8::9", "2001:db8::9", 6, 1, 2}, // by its other address
		{"10.0.9.9", "10.0.0.5", "10.0.1.30", 6, 80, 4},         // somebody comes to CoreDNS by a port of this host
		{"10.0.0.5", "10.0.3.9", "10.0.3.9", 6, 443, 3},         // this host goes out
		{"10.0.8.1", "10.0.0.5", "10.0.0.5", 6, 22, 2},          // and somebody comes to it
		{"10.0.8.2", "10.0.0.5", "10.0.0.5", 6, 22, 1},
		{"10.0.7.7", "172.20.0.50", "10.0.0.5", 6, 443, 1}, // by a Service, too
		{"10.9.9.9", "10.0.3.9", "10.0.3.9", 1, 0, 1},      // of a pod that nobody knows
	} {
		for i := range e.times {
			c.add(&entry{addr(e.source), addr(e.destination), addr(e.answerer), e.protocol, e.port, i > 0})
		}
	}
	got := c.owners(4)
	if diff := cmp.Diff(&Owners{
		Top: []Owner{
			{Name: "shop/cart", Entries: 14, Unreplied: 3, Mostly: "tcp 10.0.3.9:5432", MostlyEntries: 7},
			{Name: "kube-system/coredns-1", Entries: 4, Unreplied: 1, Mostly: "tcp 10.0.0.5:80", MostlyEntries: 4},
			{Name: "this host at tcp port 22", Entries: 3, Unreplied: 2},
			{Name: "this host to tcp 10.0.3.9:443", Entries: 3, Unreplied: 1},
		},
		Others: 2, Seen: 26,
	}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if last := c.owners(10).Top[4]; last.Name != "10.9.9.9" || last.Mostly != "icmp 10.0.3.9" {
		t.Errorf("a pod that nobody knows: %+v", last)
	}
}

// However many there are, little is kept, and the sum is right.
func TestCensusIsBounded(t *testing.T) {
	c := newCensus(func(netip.Addr) (string, bool) { return "", false })
	const many = 2*maxFlows + 500
	for i := range many {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		c.add(&entry{source: a, destination: a, answerer: a, port: 1})
	}
	got := c.owners(20)
	sum := got.Others
	for _, o := range got.Top {
		sum += o.Entries
	}
	if len(c.flows) > 2*maxFlows || len(got.Top) != 20 || sum != many || got.Seen != sum {
		t.Errorf("%d flows are kept, %d listed, %s", len(c.flows), len(got.Top), fmt.Sprint(sum, got.Seen))
	}
}

// A pod that talks to more places than there is room for is still the one that has
// most, and takes nobody else's room.
func TestCensusNamesWhoIsEverywhere(t *testing.T) {
	crawler, shop := netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.1.2")
	pods := map[netip.Addr]string{crawler: "web/crawler", shop: "shop/cart"}
	c := newCensus(func(a netip.Addr) (string, bool) { name, ok := pods[a]; return name, ok })
	const pages, orders = 5 * maxFlows, maxFlows
	for i := range pages {
		to := netip.AddrFrom4([4]byte{93, byte(i >> 16), byte(i >> 8), byte(i)})
		c.add(&entry{source: crawler, destination: to, answerer: to, protocol: 6, port: 443, replied: true})
	}
	database := netip.MustParseAddr("10.0.3.9")
	for range orders {
		c.add(&entry{source: shop, destination: database, answerer: database, protocol: 6, port: 5432, replied: true})
	}
	got := c.owners(2)
	if got.Others != 0 || got.Top[0].Name != "web/crawler" || got.Top[0].Entries != pages || got.Top[1].Name != "shop/cart" || got.Top[1].Entries != orders {
		t.Errorf("%+v", got)
	}
}

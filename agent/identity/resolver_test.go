package identity

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// step is what Run found, and when.
type step struct {
	at    time.Duration
	facts []Fact
	enis  []ENI
	errs  []string
}

// rig runs a resolver inside of a synctest bubble.
type rig struct {
	*fake
	*Resolver
	steps []step
}

// start makes a resolver of the fake, after its Find for the given MACs.
func start(t *testing.T, f *fake, macs ...string) *rig {
	o := options(t, "http://imds")
	o.transport = f.pipe()
	g := &rig{fake: f, Resolver: New(o)}
	g.Find(t.Context(), macs...)
	begin := time.Now()
	go g.Run(t.Context(), func(u Update) {
		s := step{at: time.Since(begin), enis: u.ENIs, errs: lines(t, u.Errs)}
		if u.Host != nil {
			s.facts = u.Host.Facts()
		}
		g.steps = append(g.steps, s)
	})
	return g
}

// pass lets time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// check compares what was found since the last check.
func (g *rig) check(want ...step) {
	g.t.Helper()
	if !slices.EqualFunc(want, g.steps, func(a, b step) bool {
		return a.at == b.at && slices.Equal(a.facts, b.facts) && slices.Equal(a.enis, b.enis) && slices.Equal(a.errs, b.errs)
	}) {
		g.t.Errorf("got  %+v\nwant %+v", g.steps, want)
	}
	g.steps = nil
}

// counted returns how often each request was made, by the end of its path.
func counted(requests []string) map[string]int {
	n := map[string]int{}
	for _, r := range requests {
		parts := strings.Split(strings.TrimSuffix(r, "/"), "/")
		n[parts[len(parts)-1]]++
	}
	return n
}

// IMDS lags behind a hot attach: it is asked 1, 2, 4 ... seconds later, with one
// request for all interfaces.
func TestRunWaitsForLaggingENI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mac3 = "02:00:00:00:00:03"
		f := newFake(t)
		f.attach(mac2, 1, time.Now().Add(5*time.Second))
		f.attach(mac3, 2, time.Now().Add(10*time.Second))
		g := start(t, f, mac1, mac2, mac3)
		f.asked()
		pass(time.Hour)
		g.check(
			step{at: 7 * time.Second, enis: []ENI{eni(mac2, 1)}},
			step{at: 15 * time.Second, enis: []ENI{eni(mac3, 2)}},
		)
		diff(t, "requests", map[string]int{
			"macs": 4, "interface-id": 2, "device-number": 2, "network-card": 2, "subnet-id": 2, "vpc-id": 2, "vpc-ipv4-cidr-block": 2,
		}, counted(f.asked()))
	})
}

// Interfaces that come within a second share a round.
func TestResolveShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		g := start(t, f)
		pass(time.Minute)
		f.asked()
		const mac3 = "0a:00:00:00:00:02"
		f.attach(mac3, 1, time.Time{})
		f.values["meta-data/network/interfaces/macs/"+mac3+"/network-card"] = "1"
		g.Resolve(mac1)
		pass(300 * time.Millisecond)
		g.Resolve("0A:00:00:00:00:02", "06:00:00:00:00:00")
		pass(time.Second)
		second := eni(mac3, 1)
		second.NetworkCard = 1
		g.check(step{at: time.Minute + time.Second, enis: []ENI{eni(mac1, 0), second}})
		diff(t, "requests", map[string]int{
			"macs": 1, "interface-id": 2, "device-number": 2, "network-card": 2, "subnet-id": 2, "vpc-id": 2, "vpc-ipv4-cidr-block": 2,
		}, counted(f.asked()))
	})
}

// A new interface makes the rounds quick again.
func TestResolveQuickensRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		g := start(t, f, "06:00:00:00:00:00")
		pass(64 * time.Second) // the next round is at 123 s
		g.Resolve(mac2)
		pass(5 * time.Second)
		g.check(step{at: 65 * time.Second, enis: []ENI{eni(mac2, 1)}})
		f.attach("06:00:00:00:00:00", 5, time.Time{})
		pass(10 * time.Second)
		g.check(step{at: 71 * time.Second, enis: []ENI{eni("06:00:00:00:00:00", 5)}})
	})
}

// An interface that comes and goes all the time costs at most one round a
// second.
func TestResolveLimitsRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		g := start(t, f)
		f.asked()
		for range 600 {
			g.Resolve(mac1)
			pass(100 * time.Millisecond)
		}
		if n := counted(f.asked())["macs"]; n < 50 || n > 60 {
			t.Errorf("%d rounds in a minute, want one a second", n)
		}
	})
}

func TestRunGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		g := start(t, f, "06:00:00:00:00:01", "06:00:00:00:00:00")
		f.asked()
		pass(24 * time.Hour)
		g.check(step{at: 303 * time.Second, errs: []string{
			"give up asking which ENI has the MAC 06:00:00:00:00:00, 06:00:00:00:00:01: " +
				"IMDS does not list it: restart the agent to ask again if it is attached to this instance",
		}})
		diff(t, "requests", map[string]int{"token": 1, "macs": 10}, counted(f.asked())) // a token lasts 300 s
	})
}

// A host that starts before its network learns who it is later.
func TestRunFindsHostLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		begin := time.Now()
		f.fault = func(w http.ResponseWriter, _ *http.Request) bool {
			if down := time.Since(begin) < 5*time.Second; down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		g := start(t, f, mac1)
		pass(time.Hour)
		g.check(step{at: 7 * time.Second, facts: wantFacts, enis: []ENI{eni(mac1, 0)}})
		diff(t, "requests", map[string]int{
			"token": 4, "document": 1, "availability-zone-id": 1, "instance": 1,
			"macs": 1, "interface-id": 1, "device-number": 1, "network-card": 1, "subnet-id": 1, "vpc-id": 1, "vpc-ipv4-cidr-block": 1,
		}, counted(f.asked()))
	})
}

// What is known of the host stays so when later requests fail.
func TestRunCompletesHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.tag("eks:cluster-name", "prod")
		failing := []string{"/instance", "/document"} // one in each round
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if len(failing) > 0 && strings.HasSuffix(r.URL.Path, failing[0]) {
				failing = failing[1:]
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		o := options(t, "http://imds")
		o.transport = f.pipe()
		r := New(o)
		host, _, errs := r.Find(t.Context())
		diff(t, "facts", wantFacts, host.Facts())
		diff(t, "number of errors", 1, len(errs))
		var updates []Update
		go r.Run(t.Context(), func(u Update) { updates = append(updates, u) })
		pass(time.Hour)
		if len(updates) != 1 || updates[0].Host == nil || updates[0].Host.Cluster != "prod" {
			t.Errorf("updates are %+v, want one with the cluster", updates)
		}
	})
}

func TestRunGivesUpSilentIMDS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}
		g := start(t, f, mac1)
		f.asked()
		pass(24 * time.Hour)
		const why = "IMDS does not answer (imds: it takes the connection and sends no token within 1s): in a pod set hostNetwork or raise the hop limit to 2, " +
			"or set identity.instance_id and identity.mode: static"
		g.check(step{at: (303 + 10) * time.Second, errs: []string{ // each of 10 rounds takes 1 s
			"give up asking who this host is: " + why,
			"give up asking which ENI has the MAC 02:00:00:00:00:01: " + why,
		}})
		diff(t, "requests", map[string]int{"token": 10}, counted(f.asked()))
	})
}

// IMDS that is off, static, or not there is never asked again.
func TestRunAsksNothing(t *testing.T) {
	for name, status := range map[string]int{"off": 403, "version 1 only": 404} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				f.fault = func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(status); return true }
				g := start(t, f, mac1)
				f.asked()
				g.Resolve(mac1, mac2)
				pass(time.Hour)
				g.check()
				diff(t, "requests", []string(nil), f.asked())
			})
		})
	}
	t.Run("no MAC", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			g := start(t, f)
			f.asked()
			g.Resolve("", "../../iam/security-credentials", mac1+"/..", mac1+"\n", "02-00-00-00-00-01")
			pass(time.Hour)
			g.check()
			diff(t, "requests", []string(nil), f.asked())
		})
	})
	t.Run("static", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			o := options(t, "http://imds")
			o.Static, o.transport = true, f.pipe()
			r := New(o)
			r.Find(t.Context(), mac1)
			go r.Run(t.Context(), func(u Update) { t.Errorf("found %+v", u) })
			r.Resolve(mac2)
			pass(time.Hour)
			diff(t, "requests", []string(nil), f.asked())
		})
	})
}

// ENIs of the configuration are found without a request.
func TestKnownENIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		o := options(t, "http://imds")
		o.transport = f.pipe()
		o.ENIs = []ENI{{MAC: "0a:00:00:00:00:01", ID: "eni-a"}, {MAC: "0a:00:00:00:00:02", ID: "eni-b"}}
		r := New(o)
		_, enis, _ := r.Find(t.Context(), "0A:00:00:00:00:01")
		diff(t, "ENIs at the start", o.ENIs[:1], enis)
		diff(t, "requests for interfaces", 0, counted(f.asked())["macs"])
		r.Resolve(o.ENIs[1].MAC)
		r.Resolve(mac1) // neither waits for Run
		var later []ENI
		go r.Run(t.Context(), func(u Update) { later = append(later, u.ENIs...) })
		pass(time.Minute)
		diff(t, "ENIs later", []ENI{o.ENIs[1], eni(mac1, 0)}, later)
		diff(t, "requests for interface ids", 1, counted(f.asked())["interface-id"])
	})
}

// Run ends with its context, even while IMDS hangs.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.fault = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}
		o := options(t, "http://imds")
		o.transport = f.pipe()
		r := New(o)
		r.Find(t.Context(), mac1)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan time.Time, 1)
		go func() {
			r.Run(ctx, func(u Update) { t.Errorf("found %+v", u) })
			ended <- time.Now()
		}()
		pass(1500 * time.Millisecond) // in the first round
		canceled := time.Now()
		cancel()
		diff(t, "time to the end", time.Duration(0), (<-ended).Sub(canceled))
	})
}

// Neither the MACs that are asked for nor those that IMDS lists lead anywhere
// but to the interfaces of this host.
func TestPathsStayBelowInterfaces(t *testing.T) {
	f := newFake(t)
	f.fault = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/macs/") {
			w.Write([]byte("../../../iam/security-credentials/\n" + mac1 + "/../../iam/\n06:00:00:00:00:09/\n" + strings.ToUpper(mac2) + "/"))
			return true
		}
		return false
	}
	f.values["meta-data/network/interfaces/macs/"+mac2+"/subnet-id"] = "<html>"
	_, enis, _ := New(options(t, f.listen())).Find(t.Context(), mac1, mac2, "", "../../iam/security-credentials", mac1+"/..", "06:00:00:00:00:09\n")
	want := eni(mac2, 1)
	want.SubnetID = ""
	diff(t, "ENIs", []ENI{want}, enis)
	for _, r := range f.asked()[4:] {
		if !strings.HasPrefix(r, "GET meta-data/network/interfaces/macs/") || strings.Contains(r, "..") || strings.Contains(r, mac1) {
			t.Errorf("asked for %s", r)
		}
	}
}

// An interface whose id or place makes no sense is not known yet.
func TestFindLeavesOutBadENIs(t *testing.T) {
	for name, value := range map[string]string{
		"interface-id": "eni-1\neni-2", "device-number": "-1", "network-card": "99999999999999999999",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			f.values["meta-data/network/interfaces/macs/"+mac1+"/"+name] = value
			_, enis, errs := New(options(t, f.listen())).Find(t.Context(), mac1, mac2)
			diff(t, "ENIs", []ENI{eni(mac2, 1)}, enis)
			diff(t, "errors", []string(nil), lines(t, errs))
		})
	}
}

// What was found before IMDS failed counts, and the rest is asked for again.
func TestRunCompletesENIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		failing := true
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if failing && strings.Contains(r.URL.Path, mac2) {
				failing = false
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}
		o := options(t, "http://imds")
		o.transport = f.pipe()
		r := New(o)
		_, enis, errs := r.Find(t.Context(), mac1, mac2)
		diff(t, "ENIs at the start", []ENI{eni(mac1, 0)}, enis)
		diff(t, "number of errors", 1, len(errs))
		go r.Run(t.Context(), func(u Update) { enis = append(enis, u.ENIs...) })
		pass(time.Minute)
		diff(t, "ENIs", []ENI{eni(mac1, 0), eni(mac2, 1)}, enis)
	})
}

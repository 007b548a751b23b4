package agent

import (
	"strconv"
	"time"

	"github.com/enawatch/enawatch/agent/linklocal"
	"github.com/enawatch/enawatch/agent/metric"
)

// LinkLocal counts what interfaces send to link-local services, as a
// linklocal.Meter does. Its methods must not block.
type LinkLocal interface {
	// Watch counts an interface, by its index, until Unwatch.
	Watch(index int, name string)
	Unwatch(index int)
	// Tick counts what was sent since the last one.
	Tick()
	// Use is what an interface sent between the last two ticks, and Totals since
	// it is counted; false if it is not.
	Use(index int) (linklocal.Use, bool)
	Totals(index int) (linklocal.Totals, bool)
	// Top ranks who sent in the newest ticks; false if nobody knows.
	Top(n, ticks int) (top []linklocal.Sender, others linklocal.Sender, ok bool)
	// Names are the n names that were asked for most lately.
	Names(n int) []linklocal.QueryCount
	// Retransmits is how many segments of TCP this host sent again, ever.
	Retransmits() uint64
}

// tickTraffic puts what is known of this host's traffic into this second. last
// says that it is the last one. The caller holds the lock.
func (a *Agent) tickTraffic(last bool) {
	a.tickLinkLocal()
	a.tickConntrack()
	if a.LinkLocal != nil || a.Conntrack != nil {
		a.record(last)
	}
}

// tickLinkLocal puts what was sent since the last tick into this second. The
// caller holds the lock.
func (a *Agent) tickLinkLocal() {
	if a.LinkLocal == nil {
		return
	}
	a.LinkLocal.Tick()
	a.linkLocalTicks++
	for _, i := range a.interfaces {
		if use, ok := a.LinkLocal.Use(i.index); ok {
			a.window.Sent(i.row, use.Peak)
			a.window.Unanswered(use.Unanswered)
		}
	}
}

// addSenders names in a window who sent most in it. The caller holds the lock.
func (a *Agent) addSenders(b *metric.Batch) {
	if a.LinkLocal == nil || a.TopSenders == 0 {
		return
	}
	top, others, ok := a.LinkLocal.Top(a.TopSenders, a.linkLocalTicks)
	a.linkLocalTicks = 0
	if !ok {
		return
	}
	b.Senders = senders(top, a.Sample)
	b.OtherSenders = others.Total()
}

// linkLocal is what a snapshot says. The caller holds the lock.
func (a *Agent) linkLocal() *metric.LinkLocal {
	if a.LinkLocal == nil {
		return nil
	}
	l := &metric.LinkLocal{}
	for _, i := range a.interfaces {
		t, ok := a.LinkLocal.Totals(i.index)
		if !ok {
			continue
		}
		u := metric.LinkLocalUse{Interface: i.row.Interface, PeakPPS: t.Peak, DNS: metric.DNS{
			Queries: t.Queries, Retries: t.Retries, Answers: t.Answers, Unanswered: t.Unanswered,
			RCodes: t.RCodes, LatencySum: t.LatencySum,
		}}
		for s := range linklocal.NumServices {
			u.Services = append(u.Services, metric.ServicePackets{
				Service: linklocal.Service(s).String(), Packets: t.Packets[s], Bytes: t.Bytes[s],
			})
		}
		for n, count := range t.Latencies {
			bound := time.Microsecond << n
			if n == len(t.Latencies)-1 {
				bound = 0
			}
			u.DNS.Latencies = append(u.DNS.Latencies, metric.LatencyCount{AtMost: bound, Count: count})
		}
		l.Interfaces = append(l.Interfaces, u)
	}
	top, others, ok := a.LinkLocal.Top(max(1, a.TopSenders), int(time.Minute/a.Sample))
	if ok {
		l.Senders, l.SendersKnown = senders(top, a.Sample), true
		l.Others = senders([]linklocal.Sender{others}, a.Sample)[0]
		l.Others.Name = "others"
	}
	return l
}

// LinkLocalSelf lists for /metrics what is known of link-local traffic: a bounded
// number of series, whoever sends.
func LinkLocalSelf(l *metric.LinkLocal) (list []metric.SelfMetric) {
	add := func(name, help string, kind metric.Kind, value float64, labels ...string) {
		m := metric.SelfMetric{Name: "enawatch_" + name, Help: help, Kind: kind, Value: value}
		for n := 0; n < len(labels); n += 2 {
			m.Labels = append(m.Labels, metric.Dimension{Name: labels[n], Value: labels[n+1]})
		}
		list = append(list, m)
	}
	for _, u := range l.Interfaces {
		name, mac := u.Interface.Name, u.Interface.MAC
		count := func(metricName, help string, value uint64, labels ...string) {
			add(metricName, help, metric.Counter, float64(value), append([]string{"interface", name, "mac", mac}, labels...)...)
		}
		for _, s := range u.Services {
			count("linklocal_packets_total", "Packets sent to link-local services.", s.Packets, "service", s.Service)
			count("linklocal_bytes_total", "Bytes sent to link-local services.", s.Bytes, "service", s.Service)
		}
		add("linklocal_pps_peak", "Most packets to link-local services in any one second of the last minute.", metric.Gauge,
			float64(u.PeakPPS), "interface", name, "mac", mac)
		count("dns_queries_total", "DNS queries over UDP to the VPC's resolver.", u.DNS.Queries)
		count("dns_retries_total", "Those of them with the id and name of one that was still waiting.", u.DNS.Retries)
		count("dns_unanswered_total", "Those of them that had no answer within 5 s.", u.DNS.Unanswered)
		for code, n := range u.DNS.RCodes {
			if n > 0 || code == 0 {
				count("dns_answers_total", "Answers of the VPC's resolver by response code.", n, "rcode", rcode(code))
			}
		}
		sum := uint64(0)
		for _, b := range u.DNS.Latencies {
			sum += b.Count
			le := "+Inf"
			if b.AtMost > 0 {
				le = strconv.FormatFloat(b.AtMost.Seconds(), 'g', -1, 64)
			}
			if b.AtMost == 0 || b.AtMost > 100*time.Microsecond {
				count("dns_answers_within_total", "Answers that took at most le seconds: histogram_quantile takes it.", sum, "le", le)
			}
		}
	}
	for _, s := range append(l.Senders, l.Others) {
		if l.SendersKnown {
			add("linklocal_sender_packets", "Packets to link-local services in the last minute, of those who sent most and of all others.", metric.Gauge, float64(s.Packets),
				"sender", s.Name, "namespace", s.Namespace, "pod", s.Pod, "container", s.Container, "unit", s.Unit)
		}
	}
	return list
}

// rcode names a response code (RFC 6895, section 2.3).
func rcode(code int) string {
	names := []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}
	if code < len(names) {
		return names[code]
	}
	return strconv.Itoa(code)
}

// senders are senders in the currency of sinks. sample is how long a tick is.
func senders(top []linklocal.Sender, sample time.Duration) (all []metric.Sender) {
	for _, s := range top {
		m := metric.Sender{
			Name: s.Name.String(), Namespace: s.Name.Namespace, Pod: s.Name.Pod, Container: s.Name.Container,
			Unit: s.Name.Unit, Process: s.Name.Process,
			Packets: s.Total(), PeakPPS: uint64(float64(s.Peak) / sample.Seconds()),
		}
		for service, n := range s.Packets {
			if n > 0 {
				m.Services = append(m.Services, metric.ServicePackets{Service: linklocal.Service(service).String(), Packets: n})
			}
		}
		all = append(all, m)
	}
	return all
}

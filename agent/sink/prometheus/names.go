package prometheus

import (
	"strings"

	"github.com/enawatch/enawatch/agent/metric"
	"github.com/enawatch/enawatch/agent/pattern"
)

// host names the host once, for joins: Prometheus labels every series of a
// scrape with the target's instance already.
func (p *page) host(r *metric.Resource) {
	pairs := []string{"host", r.Host, "instance_id", r.InstanceID}
	for _, d := range r.Dimensions {
		pairs = append(pairs, d.Name, d.Value)
	}
	p.add(family{name: "enawatch_host_info", kind: Gauge, help: "The host, and the dimensions that its metrics have at other sinks."},
		p.labels(pairs...), 1)
}

// verdict says what became of the newest reading of an interface. Its other
// series keep the values of the last reading that was believed.
func (p *page) verdict(i *metric.InterfaceState) {
	if i.Verdict == "" {
		return // Not read yet.
	}
	p.add(family{name: "enawatch_interface_verdict", kind: Gauge, help: "Verdict on the newest reading of the interface: 1 for the one that holds."},
		p.labels("interface", i.Name, "mac", i.MAC, "verdict", i.Verdict), 1)
}

func (p *page) self(m *metric.SelfMetric) {
	pairs := make([]string, 0, 2*len(m.Labels))
	for _, l := range m.Labels {
		pairs = append(pairs, l.Name, l.Value)
	}
	d := family{name: metricName(m.Name), help: m.Help, kind: kindOf(m.Kind)}
	p.add(d, p.labels(pairs...), m.Value)
}

// native publishes the totals of the catalogue: counters that survive device
// resets, ena_NAME_total, and gauges, ena_NAME.
func (p *page) native(i *metric.InterfaceState) {
	p.add(family{name: "ena_interface_info", kind: Gauge, help: "The interface and what its driver says of itself."},
		p.labels("interface", i.Name, "mac", i.MAC, "eni", i.ENI, "bus_info", i.BusInfo, "driver", i.Driver.Name,
			"version", i.Driver.Version, "firmware_version", i.Driver.FirmwareVersion), 1)
	labels := p.labels("interface", i.Name, "mac", i.MAC, "eni", i.ENI)
	for _, t := range i.Totals {
		base := "ena_" + strings.TrimPrefix(sanitised(t.Name), "ena_")
		d := family{name: base, kind: kindOf(t.Kind), help: firstSentence(t.Help)}
		if d.kind == Counter {
			d.name += "_total"
		}
		// OpenMetrics wants the name to end in the unit.
		if unit := strings.ToLower(string(t.Unit)); (t.Unit == metric.Bytes || t.Unit == metric.Seconds) && strings.HasSuffix(base, "_"+unit) {
			d.unit = unit
		}
		p.add(d, labels, float64(t.Value))
	}
}

func firstSentence(s string) string {
	if sentence, _, ok := strings.Cut(s, ". "); ok {
		return sentence + "."
	}
	return s
}

// nodeExporter publishes what node_exporter's ethtool collector does
// (collector/ethtool_linux.go), from the same stats: raw, untyped, queue by
// queue. Versions 1.5 and 1.12 differ only in the HELP of names that need
// sanitising, which no ENA driver has; it is that of 1.12.
//
// The collector's node_network_* metrics speak of link settings. ENA has none
// (the card lacks ENA_ADMIN_LINK_CONFIG, so that ETHTOOL_GSET fails with
// EOPNOTSUPP), hence node_exporter lacks them for an ENA device too.
func (p *page) nodeExporter(i *metric.InterfaceState) {
	p.add(family{name: "node_ethtool_info", kind: Gauge,
		help: "A metric with a constant '1' value labeled by bus_info, device, driver, expansion_rom_version, firmware_version, version."},
		p.labels("bus_info", i.Driver.BusInfo, "device", i.Name, "driver", i.Driver.Name, "expansion_rom_version", i.Driver.ExpansionROMVersion,
			"firmware_version", i.Driver.FirmwareVersion, "version", i.Driver.Version), 1)

	// Of stats that get the same name, node_exporter publishes none. Of a stat
	// that a driver lists twice, it publishes the last value.
	last := make(map[string]int, len(i.Raw)) // index in Raw, or -1
	for n := range i.Raw {
		name := p.nodeExporterFamily(i.Raw[n].Name).name
		if m, ok := last[name]; ok && (m < 0 || i.Raw[m].Name != i.Raw[n].Name) {
			last[name] = -1
		} else {
			last[name] = n
		}
	}
	labels := p.labels("device", i.Name)
	for n, raw := range i.Raw {
		d := p.nodeExporterFamily(raw.Name)
		if last[d.name] != n || d.name == "" {
			continue
		}
		if known, ok := nodeExporterWellKnown[sanitised(raw.Name)]; ok {
			d = known
		}
		d.kind = Untyped
		p.add(d, labels, float64(raw.Value))
	}
}

// nodeExporterFamily returns the family of a stat by node_exporter's rule, with
// no name if the rule gives none. Interfaces mostly have the same stats.
func (p *page) nodeExporterFamily(stat string) family {
	d, ok := p.nodeExporterFamilies[stat]
	if !ok {
		if name := nodeExporterName(stat); name != "" {
			d = family{name: "node_ethtool_" + name, help: "Network interface " + sanitised(stat)}
		}
		p.nodeExporterFamilies[stat] = d
	}
	return d
}

// nodeExporterWellKnown are stats that node_exporter names by hand.
var nodeExporterWellKnown = map[string]family{
	"rx_bytes":   {name: "node_ethtool_received_bytes_total", help: "Network interface bytes received"},
	"rx_dropped": {name: "node_ethtool_received_dropped_total", help: "Number of received frames dropped"},
	"rx_errors":  {name: "node_ethtool_received_errors_total", help: "Number of received frames with errors"},
	"rx_packets": {name: "node_ethtool_received_packets_total", help: "Network interface packets received"},
	"tx_bytes":   {name: "node_ethtool_transmitted_bytes_total", help: "Network interface bytes sent"},
	"tx_errors":  {name: "node_ethtool_transmitted_errors_total", help: "Number of sent frames with errors"},
	"tx_packets": {name: "node_ethtool_transmitted_packets_total", help: "Network interface packets sent"},
}

// nodeExporterName returns the name that node_exporter gives a stat, without
// "node_ethtool_". It may be empty.
func nodeExporterName(stat string) string {
	name := strings.TrimLeft(strings.ToLower(sanitised(stat)), "_")
	return renamed(renamed(name, "rx", "received"), "tx", "transmitted")
}

// renamed replaces token wherever it stands between underscores or at an end.
// Of two tokens in a row only the first is replaced, since an underscore
// delimits one of them only: queue_0_rx_rx_copybreak_pkt becomes
// queue_0_received_rx_copybreak_pkt.
func renamed(s, token, by string) string {
	var b strings.Builder
	from, free := 0, 0 // s[:from] is written; the next match starts at free or later
	for {
		at := strings.Index(s[free:], token)
		if at < 0 {
			break
		}
		at += free
		end := at + len(token)
		starts := at == 0 || at > free && s[at-1] == '_'
		if !starts || end < len(s) && s[end] != '_' {
			free = at + 1
			continue
		}
		b.WriteString(s[from:at])
		b.WriteString(by)
		from = end
		free = min(end+1, len(s))
	}
	if from == 0 {
		return s
	}
	return b.String() + s[from:]
}

// showmax publishes what Showmax's prometheus-ethtool-exporter does
// (ethtool-exporter.py), as the rules of the EKS best-practices guide want it.
// It parses the output of ethtool, "NAME: VALUE" a line, and so drops names
// that hold ": ", and of equal names takes the first. Of the labels of its info
// metric an ENA device has device and link_detected: it supports no link
// settings, hence no speed, duplex and port.
func (p *page) showmax(i *metric.InterfaceState) {
	info := []string{"device", i.Name}
	switch i.Link {
	case "up":
		info = append(info, "link_detected", "yes")
	case "down":
		info = append(info, "link_detected", "no")
	}
	p.add(family{name: "node_net_ethtool_info", kind: Gauge, help: "Ethtool device information"}, p.labels(info...), 1)

	d := family{name: "node_net_ethtool", kind: Gauge, help: "Ethtool data"}
	common := p.labels("device", i.Name)
	for _, raw := range i.Raw {
		if strings.Contains(raw.Name, ": ") {
			continue
		}
		labels := append(common[:len(common):len(common)], label("type", strings.TrimSpace(raw.Name)))
		p.add(d, labels, float64(raw.Value))
	}
}

// odd matches what may not be in a name, and the underscores beside it, as
// node_exporter's SanitizeMetricName does.
var odd = pattern.New(`_*[^0-9A-Za-z_]+_*`)

// sanitised returns s with one underscore for each odd part. Names of the
// driver have none.
func sanitised(s string) string {
	for i := range len(s) {
		if c := s[i]; c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return odd().ReplaceAllString(s, "_")
		}
	}
	return s
}

// metricName returns s as a valid name of a metric.
func metricName(s string) string {
	s = sanitised(s)
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return "_" + s
	}
	return s
}

// LabelName returns s as a valid name of a label. Prometheus keeps names that
// start with two underscores to itself.
func LabelName(s string) string {
	s = metricName(s)
	if strings.HasPrefix(s, "__") {
		return "_" + strings.TrimLeft(s, "_")
	}
	return s
}

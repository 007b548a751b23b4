package simulate

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/enawatch/enawatch/agent/pattern"
)

// Parse reads a scenario; file is for messages and the scenario's name. The
// error names the file and the line.
func Parse(file string, text []byte) (*Scenario, error) {
	src := source{file}
	root, err := src.document(text)
	if err != nil {
		return nil, err
	}
	s := &Scenario{Name: nameOf(file)}
	var deviceNodes, stepNodes []*yaml.Node
	collect := func(into *[]*yaml.Node, what string, most int) func(*yaml.Node) error {
		return func(n *yaml.Node) error {
			return src.list(n, what, most, func(n *yaml.Node) error { *into = append(*into, n); return nil })
		}
	}
	met, err := src.mapping(root, "a scenario", keys{
		"description": func(n *yaml.Node) error { return src.text(n, &s.Description) },
		"kernel":      func(n *yaml.Node) error { return choice(src, n, contracts, &s.oldKernel) },
		"repeat":      func(n *yaml.Node) error { return src.duration(n, &s.repeat) },
		"devices":     collect(&deviceNodes, "devices", maxDevices),
		"steps":       collect(&stepNodes, "steps", maxSteps),
		"end":         func(n *yaml.Node) error { return src.end(n, &s.end) },
	})
	if err != nil {
		return nil, err
	}
	if len(deviceNodes) == 0 {
		return nil, src.errorf(root, "a scenario needs devices")
	}
	if r := met["repeat"]; r != nil && s.repeat < time.Second {
		return nil, src.errorf(r, "repeat after 1s or more")
	}
	for i, n := range deviceNodes {
		if err := s.parseDevice(src, n, i); err != nil {
			return nil, err
		}
	}
	for i, n := range stepNodes {
		if err := s.parseStep(src, n, i == 0); err != nil {
			return nil, err
		}
	}
	if err := s.checkNames(src, root); err != nil {
		return nil, err
	}
	return s, s.checkStats(src, deviceNodes, stepNodes)
}

// contracts says whether a kernel is an old one.
var contracts = map[string]bool{"new": false, "old": true}

func (src source) end(n *yaml.Node, into *end) error {
	met, err := src.mapping(n, "end", keys{
		"at":    func(n *yaml.Node) error { return src.duration(n, &into.at) },
		"reads": func(n *yaml.Node) error { return src.count(n, 1, maxReadings, &into.readings) },
	})
	if err == nil && (len(met) != 1 || met["at"] != nil && into.at == 0) {
		err = src.errorf(n, "end needs either at, a time after the start, or reads, a number of readings")
	}
	return err
}

var (
	// interfaceName is a subset of what the kernel takes (dev_valid_name).
	interfaceName = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$`)
	busAddress    = pattern.New(`^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
)

// firstSlot is where the first of a host's ENA devices usually is: ens5.
const firstSlot = 5

func (s *Scenario) parseDevice(src source, n *yaml.Node, position int) error {
	slot := firstSlot + position
	d := &deviceScript{
		mac:    fmt.Sprintf("06:00:00:00:00:%02x", slot),
		bus:    fmt.Sprintf("0000:%02x:%02x.0", slot/32, slot%32),
		queues: 2, attached: true,
	}
	met, err := src.mapping(n, "a device", keys{
		"name":             func(n *yaml.Node) error { return src.interfaceName(n, &d.name) },
		"mac":              func(n *yaml.Node) error { return src.mac(n, &d.mac) },
		"bus":              func(n *yaml.Node) error { return src.bus(n, &d.bus) },
		"driver":           func(n *yaml.Node) error { return choice(src, n, drivers, &d.driver) },
		"version":          func(n *yaml.Node) error { return src.version(n, &d.version) },
		"queues":           func(n *yaml.Node) error { return src.count(n, 1, maxQueues, &d.queues) },
		"customer_metrics": func(n *yaml.Node) error { return src.flag(n, &d.customerMetrics) },
		"srd":              func(n *yaml.Node) error { return src.flag(n, &d.srd) },
		"phc":              func(n *yaml.Node) error { return src.flag(n, &d.phc) },
		"attached":         func(n *yaml.Node) error { return src.flag(n, &d.attached) },
		"initial":          func(n *yaml.Node) error { return src.amounts(n, maxInitial, &d.initial) },
	})
	switch {
	case err != nil:
		return err
	case d.name == "" || d.driver == nil:
		return src.errorf(n, "a device needs a name and a driver")
	}
	if met["customer_metrics"] == nil {
		d.customerMetrics = d.driver.customerMetrics
	}
	if d.version == "" {
		d.version = d.driver.version
	}
	if d.customerMetrics && !d.driver.customerMetrics || d.srd && !d.driver.srd || d.phc && d.driver.phc == nil {
		return src.errorf(n, "driver %s has no such stats: turn off customer_metrics, srd or phc", met["driver"].Value)
	}
	d.maxQueues = d.queues
	d.names = map[string]struct{}{d.name: {}}
	for _, other := range s.devices {
		if d.name == other.name || d.mac == other.mac || d.bus == other.bus {
			return src.errorf(n, "device %s has the name, mac or bus of device %s", d.name, other.name)
		}
	}
	s.devices = append(s.devices, d)
	return nil
}

func (src source) interfaceName(n *yaml.Node, into *string) error {
	if n.Kind != yaml.ScalarNode || !interfaceName().MatchString(n.Value) {
		return src.errorf(n, "want a name for a network device, such as ens5: 15 letters, digits, dots or dashes at most")
	}
	*into = n.Value
	return nil
}

func (src source) mac(n *yaml.Node, into *string) error {
	mac, err := net.ParseMAC(n.Value)
	if err != nil || len(mac) != 6 || mac[0]&1 != 0 || slices.Equal(mac, make([]byte, 6)) {
		return src.errorf(n, "want a MAC address of one station, such as \"06:00:00:00:00:05\"")
	}
	*into = mac.String()
	return nil
}

func (src source) bus(n *yaml.Node, into *string) error {
	if n.Kind != yaml.ScalarNode || !busAddress().MatchString(n.Value) {
		return src.errorf(n, "want a PCI address, such as \"0000:00:05.0\"")
	}
	*into = n.Value
	return nil
}

// version reads what fits into ETHTOOL_GDRVINFO (ETHTOOL_FWVERS_LEN).
func (src source) version(n *yaml.Node, into *string) error {
	if err := src.text(n, into); err != nil || len(n.Value) < 32 {
		return err
	}
	return src.errorf(n, "a driver's version has 31 bytes at most")
}

// device finds the device of that name. Without a name it is the only one.
func (s *Scenario) device(src source, step, name *yaml.Node) (int, error) {
	if name == nil {
		if len(s.devices) > 1 {
			return 0, src.errorf(step, "say which device: there are %d", len(s.devices))
		}
		return 0, nil
	}
	i := slices.IndexFunc(s.devices, func(d *deviceScript) bool { return d.name == name.Value })
	if i < 0 {
		return 0, src.errorf(name, "no device %q: name one as it is called in devices", name.Value)
	}
	return i, nil
}

// checkNames sees to it that no two devices ever have the same name, so that a
// name always tells the device.
func (s *Scenario) checkNames(src source, root *yaml.Node) error {
	owner := map[string]*deviceScript{}
	for _, d := range s.devices {
		for _, name := range slices.Sorted(maps.Keys(d.names)) {
			if other := owner[name]; other != nil {
				return src.errorf(root, "both device %s and device %s are called %s", other.name, d.name, name)
			}
			owner[name] = d
		}
	}
	return nil
}

// checkStats sees to it that every stat is one that its device has, when it has
// the most queues, and that counters grow and gauges are set.
func (s *Scenario) checkStats(src source, deviceNodes, stepNodes []*yaml.Node) error {
	layouts := make([]*layout, len(s.devices))
	check := func(n *yaml.Node, device int, amounts []amount) error {
		for _, a := range amounts {
			if len(layouts[device].find(a.stat)) == 0 {
				return src.errorf(n, "device %s has no stat %q: its driver and options decide which there are",
					s.devices[device].name, a.stat)
			}
		}
		return nil
	}
	for i, d := range s.devices {
		layouts[i] = d.layout(d.maxQueues)
		if err := check(deviceNodes[i], i, d.initial); err != nil {
			return err
		}
	}
	for i, st := range s.steps {
		if err := check(stepNodes[i], max(st.device, 0), st.amounts); err != nil {
			return err
		}
		for _, a := range st.amounts {
			if isGauge(a.stat) != (st.do == doSet) {
				return src.errorf(stepNodes[i], "%s: counters take add and rate, gauges take set", a.stat)
			}
		}
	}
	return nil
}

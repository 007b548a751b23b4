package simulate

import (
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	adminStates = map[string]adminState{"stopped": stopped, "timeout": timeout, "error": erroring, "lag": lagging}
	errnos      = map[string]syscall.Errno{"ENODEV": syscall.ENODEV, "EOPNOTSUPP": syscall.EOPNOTSUPP}
)

// parseStep reads one step.
func (s *Scenario) parseStep(src source, n *yaml.Node, first bool) error {
	st := step{device: -1}
	did := 0
	// does marks a step as one of that action, and then reads its value.
	does := func(a action, read func(*yaml.Node) error) func(*yaml.Node) error {
		return func(n *yaml.Node) error {
			st.do = a
			did++
			return read(n)
		}
	}
	amounts := func(n *yaml.Node) error { return src.amounts(n, maxAmount, &st.amounts) }
	var device, of, lasts *yaml.Node
	later := func(into **yaml.Node) func(*yaml.Node) error {
		return func(n *yaml.Node) error { *into = n; return nil }
	}
	met, err := src.mapping(n, "a step", keys{
		"at":     func(n *yaml.Node) error { return src.duration(n, &st.when.time) },
		"after":  func(n *yaml.Node) error { st.when.relative = true; return src.duration(n, &st.when.time) },
		"read":   func(n *yaml.Node) error { return src.count(n, 1, maxReadings, &st.when.read) },
		"of":     later(&of),
		"device": later(&device),
		"for":    later(&lasts),
		"add":    does(doAdd, amounts),
		"rate":   does(doRate, amounts),
		"set":    does(doSet, amounts),
		"fault":  does(doFault, func(n *yaml.Node) error { return src.fault(n, &st.fault) }),
		"reset":  does(doReset, func(n *yaml.Node) error { return choice(src, n, resetCauses, &st.cause) }),
		"queues": does(doQueues, func(n *yaml.Node) error { return src.count(n, 1, maxQueues, &st.queues) }),
		"rename": does(doRename, func(n *yaml.Node) error { return src.interfaceName(n, &st.name) }),
		"detach": does(doDetach, src.yes),
		"attach": does(doAttach, src.yes),
		"kernel": does(doKernel, func(n *yaml.Node) error { return choice(src, n, contracts, &st.old) }),
	})
	if err != nil {
		return err
	}
	if did != 1 {
		return src.errorf(n, "a step does one thing: add, rate, set, fault, reset, queues, rename, detach, attach or kernel")
	}
	if st.do != doKernel || device != nil {
		if st.device, err = s.device(src, n, device); err != nil {
			return err
		}
	}
	if err := s.parseTrigger(src, n, met, of, first, &st); err != nil {
		return err
	}
	if err := s.parseLength(src, n, lasts, &st); err != nil {
		return err
	}
	switch st.do {
	case doQueues:
		d := s.devices[st.device]
		d.maxQueues = max(d.maxQueues, st.queues)
	case doRename:
		s.devices[st.device].names[st.name] = struct{}{}
	}
	s.steps = append(s.steps, st)
	return nil
}

// parseTrigger checks at, after, read and of.
func (s *Scenario) parseTrigger(src source, n *yaml.Node, met map[string]*yaml.Node, of *yaml.Node, first bool, st *step) error {
	triggers := 0
	for _, key := range []string{"at", "after", "read"} {
		if met[key] != nil {
			triggers++
		}
	}
	switch {
	case triggers != 1:
		return src.errorf(n, "a step happens at one time: at, after or read")
	case st.when.relative && first:
		return src.errorf(n, "the first step can't be after another: use at or read")
	case s.repeat > 0 && met["at"] == nil:
		return src.errorf(n, "with repeat, every step is by at")
	case s.repeat > 0 && st.when.time > s.repeat:
		return src.errorf(n, "this step is later than repeat")
	case of != nil && st.when.read == 0:
		return src.errorf(of, "of goes with read")
	}
	st.when.of = st.device
	if of != nil || st.when.read > 0 && st.device < 0 {
		var err error
		st.when.of, err = s.device(src, n, of)
		return err
	}
	return nil
}

// parseLength reads how long a rate lasts, in the unit of its trigger.
func (s *Scenario) parseLength(src source, n, lasts *yaml.Node, st *step) error {
	switch {
	case (lasts != nil) != (st.do == doRate):
		return src.errorf(n, "rate and for go together")
	case lasts == nil:
		return nil
	case st.when.read > 0:
		return src.count(lasts, 1, maxReadings, &st.readings)
	}
	if err := src.duration(lasts, &st.duration); err != nil {
		return err
	}
	if s.repeat > 0 && st.when.time+st.duration > s.repeat {
		return src.errorf(lasts, "this rate lasts longer than repeat")
	}
	return nil
}

func (src source) fault(n *yaml.Node, into *fault) error {
	if n.Kind == yaml.ScalarNode && n.Value == "none" {
		return nil
	}
	_, err := src.mapping(n, "a fault", keys{
		"admin": func(n *yaml.Node) error { return choice(src, n, adminStates, &into.admin) },
		"delay": func(n *yaml.Node) error { return src.delay(n, &into.delay) },
		"errno": func(n *yaml.Node) error { return choice(src, n, errnos, &into.errno) },
	})
	return err
}

// maxDelay is far above the 3 s after which the driver gives up on a command
// (ADMIN_CMD_TIMEOUT_US, ena_com.c).
const maxDelay = time.Minute

func (src source) delay(n *yaml.Node, into *time.Duration) error {
	if err := src.duration(n, into); err != nil {
		return err
	}
	if *into > maxDelay {
		return src.errorf(n, "delay a reading by %s at most", maxDelay)
	}
	return nil
}

func (src source) yes(n *yaml.Node) error {
	if n.Value != "true" || n.Kind != yaml.ScalarNode {
		return src.errorf(n, "want true")
	}
	return nil
}

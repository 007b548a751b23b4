package linklocal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// attach puts the programs at both ends of an interface, before those of
// others, which all stay; a packet goes on to them. The link ends with this
// process, or with what is returned.
func (m *Meter) attach(index int) (io.Closer, error) {
	if !m.clsact {
		links, err := m.attachTCX(index)
		if !errors.Is(err, ebpf.ErrNotSupported) {
			return links, err
		}
		m.clsact = true
		m.log.Info("link-local counts are attached by clsact filters: this kernel has no tcx")
	}
	return attachClsact(index, m.egress, m.ingress)
}

func (m *Meter) attachTCX(index int) (io.Closer, error) {
	var all closers
	for _, p := range []struct {
		program *ebpf.Program
		at      ebpf.AttachType
	}{{m.egress, ebpf.AttachTCXEgress}, {m.ingress, ebpf.AttachTCXIngress}} {
		l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p.program, Attach: p.at, Anchor: link.Head()})
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, l)
	}
	return all, nil
}

// closers closes them all.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, one := range c {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// attachCgroup puts the programs at the root of the cgroups that count by
// sender and note whose sockets are whose.
func attachCgroup(root string, c *ebpf.Collection) (io.Closer, error) {
	var all closers
	for _, p := range []struct {
		name string
		at   ebpf.AttachType
	}{
		{programsProgLinklocalSent, ebpf.AttachCGroupInetEgress},
		{programsProgLinklocalConn4, ebpf.AttachCGroupInet4Connect},
		{programsProgLinklocalConn6, ebpf.AttachCGroupInet6Connect},
		{programsProgLinklocalMsg4, ebpf.AttachCGroupUDP4Sendmsg},
		{programsProgLinklocalMsg6, ebpf.AttachCGroupUDP6Sendmsg},
	} {
		program := c.Programs[p.name]
		if program == nil {
			continue // this kernel does not take it
		}
		l, err := link.AttachCgroup(link.CgroupOptions{Path: root, Attach: p.at, Program: program})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach at the root of the cgroups, %s: %w", root, err), all.Close())
		}
		all = append(all, l)
	}
	return all, nil
}

// cgroupRoot finds where cgroup v2 is mounted.
func cgroupRoot() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 && fields[3] == "/" {
			return fields[4], nil
		}
	}
	return "", fmt.Errorf("no cgroup v2 is mounted: %w", os.ErrNotExist)
}

// why explains in one line why programs could not be loaded, with the remedy.
func why(err error) error {
	var refused *ebpf.VerifierError
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES) && !errors.As(err, &refused):
		return fmt.Errorf("BPF is not permitted: give the agent CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, as docs/linklocal.md says (%w)", err)
	case errors.Is(err, unix.ENOSYS), errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("this kernel lacks what is needed: it takes Linux 5.10 or later with BPF on (%w)", err)
	case errors.As(err, &refused) && !mayProfile():
		return fmt.Errorf("BPF is not permitted in full: give the agent CAP_PERFMON besides CAP_BPF and CAP_NET_ADMIN, as docs/linklocal.md says (%w)", refused.Cause)
	case errors.As(err, &refused):
		return fmt.Errorf("this kernel refuses the programs: it takes Linux 5.10 or later (%w)", refused.Cause)
	}
	return err
}

// mayProfile reports whether the process has CAP_PERFMON, or CAP_SYS_ADMIN, which
// includes it (capabilities(7)). What the kernel says without it is now EACCES,
// now EINVAL, by the program that it looks at first.
func mayProfile() bool {
	var have [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &have[0]); err != nil {
		return false
	}
	return have[unix.CAP_PERFMON/32].Effective&(1<<(unix.CAP_PERFMON%32)) != 0 ||
		have[unix.CAP_SYS_ADMIN/32].Effective&(1<<(unix.CAP_SYS_ADMIN%32)) != 0
}

package ena

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sysKernel is the running Linux kernel. It needs no privilege: the four
// ethtool commands are on the kernel's list of those that anyone may run
// (net/ethtool/ioctl.c, "Allow some commands to be done by anyone").
type sysKernel struct {
	ioctlFD int
	// names is the newest answer of StatNames, which interfaces of one driver
	// share: each has hundreds.
	names atomic.Pointer[[]string]
	links linkSocket
}

// NewKernel opens the sockets for the network namespace that the process is in.
func NewKernel() (Kernel, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ethtool: %w", err)
	}
	k := &sysKernel{ioctlFD: fd}
	if err := k.links.open(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return k, nil
}

func (k *sysKernel) Close() error {
	return errors.Join(unix.Close(k.ioctlFD), k.links.close())
}

func (k *sysKernel) BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

func (k *sysKernel) Links() ([]Link, error) { return listLinks() }

func (k *sysKernel) Events(f func(LinkEvent)) (lost bool, err error) { return k.links.drain(f) }

func (k *sysKernel) Driver(name string) (DriverIdentity, error) {
	d, err := unix.IoctlGetEthtoolDrvinfo(k.ioctlFD, name)
	if err != nil {
		return DriverIdentity{}, ioctlError("GDRVINFO", name, err)
	}
	return DriverIdentity{
		Driver:              unix.ByteSliceToString(d.Driver[:]),
		Version:             unix.ByteSliceToString(d.Version[:]),
		FirmwareVersion:     unix.ByteSliceToString(d.Fw_version[:]),
		ExpansionROMVersion: unix.ByteSliceToString(d.Erom_version[:]),
		BusInfo:             unix.ByteSliceToString(d.Bus_info[:]),
	}, nil
}

// Layout of struct ethtool_sset_info with room for one set, and of struct
// ethtool_gstrings without its data (linux/ethtool.h).
const (
	ssetInfoSize      = 4 + 4 + 8 + 4
	ssetInfoMaskAt    = 8
	ssetInfoDataAt    = 16
	stringsHeader     = 12
	stringsSetAt      = 4
	stringsLenAt      = 8
	ethSSStats        = 1 // ETH_SS_STATS
	maxStringAttempts = 5
)

func (k *sysKernel) StatNames(name string) ([]string, error) {
	// The set can grow between the two commands: try again.
	for range maxStringAttempts {
		n, err := k.statCount(name)
		if err != nil {
			return nil, err
		}
		names, ok, err := k.statStrings(name, n)
		if err != nil {
			return nil, err
		}
		if ok {
			return k.share(names), nil
		}
	}
	return nil, fmt.Errorf("ethtool GSTRINGS of %s: the number of stats kept changing", name)
}

// share returns the names of the interface asked before, if these are the same.
func (k *sysKernel) share(names []string) []string {
	if before := k.names.Load(); before != nil && slices.Equal(*before, names) {
		return *before
	}
	k.names.Store(&names)
	return names
}

// statCount asks how many stats name has (ETHTOOL_GSSET_INFO).
func (k *sysKernel) statCount(name string) (int, error) {
	req := make([]byte, ssetInfoSize)
	binary.NativeEndian.PutUint32(req, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(req[ssetInfoMaskAt:], 1<<ethSSStats)
	if err := k.ioctl("GSSET_INFO", name, req); err != nil {
		return 0, err
	}
	if binary.NativeEndian.Uint64(req[ssetInfoMaskAt:]) == 0 {
		return 0, fmt.Errorf("ethtool GSSET_INFO of %s: %w", name, ErrNoStats)
	}
	n := int(binary.NativeEndian.Uint32(req[ssetInfoDataAt:]))
	if n > MaxStats {
		return 0, fmt.Errorf("ethtool GSSET_INFO of %s: %d stats, more than %d", name, n, MaxStats)
	}
	return n, nil
}

// statStrings asks for n names (ETHTOOL_GSTRINGS); ok is false if the kernel
// has another number of them by now.
func (k *sysKernel) statStrings(name string, n int) (names []string, ok bool, err error) {
	if n == 0 {
		return nil, true, nil
	}
	// Old kernels write all names that they have, however many were asked for.
	req, err := mapGuarded(stringsHeader + MaxStats*ethGStringLen)
	if err != nil {
		return nil, false, fmt.Errorf("map a buffer for names: %w", err)
	}
	defer unmapGuarded(req)
	binary.NativeEndian.PutUint32(req, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(req[stringsSetAt:], ethSSStats)
	binary.NativeEndian.PutUint32(req[stringsLenAt:], uint32(n))
	if err := k.ioctl("GSTRINGS", name, req); err != nil {
		return nil, false, err
	}
	if int(binary.NativeEndian.Uint32(req[stringsLenAt:])) != n {
		return nil, false, nil
	}
	return splitNames(req[stringsHeader : stringsHeader+n*ethGStringLen]), true, nil
}

func (k *sysKernel) Stats(name string, want int, b *Buffer) (int, error) {
	ifr := b.mem[:ifreqSize:ifreqSize]
	clear(ifr)
	copy(ifr[:unix.IFNAMSIZ-1], name)
	binary.NativeEndian.PutUint32(b.mem[ifreqSize:], unix.ETHTOOL_GSTATS)
	binary.NativeEndian.PutUint32(b.mem[ifreqSize+4:], uint32(want))
	// b.mem is mapped memory: it does not move, and the collector does not know
	// it, so its address may stand in the request as a number.
	binary.NativeEndian.PutUint64(ifr[unix.IFNAMSIZ:], uint64(uintptr(unsafe.Pointer(&b.mem[ifreqSize]))))
	if errno := ethtoolIoctl(k.ioctlFD, unsafe.Pointer(&ifr[0])); errno != 0 {
		return 0, ioctlError("GSTATS", name, errno)
	}
	return int(binary.NativeEndian.Uint32(b.mem[ifreqSize+4:])), nil
}

// ifreq is struct ifreq with ifr_data. Its pointer keeps the request alive and,
// unlike a number, follows it if a stack moves.
type ifreq struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [ifreqSize - unix.IFNAMSIZ - unsafe.Sizeof(uintptr(0))]byte
}

func (k *sysKernel) ioctl(command, name string, req []byte) error {
	ifr := &ifreq{data: unsafe.Pointer(&req[0])}
	copy(ifr.name[:unix.IFNAMSIZ-1], name)
	if errno := ethtoolIoctl(k.ioctlFD, unsafe.Pointer(ifr)); errno != 0 {
		return ioctlError(command, name, errno)
	}
	return nil
}

func ethtoolIoctl(fd int, ifr unsafe.Pointer) unix.Errno {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(ifr))
		if errno != unix.EINTR {
			return errno
		}
	}
}

func ioctlError(command, name string, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		err = ErrGone
	case errors.Is(err, unix.EOPNOTSUPP):
		err = ErrNoStats
	}
	return fmt.Errorf("ethtool %s of %s: %w", command, name, err)
}

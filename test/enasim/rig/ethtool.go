//go:build linux

package rig

import (
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/agent/ena"
	"github.com/enawatch/enawatch/agent/simulate"
)

// Layout of struct ifreq (linux/if.h) on 64-bit machines.
const (
	ifreqSize    = unix.IFNAMSIZ + 24
	ifreqPointer = unix.IFNAMSIZ
)

// Of linux/ethtool.h: the number of the set of stats (ETH_SS_STATS), the size
// of a name (ETH_GSTRING_LEN), and what stands in front of the data in struct
// ethtool_sset_info, ethtool_gstrings and ethtool_stats.
const (
	setOfStats    = 1
	nameSize      = 32
	ssetInfoSize  = 16
	gstringsSize  = 12
	statsSize     = 8
	commandSize   = 4
	ssetInfoMask  = 8
	gstringsSet   = 4
	gstringsCount = 8
	statsCount    = 4
)

// server answers ethtool ioctls on the devices of a machine.
type server struct {
	machine *simulate.Machine
	buffers sync.Pool // of *ena.Buffer
}

// answer answers one call.
func (s *server) answer(l *listener, n *notification) response {
	c := &call{l: l, n: n}
	ifr := make([]byte, ifreqSize)
	if !c.read(n.data.args[2], ifr) {
		return failed(unix.EFAULT)
	}
	name := unix.ByteSliceToString(ifr[:unix.IFNAMSIZ])
	if !s.machine.Knows(name) {
		return proceed
	}
	c.at = binary.NativeEndian.Uint64(ifr[ifreqPointer:])
	command := make([]byte, commandSize)
	if !c.read(c.at, command) {
		return failed(unix.EFAULT)
	}
	switch binary.NativeEndian.Uint32(command) {
	case unix.ETHTOOL_GDRVINFO:
		return failed(s.driver(c, name))
	case unix.ETHTOOL_GSSET_INFO:
		return failed(s.setInfo(c, name))
	case unix.ETHTOOL_GSTRINGS:
		return failed(s.names(c, name))
	case unix.ETHTOOL_GSTATS:
		return failed(s.stats(c, name))
	}
	return failed(unix.EOPNOTSUPP)
}

// driver answers ETHTOOL_GDRVINFO (ethtool_get_drvinfo, net/ethtool/ioctl.c).
func (s *server) driver(c *call, name string) unix.Errno {
	d, err := s.machine.Driver(name)
	if err != nil {
		return errnoOf(err)
	}
	names, err := s.machine.StatNames(name)
	if err != nil {
		names = nil // as if there were no stats
	}
	reply := unix.EthtoolDrvinfo{Cmd: unix.ETHTOOL_GDRVINFO, N_stats: uint32(len(names))}
	for _, f := range []struct {
		to   *[32]byte
		text string
	}{
		{&reply.Driver, d.Driver}, {&reply.Version, d.Version}, {&reply.Fw_version, d.FirmwareVersion},
		{&reply.Bus_info, d.BusInfo}, {&reply.Erom_version, d.ExpansionROMVersion},
	} {
		copy(f.to[:len(f.to)-1], f.text)
	}
	return c.write(unsafe.Slice((*byte)(unsafe.Pointer(&reply)), unsafe.Sizeof(reply)))
}

// setInfo answers ETHTOOL_GSSET_INFO (ethtool_get_sset_info): of the sets that
// were asked for, the stats are the only one that the devices have.
func (s *server) setInfo(c *call, name string) unix.Errno {
	names, err := s.machine.StatNames(name)
	if err != nil && errnoOf(err) != unix.EOPNOTSUPP {
		return errnoOf(err)
	}
	info := make([]byte, ssetInfoSize, ssetInfoSize+4)
	if !c.read(c.at, info) {
		return unix.EFAULT
	}
	mask := binary.NativeEndian.Uint64(info[ssetInfoMask:])
	clear(info[commandSize:])
	if err == nil && mask&(1<<setOfStats) != 0 {
		binary.NativeEndian.PutUint64(info[ssetInfoMask:], 1<<setOfStats)
		info = binary.NativeEndian.AppendUint32(info, uint32(len(names)))
	}
	return c.write(info)
}

// names answers ETHTOOL_GSTRINGS (ethtool_get_strings).
func (s *server) names(c *call, name string) unix.Errno {
	header := make([]byte, gstringsSize)
	if !c.read(c.at, header) {
		return unix.EFAULT
	}
	if binary.NativeEndian.Uint32(header[gstringsSet:]) != setOfStats {
		return unix.EOPNOTSUPP
	}
	names, err := s.machine.StatNames(name)
	if err != nil {
		return errnoOf(err)
	}
	n := s.machine.Contract(int(binary.NativeEndian.Uint32(header[gstringsCount:])), len(names))
	binary.NativeEndian.PutUint32(header[gstringsCount:], uint32(n))
	data := make([]byte, n*nameSize)
	for i := range n {
		copy(data[i*nameSize:], names[i])
	}
	return c.write(header, data)
}

// stats answers ETHTOOL_GSTATS (ethtool_get_stats).
func (s *server) stats(c *call, name string) unix.Errno {
	header := make([]byte, statsSize)
	if !c.read(c.at, header) {
		return unix.EFAULT
	}
	b, ok := s.buffers.Get().(*ena.Buffer)
	if !ok {
		var err error
		if b, err = ena.NewBuffer(); err != nil {
			return unix.ENOMEM
		}
	}
	defer s.buffers.Put(b)
	n, err := s.machine.Stats(name, int(binary.NativeEndian.Uint32(header[statsCount:])), b)
	if err != nil {
		return errnoOf(err)
	}
	binary.NativeEndian.PutUint32(header[statsCount:], uint32(n))
	values := b.Values(n)
	return c.write(header, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 8*n))
}

// errnoOf returns the error number that a machine's error stands for.
func errnoOf(err error) unix.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return unix.EIO
}

// call is a call under way, with the memory of the thread that made it.
type call struct {
	l  *listener
	n  *notification
	at uint64 // of the ethtool struct
}

// read copies the thread's memory at that address, all or nothing.
func (c *call) read(at uint64, into []byte) bool {
	local := []unix.Iovec{{Base: &into[0], Len: uint64(len(into))}}
	remote := []unix.RemoteIovec{{Base: uintptr(at), Len: len(into)}}
	n, err := unix.ProcessVMReadv(int(c.n.pid), local, remote, 0)
	return err == nil && n == len(into) && c.l.waiting(c.n)
}

// write copies parts, one behind the other, into the ethtool struct.
func (c *call) write(parts ...[]byte) unix.Errno {
	if !c.l.waiting(c.n) {
		return unix.EFAULT
	}
	var local []unix.Iovec
	size := 0
	for _, p := range parts {
		if len(p) > 0 {
			local = append(local, unix.Iovec{Base: &p[0], Len: uint64(len(p))})
			size += len(p)
		}
	}
	remote := []unix.RemoteIovec{{Base: uintptr(c.at), Len: size}}
	if n, err := unix.ProcessVMWritev(int(c.n.pid), local, remote, 0); err != nil || n != size {
		return unix.EFAULT
	}
	return 0
}

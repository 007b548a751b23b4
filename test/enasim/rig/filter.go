//go:build linux

package rig

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// architecture is what a filter must know of a processor's system calls.
type architecture struct {
	audit uint32 // AUDIT_ARCH_*
	ioctl uint32 // its number
}

// architectures are those that the rig runs on, by GOARCH.
var architectures = map[string]architecture{
	"amd64": {unix.AUDIT_ARCH_X86_64, 16},
	"arm64": {unix.AUDIT_ARCH_AARCH64, 29},
}

// Offsets in struct seccomp_data (linux/seccomp.h). Both architectures are
// little-endian, so the low half of an argument is in front.
const (
	dataNumber  = 0
	dataArch    = 4
	dataArgs    = 16
	dataRequest = dataArgs + 8 // args[1], of which the kernel's ioctl takes 32 bits
)

// filter lets pass every system call but ioctl(…, SIOCETHTOOL, …), which it
// hands to the supervisor.
func (a architecture) filter() []unix.SockFilter {
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	// unless jumps over the next instructions if the value is another.
	unless := func(value uint32, over uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: over, K: value}
	}
	give := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	return []unix.SockFilter{
		load(dataArch), unless(a.audit, 5),
		load(dataNumber), unless(a.ioctl, 3),
		load(dataRequest), unless(unix.SIOCETHTOOL, 1),
		give(unix.SECCOMP_RET_USER_NOTIF),
		give(unix.SECCOMP_RET_ALLOW),
	}
}

// installFilter puts this thread, and what it executes, under the filter for
// good and returns the listener. The thread must have no_new_privs set.
func installFilter() (listener int, err error) {
	a, ok := architectures[runtime.GOARCH]
	if !ok {
		return -1, fmt.Errorf("no seccomp filter for %s: run on amd64 or arm64", runtime.GOARCH)
	}
	program := a.filter()
	fprog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	// Without WAIT_KILLABLE_RECV, a signal to the program makes the kernel
	// start the call again, so that a reading may count twice.
	for _, flags := range []uintptr{
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
	} {
		fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&fprog)))
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINVAL:
			err = fmt.Errorf("install the seccomp filter: %w: the kernel must be 5.9 or newer", errno)
		default:
			return -1, fmt.Errorf("install the seccomp filter: %w", errno)
		}
	}
	return -1, err
}

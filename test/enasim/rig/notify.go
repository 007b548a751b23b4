//go:build linux

package rig

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// notification is struct seccomp_notif: a system call that waits for an answer.
type notification struct {
	id    uint64
	pid   uint32 // of the thread
	flags uint32
	data  struct {
		number  int32
		arch    uint32
		pointer uint64
		args    [6]uint64
	}
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32 // negative
	flags uint32
}

// proceed lets the kernel carry out the call itself.
var proceed = response{flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}

// failed makes the call fail, or succeed with 0.
func failed(errno unix.Errno) response { return response{errno: -int32(errno)} }

// listener receives the notifications of a filter.
type listener struct {
	fd   int
	size int // of the kernel's struct seccomp_notif, which may be larger
}

func newListener(fd int) (*listener, error) {
	var sizes struct{ notif, resp, data uint16 }
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		return nil, fmt.Errorf("ask for the size of notifications: %w", errno)
	}
	if want := unsafe.Sizeof(response{}); uintptr(sizes.resp) != want {
		return nil, fmt.Errorf("the kernel's answers have %d bytes, not %d", sizes.resp, want)
	}
	return &listener{fd: fd, size: max(int(sizes.notif), int(unsafe.Sizeof(notification{})))}, nil
}

// serve has each notification handled in a goroutine of its own, so that one who
// waits holds up nobody. It returns when no process is left under the filter.
func (l *listener) serve(handle func(*notification)) error {
	for {
		n, err := l.receive()
		if err != nil {
			return fmt.Errorf("receive a notification: %w", err)
		}
		if n == nil {
			return nil
		}
		go handle(n)
	}
}

// send answers a notification. That the thread was killed meanwhile is no error.
func (l *listener) send(n *notification, r response) error {
	r.id = n.id
	if err := l.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("answer a notification: %w", err)
	}
	return nil
}

// receive waits for the next notification; it returns nil when there will be
// none any more.
func (l *listener) receive() (*notification, error) {
	for {
		// A plain RECV would sleep on after the last process has gone.
		poll := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, err
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			if poll[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
				return nil, nil
			}
			continue
		}
		// The kernel wants the buffer zeroed. As words, it is aligned.
		buf := make([]uint64, (l.size+7)/8)
		n := (*notification)(unsafe.Pointer(&buf[0]))
		switch err := l.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(n)); {
		case err == nil:
			return n, nil
		case errors.Is(err, unix.ENOENT): // killed before it was received
		default:
			return nil, err
		}
	}
}

// waiting reports whether the thread still waits for its answer: only then is
// its memory its own, and not that of a process that got its number.
func (l *listener) waiting(n *notification) bool {
	return l.control(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.id)) == nil
}

// control is ioctl on the listener.
func (l *listener) control(request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(l.fd), request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

//go:build linux

package rig

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// The supervisor and its stage speak over a pair of sockets. The stage sends
// descriptors, or the text of an error; the supervisor sends a byte whenever the
// stage may go on.

// sendDescriptor gives a descriptor to the other side.
func sendDescriptor(socket, fd int) error {
	return retry(func() error { return unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fd), nil, 0) })
}

// sendError gives the other side an error instead.
func sendError(socket int, cause error) error {
	return retry(func() error { _, err := unix.Write(socket, []byte(cause.Error())); return err })
}

// maxErrorText bounds the text of an error.
const maxErrorText = 4096

// receiveDescriptor waits for a descriptor. The error is the other side's, or
// io.EOF if that is gone.
func receiveDescriptor(socket int) (int, error) {
	buf, control := make([]byte, maxErrorText), make([]byte, unix.CmsgSpace(4))
	var n, oobn int
	err := retry(func() (err error) {
		n, oobn, _, _, err = unix.Recvmsg(socket, buf, control, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, err
	}
	if n == 0 {
		return -1, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(control[:oobn])
	if err != nil {
		return -1, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return fds[0], nil
		}
	}
	return -1, errors.New(string(buf[:n]))
}

func sendGo(socket int) error {
	return retry(func() error { _, err := unix.Write(socket, []byte{0}); return err })
}

func awaitGo(socket int) error {
	var n int
	err := retry(func() (err error) { n, err = unix.Read(socket, make([]byte, 1)); return err })
	if err == nil && n == 0 {
		err = io.EOF
	}
	return err
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

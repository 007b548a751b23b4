package conntrack

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// receiveLimit is how long one part of the kernel's answer may take.
const receiveLimit = 2 * time.Second

// dump calls each for every entry of the kernel's table in this network namespace,
// both families, up to maxSeen. The error wraps unix.EPERM if the right is
// missing. It reads by parts of 32 KiB and keeps none: libraries for this hold
// the whole table in memory.
func dump(ctx context.Context, each func(*entry)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return fmt.Errorf("open a socket for tracked connections: %w", err)
	}
	defer unix.Close(fd)
	limit := unix.NsecToTimeval(receiveLimit.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit); err != nil {
		return fmt.Errorf("ask for tracked connections: %w", err)
	}
	var request [headerLength + generalLength]byte // any family, version 0
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], messageGet)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, request[:], 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("ask for tracked connections: %w", err)
	}
	buf := make([]byte, 32<<10)
	seen := 0
	for ctx.Err() == nil && seen < maxSeen {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read tracked connections: %w", err)
		}
		if a, ok := from.(*unix.SockaddrNetlink); !ok || a.Pid != 0 {
			continue // not the kernel
		}
		done, err := messages(buf[:n], func(e *entry) {
			seen++
			each(e)
		})
		if err != nil {
			return fmt.Errorf("read tracked connections: %w", err)
		}
		if done {
			return nil
		}
	}
	return nil
}

package ena

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// linkSocket is a netlink socket in the link group. It is read without
// blocking, once a tick: ten thousand pods that come and go wake nobody up.
type linkSocket struct {
	fd  int
	buf []byte
}

// linkBuffer is the size of one netlink read. The kernel packs at most 32 KiB
// of a dump into one (NLMSG_GOODSIZE is far less for events).
const linkBuffer = 64 << 10

func (s *linkSocket) open() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("listen to link events: %w", err)
	}
	s.fd, s.buf = fd, make([]byte, linkBuffer)
	return nil
}

func (s *linkSocket) close() error { return unix.Close(s.fd) }

// drain hands every event that waits to f. The usual answer is none, for one
// system call. lost is true after ENOBUFS: the socket's buffer ran over.
func (s *linkSocket) drain(f func(LinkEvent)) (lost bool, err error) {
	for {
		// Unlike recvfrom, read allocates no address. The sender is the kernel:
		// others need CAP_NET_ADMIN (NETLINK_ROUTE has no NL_CFG_F_NONROOT_SEND).
		n, err := unix.Read(s.fd, s.buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lost, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			lost = true
			continue
		case err != nil:
			return true, fmt.Errorf("read link events: %w", err)
		}
		if _, err := walkMessages(s.buf[:n], f); err != nil {
			return true, fmt.Errorf("read link events: %w", err)
		}
	}
}

// listLinks asks for every link (RTM_GETLINK), without their packet counters,
// which would be most of the answer.
func listLinks() ([]Link, error) {
	for {
		links, interrupted, err := dumpLinks()
		if err != nil {
			return nil, fmt.Errorf("list network devices: %w", err)
		}
		if !interrupted {
			return links, nil
		}
	}
}

// rtextFilterSkipStats is RTEXT_FILTER_SKIP_STATS of linux/rtnetlink.h.
const rtextFilterSkipStats = 1 << 3

// dumpRequest is nlmsghdr, ifinfomsg and an IFLA_EXT_MASK attribute.
const dumpRequest = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + unix.SizeofRtAttr + 4

func dumpLinks() (links []Link, interrupted bool, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, false, err
	}
	defer unix.Close(fd)

	req := make([]byte, dumpRequest)
	binary.NativeEndian.PutUint32(req[0:], dumpRequest)
	binary.NativeEndian.PutUint16(req[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	attr := req[unix.SizeofNlMsghdr+unix.SizeofIfInfomsg:]
	binary.NativeEndian.PutUint16(attr[0:], unix.SizeofRtAttr+4)
	binary.NativeEndian.PutUint16(attr[2:], unix.IFLA_EXT_MASK)
	binary.NativeEndian.PutUint32(attr[4:], rtextFilterSkipStats)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, false, err
	}

	buf := make([]byte, linkBuffer)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false, err
		}
		flags, err := walkMessages(buf[:n], func(e LinkEvent) {
			if !e.Left {
				links = append(links, e.Link)
			}
		})
		interrupted = interrupted || flags&dumpInterrupted != 0
		if err != nil || flags&dumpDone != 0 {
			return links, interrupted, err
		}
	}
}

// dumpFlags are what walkMessages saw besides links.
type dumpFlags uint8

const (
	dumpDone        dumpFlags = 1 << iota // NLMSG_DONE
	dumpInterrupted                       // NLM_F_DUMP_INTR: links changed meanwhile
)

var errShortMessage = errors.New("netlink message is cut short")

// walkMessages hands every link in a netlink read to f.
func walkMessages(b []byte, f func(LinkEvent)) (flags dumpFlags, err error) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return flags, errShortMessage
		}
		body := b[unix.SizeofNlMsghdr:size]
		if binary.NativeEndian.Uint16(b[6:])&unix.NLM_F_DUMP_INTR != 0 {
			flags |= dumpInterrupted
		}
		switch kind := binary.NativeEndian.Uint16(b[4:]); kind {
		case unix.NLMSG_DONE:
			return flags | dumpDone, nil
		case unix.NLMSG_ERROR:
			if len(body) < 4 {
				return flags, errShortMessage
			}
			if errno := int32(binary.NativeEndian.Uint32(body)); errno != 0 {
				return flags, unix.Errno(-errno)
			}
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			link, err := parseLink(body)
			if err != nil {
				return flags, err
			}
			// Other families tell of a device's role, not of the device: a
			// port that leaves its bridge is an AF_BRIDGE RTM_DELLINK.
			if body[0] != unix.AF_UNSPEC {
				break
			}
			f(LinkEvent{Link: link, Left: kind == unix.RTM_DELLINK})
		}
		b = b[min(align4(size), len(b)):]
	}
	return flags, nil
}

// parseLink reads struct ifinfomsg and the attributes behind it. The permanent
// address, where a device has one, is the ENI's; the current one may have been
// set by hand.
func parseLink(b []byte) (Link, error) {
	if len(b) < unix.SizeofIfInfomsg {
		return Link{}, errShortMessage
	}
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	link := Link{
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Up:    binary.NativeEndian.Uint32(b[8:])&up == up,
	}
	var permanent net.HardwareAddr
	for b = b[unix.SizeofIfInfomsg:]; len(b) >= unix.SizeofRtAttr; {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return Link{}, errShortMessage
		}
		value := b[unix.SizeofRtAttr:size]
		switch binary.NativeEndian.Uint16(b[2:]) {
		case unix.IFLA_IFNAME:
			link.Name = unix.ByteSliceToString(value)
		case unix.IFLA_ADDRESS:
			link.MAC = net.HardwareAddr(value).String()
		case unix.IFLA_PERM_ADDRESS:
			permanent = value
		}
		b = b[min(align4(size), len(b)):]
	}
	if len(permanent) > 0 {
		link.MAC = permanent.String()
	}
	return link, nil
}

func align4(n int) int { return (n + 3) &^ 3 }

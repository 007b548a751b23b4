//go:build linux

package rig

import (
	"encoding/binary"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/enawatch/enawatch/agent/simulate"
)

// links changes the network devices of a namespace, by a rtnetlink socket that
// was opened in it.
type links struct {
	fd       int
	sequence uint32
	peers    int // given out so far
}

// peerName names the other end of a device's veth pair, the n-th one.
func peerName(n int) string { return fmt.Sprintf("enasim-peer%d", n) }

// vethInfoPeer is VETH_INFO_PEER (linux/veth.h).
const vethInfoPeer = 1

// loopbackUp brings up lo, which every namespace has.
func (l *links) loopbackUp() error {
	return wrap("bring up lo", l.set("lo", unix.IFF_UP))
}

// apply makes a change of the script real.
func (l *links) apply(c simulate.LinkChange) error {
	switch {
	case c.Old == "":
		return wrap("create "+c.New, l.create(c.New, c.MAC))
	case c.New == "":
		_, err := l.request(unix.RTM_DELLINK, 0, header(0, 0, 0), text(unix.IFLA_IFNAME, c.Old))
		return wrap("delete "+c.Old, err)
	}
	return wrap("rename "+c.Old, l.rename(c.Old, c.New))
}

func wrap(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s in the rig's namespace: %w", what, err)
	}
	return nil
}

// create makes a veth pair, of which one end is the device. It comes down, as a
// network card does, and is brought up then.
func (l *links) create(name, mac string) error {
	address, err := net.ParseMAC(mac)
	if err != nil {
		return err
	}
	l.peers++
	peer := peerName(l.peers)
	_, err = l.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, header(0, 0, 0),
		text(unix.IFLA_IFNAME, name),
		attribute(unix.IFLA_ADDRESS, address),
		attribute(unix.IFLA_LINKINFO,
			text(unix.IFLA_INFO_KIND, "veth"),
			attribute(unix.IFLA_INFO_DATA, attribute(vethInfoPeer, header(0, 0, 0), text(unix.IFLA_IFNAME, peer)))))
	if err != nil {
		return err
	}
	if err := l.set(peer, unix.IFF_UP); err != nil {
		return err
	}
	return l.set(name, unix.IFF_UP)
}

// rename takes the device down for it: kernels before 6.3 insist.
func (l *links) rename(old, name string) error {
	reply, err := l.request(unix.RTM_GETLINK, 0, header(0, 0, 0), text(unix.IFLA_IFNAME, old))
	if err != nil {
		return err
	}
	if len(reply) < unix.SizeofIfInfomsg {
		return fmt.Errorf("the kernel's answer has %d bytes", len(reply))
	}
	index := binary.NativeEndian.Uint32(reply[4:])
	if err := l.set(old, 0); err != nil {
		return err
	}
	if _, err := l.request(unix.RTM_NEWLINK, 0, header(index, 0, 0), text(unix.IFLA_IFNAME, name)); err != nil {
		return err
	}
	return l.set(name, unix.IFF_UP)
}

// set takes a device up or down.
func (l *links) set(name string, flags uint32) error {
	_, err := l.request(unix.RTM_NEWLINK, 0, header(0, flags, unix.IFF_UP), text(unix.IFLA_IFNAME, name))
	return err
}

// request sends a message and waits for its answer, or for the kernel's word
// that it is done.
func (l *links) request(kind, flags uint16, parts ...[]byte) ([]byte, error) {
	l.sequence++
	flags |= unix.NLM_F_REQUEST
	if kind != unix.RTM_GETLINK {
		flags |= unix.NLM_F_ACK
	}
	m := make([]byte, unix.NLMSG_HDRLEN)
	for _, p := range parts {
		m = append(m, p...)
	}
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], flags)
	binary.NativeEndian.PutUint32(m[8:], l.sequence)
	if err := unix.Sendto(l.fd, m, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(l.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(buf[:n])
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.Header.Seq != l.sequence {
				continue
			}
			if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
				return m.Data, nil
			}
			if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				return nil, unix.Errno(errno)
			}
			return nil, nil
		}
	}
}

// header is struct ifinfomsg.
func header(index, flags, change uint32) []byte {
	h := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(h[4:], index)
	binary.NativeEndian.PutUint32(h[8:], flags)
	binary.NativeEndian.PutUint32(h[12:], change)
	return h
}

// attribute is struct rtattr with its payload, padded.
func attribute(kind uint16, parts ...[]byte) []byte {
	a := make([]byte, unix.SizeofRtAttr)
	for _, p := range parts {
		a = append(a, p...)
	}
	binary.NativeEndian.PutUint16(a, uint16(len(a)))
	binary.NativeEndian.PutUint16(a[2:], kind)
	for len(a)%unix.RTA_ALIGNTO != 0 {
		a = append(a, 0)
	}
	return a
}

func text(kind uint16, s string) []byte { return attribute(kind, append([]byte(s), 0)) }

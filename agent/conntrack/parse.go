package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
)

// Parts of linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
const (
	headerLength   = 16 // struct nlmsghdr
	generalLength  = 4  // struct nfgenmsg
	messageError   = 2  // NLMSG_ERROR
	messageDone    = 3  // NLMSG_DONE
	subsystem      = 1  // NFNL_SUBSYS_CTNETLINK
	messageNew     = subsystem << 8
	messageGet     = subsystem<<8 | 1
	attributeMask  = 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
	tupleOriginal  = 1      // CTA_TUPLE_ORIG
	tupleReply     = 2      // CTA_TUPLE_REPLY
	status         = 3      // CTA_STATUS
	tupleIP        = 1      // CTA_TUPLE_IP
	tupleProtocol  = 2      // CTA_TUPLE_PROTO
	sourceV4       = 1      // CTA_IP_V4_SRC
	destV4         = 2
	sourceV6       = 3
	destV6         = 4
	protocolNumber = 1      // CTA_PROTO_NUM
	destPort       = 3      // CTA_PROTO_DST_PORT
	seenReply      = 1 << 1 // IPS_SEEN_REPLY
)

// entry is what counts of one tracked connection.
type entry struct {
	// source, destination, protocol and port are those of its first packet;
	// answerer is who answers, which is another than destination behind a
	// Service. Port is 0 where the protocol has none.
	source, destination, answerer netip.Addr
	protocol                      uint8
	port                          uint16
	replied                       bool
}

var errMalformed = errors.New("the kernel's answer about tracked connections makes no sense")

// messages calls each for every connection in what the kernel sent, and reports
// whether that was the last of it. The error is a syscall.Errno if it is the
// kernel's.
func messages(b []byte, each func(*entry)) (done bool, err error) {
	for len(b) > 0 {
		if len(b) < headerLength {
			return false, errMalformed
		}
		length, kind := int(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint16(b[4:])
		if length < headerLength || length > len(b) {
			return false, errMalformed
		}
		body := b[headerLength:length]
		b = b[min(align(length), len(b)):]
		switch kind {
		case messageDone, messageError:
			if len(body) < 4 {
				return false, errMalformed
			}
			if errno := int32(binary.NativeEndian.Uint32(body)); errno < 0 {
				return true, syscall.Errno(-errno)
			}
			return true, nil
		case messageNew:
			var e entry
			if len(body) >= generalLength && e.parse(body[generalLength:]) {
				each(&e)
			}
		}
	}
	return false, nil
}

// parse reads a connection's attributes and reports whether it is one.
func (e *entry) parse(b []byte) bool {
	ok := attributes(b, func(kind uint16, value []byte) bool {
		switch kind {
		case tupleOriginal:
			return e.tuple(value, true)
		case tupleReply:
			return e.tuple(value, false)
		case status:
			e.replied = len(value) == 4 && binary.BigEndian.Uint32(value)&seenReply != 0
		}
		return true
	})
	return ok && e.source.IsValid() && e.destination.IsValid() && e.answerer.IsValid()
}

// tuple reads one direction of a connection.
func (e *entry) tuple(b []byte, original bool) bool {
	return attributes(b, func(kind uint16, value []byte) bool {
		switch kind {
		case tupleIP:
			return attributes(value, func(kind uint16, value []byte) bool {
				a, ok := netip.AddrFromSlice(value)
				switch {
				case !ok:
				case original && (kind == sourceV4 || kind == sourceV6):
					e.source = a
				case original && (kind == destV4 || kind == destV6):
					e.destination = a
				case kind == sourceV4 || kind == sourceV6:
					e.answerer = a
				}
				return true
			})
		case tupleProtocol:
			return attributes(value, func(kind uint16, value []byte) bool {
				switch {
				case original && kind == protocolNumber && len(value) == 1:
					e.protocol = value[0]
				case original && kind == destPort && len(value) == 2:
					e.port = binary.BigEndian.Uint16(value)
				}
				return true
			})
		}
		return true
	})
}

// attributes calls f for each attribute until it returns false. It reports
// whether all were whole and f took them.
func attributes(b []byte, f func(kind uint16, value []byte) bool) bool {
	for len(b) > 0 {
		if len(b) < 4 {
			return false
		}
		length := int(binary.NativeEndian.Uint16(b))
		if length < 4 || length > len(b) || !f(binary.NativeEndian.Uint16(b[2:])&attributeMask, b[4:length]) {
			return false
		}
		b = b[min(align(length), len(b)):]
	}
	return true
}

func align(n int) int { return (n + 3) &^ 3 }

package linklocal

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// A filter of clsact stays when its process dies. This handle and priority are
// enawatch's, so that the next agent replaces what a killed one left.
const (
	filterHandle   = 0xe7a
	filterPriority = 1
)

// Parts of linux/pkt_sched.h and linux/pkt_cls.h that x/sys/unix lacks.
const (
	handleClsact  = 0xffff0000
	parentClsact  = 0xfffffff1
	parentIngress = 0xfffffff2
	parentEgress  = 0xfffffff3

	attrKind    = 1 // TCA_KIND
	attrOptions = 2 // TCA_OPTIONS

	bpfFD    = 6      // TCA_BPF_FD
	bpfName  = 7      // TCA_BPF_NAME
	bpfFlags = 8      // TCA_BPF_FLAGS
	bpfDA    = 1 << 0 // TCA_BPF_FLAG_ACT_DIRECT
)

// tcMessage is struct tcmsg.
type tcMessage struct {
	Family  uint8
	_       [3]byte
	Index   int32
	Handle  uint32
	Parent  uint32
	Details uint32 // priority and protocol of filters
}

// attachClsact puts filters at both ends of an interface. The qdisc stays when
// they are closed: others may use it.
func attachClsact(index int, egress, ingress *ebpf.Program) (io.Closer, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("talk to the kernel's traffic control: %w", err)
	}
	defer conn.Close()
	qdisc := tcMessage{Index: int32(index), Handle: handleClsact, Parent: parentClsact}
	err = qdisc.send(conn, unix.RTM_NEWQDISC, netlink.Create|netlink.Excl, func(e *netlink.AttributeEncoder) { e.String(attrKind, "clsact") })
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("add the clsact qdisc: %w", err)
	}
	filters := clsactFilters{index, nil}
	for _, f := range []struct {
		parent  uint32
		program *ebpf.Program
		name    string
	}{{parentEgress, egress, "enawatch-egress"}, {parentIngress, ingress, "enawatch-ingress"}} {
		err := filterMessage(index, f.parent).send(conn, unix.RTM_NEWTFILTER, netlink.Create|netlink.Replace, func(e *netlink.AttributeEncoder) {
			e.String(attrKind, "bpf")
			e.Nested(attrOptions, func(e *netlink.AttributeEncoder) error {
				e.Uint32(bpfFD, uint32(f.program.FD()))
				e.String(bpfName, f.name)
				e.Uint32(bpfFlags, bpfDA)
				return nil
			})
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("add a clsact filter: %w", err), filters.Close())
		}
		filters.parents = append(filters.parents, f.parent)
	}
	return filters, nil
}

// clsactFilters removes the filters when it is closed.
type clsactFilters struct {
	index   int
	parents []uint32
}

func (f clsactFilters) Close() error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	var errs []error
	for _, parent := range f.parents {
		err := filterMessage(f.index, parent).send(conn, unix.RTM_DELTFILTER, 0, func(e *netlink.AttributeEncoder) { e.String(attrKind, "bpf") })
		if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, err) // EINVAL: the interface lost its qdisc
		}
	}
	return errors.Join(errs...)
}

func filterMessage(index int, parent uint32) *tcMessage {
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
	return &tcMessage{Index: int32(index), Handle: filterHandle, Parent: parent, Details: filterPriority<<16 | all&0xffff}
}

// send sends a request and waits for its acknowledgement.
func (t *tcMessage) send(conn *netlink.Conn, kind netlink.HeaderType, flags netlink.HeaderFlags, attributes func(*netlink.AttributeEncoder)) error {
	e := netlink.NewAttributeEncoder()
	attributes(e)
	encoded, err := e.Encode()
	if err != nil {
		return err
	}
	body := append((*[unsafe.Sizeof(tcMessage{})]byte)(unsafe.Pointer(t))[:], encoded...)
	_, err = conn.Execute(netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Acknowledge | flags},
		Data:   body,
	})
	return err
}

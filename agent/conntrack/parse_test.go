package conntrack

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attribute encodes one, padded.
func attribute(kind uint16, value ...byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func tupleOf(kind uint16, source, destination string, protocol byte, port uint16) []byte {
	const nested = 0x8000
	s, d := netip.MustParseAddr(source).AsSlice(), netip.MustParseAddr(destination).AsSlice()
	from, to := uint16(sourceV4), uint16(destV4)
	if len(s) == 16 {
		from, to = sourceV6, destV6
	}
	proto := slices.Concat(attribute(protocolNumber, protocol), attribute(2, 0x80, 0x01))
	if port > 0 {
		proto = append(proto, attribute(destPort, byte(port>>8), byte(port))...)
	}
	return attribute(kind|nested, slices.Concat(
		attribute(tupleIP|nested, slices.Concat(attribute(from, s...), attribute(to, d...))...),
		attribute(tupleProtocol|nested, proto...))...)
}

// message encodes one with a header.
func message(kind uint16, body ...byte) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(headerLength+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(append(b, make([]byte, 10)...), body...)
	return append(b, make([]byte, align(len(b))-len(b))...)
}

func connection(source, destination, answerer string, protocol byte, port uint16, replied bool) []byte {
	flags := byte(0)
	if replied {
		flags = seenReply
	}
	return message(messageNew, slices.Concat([]byte{2, 0, 0, 0},
		tupleOf(tupleOriginal, source, destination, protocol, port), tupleOf(tupleReply, answerer, source, protocol, 0x8001),
		attribute(status, 0, 0, 1, flags), attribute(7, 0, 0, 0, 120))...)
}

func TestMessages(t *testing.T) {
	end := message(messageDone, 0, 0, 0, 0)
	refused := message(messageError, binary.NativeEndian.AppendUint32(nil, ^uint32(syscall.EPERM)+1)...)
	service := connection("10.0.1.20", "172.20.0.10", "10.0.1.30", 17, 53, true)
	v6 := connection("2001:db8::1", "2001:db8::2", "2001:db8::2", 6, 443, false)
	ping := connection("10.0.1.20", "10.0.0.1", "10.0.0.1", 1, 0, false)
	all := slices.Concat(service, v6, ping)
	addr := netip.MustParseAddr
	entries := []entry{
		{addr("10.0.1.20"), addr("172.20.0.10"), addr("10.0.1.30"), 17, 53, true},
		{addr("2001:db8::1"), addr("2001:db8::2"), addr("2001:db8::2"), 6, 443, false},
		{addr("10.0.1.20"), addr("10.0.0.1"), addr("10.0.0.1"), 1, 0, false},
	}
	tests := []struct {
		name string
		sent []byte
		want []entry
		done bool
		err  error
	}{
		{"nothing", nil, nil, false, nil},
		{"three, and more to come", all, entries, false, nil},
		{"three, and no more", slices.Concat(all, end), entries, true, nil},
		{"not permitted", refused, nil, true, syscall.EPERM},
		{"of another subsystem", message(0x200, 0, 0, 0, 0), nil, false, nil},
		{"without addresses", message(messageNew, 2, 0, 0, 0), nil, false, nil},
		{"cut in the header", all[:7], nil, false, errMalformed},
		{"cut in the body", service[:40], nil, false, errMalformed},
		{"longer than it is", append([]byte{255, 255, 0, 0}, service[4:]...), nil, false, errMalformed},
		{"an end without a result", message(messageDone), nil, false, errMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []entry
			done, err := messages(tt.sent, func(e *entry) { got = append(got, *e) })
			if done != tt.done || !errors.Is(err, tt.err) {
				t.Errorf("done %t, error %v, want %t, %v", done, err, tt.done, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(entry{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = messages(all, func(*entry) {}) }); n > 3 {
		t.Errorf("%v allocations for three connections", n)
	}
}

func FuzzMessages(f *testing.F) {
	f.Add(connection("10.0.1.20", "172.20.0.10", "10.0.1.30", 17, 53, true))
	f.Add(connection("2001:db8::1", "2001:db8::2", "2001:db8::2", 6, 443, false))
	f.Add(message(messageDone, 0, 0, 0, 0))
	f.Add(message(messageError, 255, 255, 255, 255))
	f.Add(message(messageNew, 2, 0, 0, 0, 3, 0, 1, 128))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = messages(b, func(e *entry) {
			if !e.source.IsValid() || !e.destination.IsValid() || !e.answerer.IsValid() {
				t.Errorf("%+v has an address that is none", e)
			}
		})
	})
}

//go:build linux

package rig

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestFilter runs the filters of all architectures, whichever this machine is.
func TestFilter(t *testing.T) {
	for name, a := range architectures {
		var raw []bpf.RawInstruction
		for _, f := range a.filter() {
			raw = append(raw, bpf.RawInstruction{Op: f.Code, Jt: f.Jt, Jf: f.Jf, K: f.K})
		}
		program, ok := bpf.Disassemble(raw)
		if !ok {
			t.Fatalf("%s: the filter has an unknown instruction", name)
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range []struct {
			what                  string
			arch, number, request uint32
			want                  int
		}{
			{"ethtool", a.audit, a.ioctl, unix.SIOCETHTOOL, unix.SECCOMP_RET_USER_NOTIF},
			{"another ioctl", a.audit, a.ioctl, unix.SIOCGIFNAME, unix.SECCOMP_RET_ALLOW},
			{"another call", a.audit, a.ioctl + 1, unix.SIOCETHTOOL, unix.SECCOMP_RET_ALLOW},
			{"another architecture", a.audit + 1, a.ioctl, unix.SIOCETHTOOL, unix.SECCOMP_RET_ALLOW},
		} {
			// The filter loads words; this machine has them in network order.
			data := make([]byte, 64)
			binary.BigEndian.PutUint32(data[dataNumber:], tt.number)
			binary.BigEndian.PutUint32(data[dataArch:], tt.arch)
			binary.BigEndian.PutUint32(data[dataRequest:], tt.request)
			got, err := vm.Run(data)
			if err != nil || got != tt.want {
				t.Errorf("%s, %s: action %#x, %v; want %#x", name, tt.what, got, err, tt.want)
			}
		}
	}
}

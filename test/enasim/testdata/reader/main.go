//go:build linux

// Command reader makes raw ethtool ioctls and prints what came of them. The
// rig's tests run it as the program that knows nothing of the rig.
//
// Each argument is one action:
//
//	names:IF           ETHTOOL_GSSET_INFO and ETHTOOL_GSTRINGS
//	strings:IF:WANT    ETHTOOL_GSTRINGS for WANT names: how many the kernel says
//	stats:IF:WANT      ETHTOOL_GSTATS for WANT stats: how many the kernel says
//	value:IF:STAT      one stat
//	driver:IF          ETHTOOL_GDRVINFO: the driver, and how many stats it has
//	who:IF             the same: the driver
//	command:IF:NUMBER  any other command
//	fault:IF:PROT      ETHTOOL_GSTATS in memory that has this protection
//	race:IF:IF         a reading of each, both at once: which is answered first
//	links:MAC          what RTMGRP_LINK told of that device since the last time
//	left               wait until a link is deleted: that event
//	wait               wait for a byte of standard input
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

const (
	siocethtool = 0x8946
	gdrvinfo    = 0x03
	gstrings    = 0x1b
	gstats      = 0x1d
	gssetInfo   = 0x37

	ifNameSize = 16
	nameSize   = 32
	most       = 10000 // names or stats
)

type ifreq struct {
	name [ifNameSize]byte
	data unsafe.Pointer
	_    [16]byte
}

// ethtool runs a command. Of the request it is enough that it starts with the
// command's number.
func ethtool(name string, request unsafe.Pointer) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	r := &ifreq{data: request}
	copy(r.name[:], name)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), siocethtool, uintptr(unsafe.Pointer(r))); errno != 0 {
		return errno
	}
	return nil
}

func names(name string) ([]string, error) {
	info := struct {
		cmd, _ uint32
		mask   uint64
		count  [2]uint32
	}{cmd: gssetInfo, mask: 1<<1 | 1<<2}
	if err := ethtool(name, unsafe.Pointer(&info)); err != nil {
		return nil, err
	}
	if info.mask != 1<<1 {
		return nil, fmt.Errorf("sets %#x", info.mask)
	}
	all, n, err := stringSet(name, int(info.count[0]))
	if err != nil {
		return nil, err
	}
	var list []string
	for i := range n {
		text, _, _ := strings.Cut(string(all[i*nameSize:(i+1)*nameSize]), "\x00")
		list = append(list, text)
	}
	return list, nil
}

func stringSet(name string, want int) ([]byte, int, error) {
	r := &struct {
		cmd, set, n uint32
		data        [most * nameSize]byte
	}{cmd: gstrings, set: 1, n: uint32(want)}
	err := ethtool(name, unsafe.Pointer(r))
	return r.data[:], int(r.n), err
}

// canary is what lies where the kernel is not to write.
const canary = 0x5ca1ab1e

// stats returns the values, how many the kernel says there are, and how many it
// wrote.
func stats(name string, want int) (values []uint64, said, wrote int, err error) {
	r := &struct {
		cmd, n uint32
		data   [most]uint64
	}{cmd: gstats, n: uint32(want)}
	for i := range r.data {
		r.data[i] = canary
	}
	if err := ethtool(name, unsafe.Pointer(r)); err != nil {
		return nil, 0, 0, err
	}
	for wrote < most && r.data[wrote] != canary {
		wrote++
	}
	return r.data[:wrote], int(r.n), wrote, nil
}

func act(action string) string {
	part := append(strings.Split(action, ":"), "", "")
	name := part[1]
	number, _ := strconv.Atoi(part[2])
	switch part[0] {
	case "names":
		list, err := names(name)
		return result(strings.Join(list, " "), err)
	case "strings":
		_, n, err := stringSet(name, number)
		return result(strconv.Itoa(n), err)
	case "stats":
		_, said, wrote, err := stats(name, number)
		return result(fmt.Sprintf("said %d, wrote %d", said, wrote), err)
	case "value":
		return value(name, part[2])
	case "driver":
		r := &[49]uint32{gdrvinfo}
		err := ethtool(name, unsafe.Pointer(r))
		b := unsafe.Slice((*byte)(unsafe.Pointer(r)), len(r)*4)
		return result(fmt.Sprintf("%s, %d stats", strings.TrimRight(string(b[4:36]), "\x00"), r[45]), err)
	case "who":
		who, _, _ := strings.Cut(act("driver:"+name), ",")
		return who
	case "command":
		return result("done", ethtool(name, unsafe.Pointer(&[64]uint32{uint32(number)})))
	case "fault":
		mem, err := syscall.Mmap(-1, 0, os.Getpagesize(), syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err == nil {
			mem[0] = gstats
			err = syscall.Mprotect(mem, number)
		}
		if err != nil {
			return result("", err)
		}
		return result("done", ethtool(name, unsafe.Pointer(&mem[0])))
	case "race":
		return race(name, part[2])
	case "links":
		others := func(e string) bool { return !strings.Contains(e, name) }
		return strings.Join(slices.DeleteFunc(events(""), others), ", ")
	case "wait":
		_, err := os.Stdin.Read(make([]byte, 1))
		return result("", err)
	case "left":
		list := events("del ")
		return list[len(list)-1]
	}
	return "what is " + action + "?"
}

func value(name, stat string) string {
	list, err := names(name)
	if err != nil {
		return result("", err)
	}
	values, said, _, err := stats(name, len(list))
	if err != nil || said != len(list) {
		return result(fmt.Sprintf("said %d, not %d", said, len(list)), err)
	}
	for i, n := range list {
		if n == stat {
			return strconv.FormatUint(values[i], 10)
		}
	}
	return "no such stat"
}

func race(a, b string) string {
	done := make(chan string)
	for _, name := range []string{a, b} {
		go func() {
			_, _, _, err := stats(name, 0)
			done <- result(name, err)
		}()
	}
	return <-done + ", " + <-done
}

func result(text string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}

var monitor = func() int {
	fd, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW, syscall.NETLINK_ROUTE)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK, Groups: 1 /* RTMGRP_LINK */})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reader:", err)
		os.Exit(1)
	}
	return fd
}()

// events returns what happened to links. It waits until there is an event that
// begins with until; with "", it does not wait.
func events(until string) (list []string) {
	buf := make([]byte, 1<<16)
	for {
		flags := syscall.MSG_DONTWAIT
		if until != "" {
			flags = 0
		}
		n, _, err := syscall.Recvfrom(monitor, buf, flags)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return list
		}
		messages, _ := syscall.ParseNetlinkMessage(buf[:n])
		for _, m := range messages {
			list = append(list, event(m))
			if until != "" && strings.HasPrefix(list[len(list)-1], until) {
				return list
			}
		}
	}
}

func event(m syscall.NetlinkMessage) string {
	kind := map[uint16]string{syscall.RTM_NEWLINK: "new", syscall.RTM_DELLINK: "del"}[m.Header.Type]
	attributes, _ := syscall.ParseNetlinkRouteAttr(&m)
	var name, mac string
	for _, a := range attributes {
		switch a.Attr.Type {
		case syscall.IFLA_IFNAME:
			name = strings.TrimRight(string(a.Value), "\x00")
		case syscall.IFLA_ADDRESS:
			mac = fmt.Sprintf("%x", a.Value)
		}
	}
	i := (*syscall.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
	state := "down"
	if i.Flags&syscall.IFF_UP != 0 {
		state = "up"
	}
	return fmt.Sprintf("%s %s %s %d %s", kind, name, mac, i.Index, state)
}

func main() {
	for _, action := range os.Args[1:] {
		fmt.Println(act(action))
	}
}

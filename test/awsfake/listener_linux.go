package awsfake

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// SO_REUSEPORT of asm-generic/socket.h, which package syscall lacks. It is the
// same on amd64 and arm64.
const soReusePort = 15

// reserve binds address without listening on it. The kernel refuses
// connections to such a port and gives it to nobody else, so that a gate can
// close its listener and open it again. It returns the address with the port
// that the kernel chose.
func reserve(address string) (string, func(), error) {
	want, err := netip.ParseAddrPort(address)
	if err != nil {
		return "", nil, fmt.Errorf("%q is not an IP address and a port; use 127.0.0.1:0 for a free one", address)
	}
	family := syscall.AF_INET6
	var sa syscall.Sockaddr = &syscall.SockaddrInet6{Port: int(want.Port()), Addr: want.Addr().As16()}
	if ip := want.Addr().Unmap(); ip.Is4() {
		family = syscall.AF_INET
		sa = &syscall.SockaddrInet4{Port: int(want.Port()), Addr: ip.As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, err
	}
	release := func() { syscall.Close(fd) }
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		release()
		return "", nil, err
	}
	if err := syscall.Bind(fd, sa); err != nil {
		release()
		return "", nil, err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		release()
		return "", nil, err
	}
	port := 0
	switch b := bound.(type) {
	case *syscall.SockaddrInet4:
		port = b.Port
	case *syscall.SockaddrInet6:
		port = b.Port
	}
	return net.JoinHostPort(want.Addr().String(), strconv.Itoa(port)), release, nil
}

// listen opens a reserved address.
func listen(address string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var opt error
		err := c.Control(func(fd uintptr) {
			opt = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		})
		if err != nil {
			return err
		}
		return opt
	}}
	return lc.Listen(context.Background(), "tcp", address)
}

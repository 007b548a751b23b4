//go:build !linux

package awsfake

import "net"

// reserve keeps nothing: off Linux, another process can take the port while
// the gate is shut.
func reserve(address string) (string, func(), error) { return address, func() {}, nil }

func listen(address string) (net.Listener, error) { return net.Listen("tcp", address) }

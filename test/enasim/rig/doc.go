//go:build linux

// Package rig presents the devices of package simulate to an unmodified
// program, by seccomp user notification: the kernel stops every ethtool ioctl
// of the program and of all its descendants, and hands it to the supervisor,
// which answers in the kernel's stead with the structs of linux/ethtool.h.
//
// [Run] is the supervisor. It starts its own executable again as the stage
// ([Stage]), in namespaces of its own, where the scripted devices exist as veth
// devices with the scripted names and addresses. The stage installs the filter,
// gives up privileges and becomes the program. Namespaces, devices and
// processes vanish with the supervisor; nothing of the host changes.
//
// It needs Linux 5.9 (which tells a listener when nobody is left), and 5.19 to
// be exact for programs that receive signals (SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV),
// as every Go program does. Limits: only the ioctl is answered. Netlink, sysfs
// and /proc show the veth devices; their sysfs has no device and no driver.
package rig

//go:build linux

package rig

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// StageName is the os.Args[0] by which an executable knows that it must
	// call Stage and nothing else.
	StageName = "enasim-stage"
	// stageSocket is the stage's end of the socket pair.
	stageSocket = 3
	// stageFailed is the exit code of a stage that could not become the
	// program. The supervisor knows why.
	stageFailed = 125
)

// Stage turns this process, which Run started in new namespaces, into the
// program. Its arguments are the user id or -1, the program's path and the
// program's arguments from the 0th on. It does not return.
func Stage() {
	sendError(stageSocket, stage()) // if the supervisor is gone, nobody wants it
	os.Exit(stageFailed)
}

func stage() error {
	// Privileges, filter and death signal belong to the thread that executes
	// the program.
	runtime.LockOSThread()
	unix.CloseOnExec(stageSocket)
	if len(os.Args) < 4 {
		return errors.New("the stage is started by enasim only")
	}
	uid, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return fmt.Errorf("the stage's user id: %w", err)
	}
	if err := mountSysfs(); err != nil {
		return err
	}
	if err := lendNetlink(); err != nil {
		return err
	}
	if err := awaitGo(stageSocket); err != nil { // the devices are there
		return err
	}
	if err := dropPrivileges(uid); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	// If the supervisor is killed, no reading could be answered any more.
	// A change of the user id clears this, so it comes after.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the program to enasim: %w", err)
	}
	fd, err := installFilter()
	if err != nil {
		return err
	}
	if err := sendDescriptor(stageSocket, fd); err != nil {
		return fmt.Errorf("hand over the listener: %w", err)
	}
	unix.Close(fd)
	if err := awaitGo(stageSocket); err != nil {
		return err
	}
	path, args := os.Args[2], os.Args[3:]
	return fmt.Errorf("run %s: %w", path, syscall.Exec(path, args, os.Environ()))
}

// mountSysfs gives the program a /sys that shows the devices of its network
// namespace, and not those of the host. Control groups are still the host's,
// for container runtimes; where there are none to be had, it goes without.
func mountSysfs() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	const cgroups = "/sys/fs/cgroup"
	tree, err := unix.OpenTree(unix.AT_FDCWD, cgroups, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err == nil {
		defer unix.Close(tree)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /sys for the namespace: %w", err)
	}
	if tree >= 0 {
		if err := unix.MoveMount(tree, "", unix.AT_FDCWD, cgroups, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("mount %s for the namespace: %w", cgroups, err)
		}
	}
	return nil
}

// lendNetlink hands the supervisor a socket of this network namespace.
func lendNetlink() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if err := sendDescriptor(stageSocket, fd); err != nil {
		return fmt.Errorf("hand over the netlink socket: %w", err)
	}
	return nil
}

// dropPrivileges becomes the user and group uid, without any capability. With
// -1 the user stays who it is; what the new user namespace gave, goes.
func dropPrivileges(uid int) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear the ambient capabilities: %w", err)
	}
	if uid < 0 {
		return nil
	}
	for c := uintptr(0); ; c++ { // the kernel knows which is the last
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break
		} else if err != nil {
			return fmt.Errorf("empty the bounding set: %w", err)
		}
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("drop the groups: %w", err)
	}
	if err := syscall.Setresgid(uid, uid, uid); err != nil {
		return fmt.Errorf("become group %d: %w", uid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("become user %d: %w", uid, err)
	}
	none := [2]unix.CapUserData{}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("drop the capabilities: %w", err)
	}
	return nil
}

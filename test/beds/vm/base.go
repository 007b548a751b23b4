//go:build beds

package vm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// parts are what all machines are made of.
type parts struct{ kernel, initrd, root, module string }

// packages are in the root: systemd, what the tests call, and what a node of
// Kubernetes has besides its own programs.
const packages = "systemd,systemd-sysv,dbus,kmod,iproute2,ethtool,ca-certificates,busybox-static,etcd-server,runc,containernetworking-plugins,openssl"

// masked are units that a machine without udev and terminals waits for in vain,
// or that have nothing to do here.
var masked = []string{
	"serial-getty@ttyS0.service", "getty@tty1.service", "console-getty.service", "apt-daily.timer", "apt-daily-upgrade.timer",
	"dpkg-db-backup.timer", "e2scrub_all.timer", "etcd.service", "systemd-journal-flush.service",
}

const unit = `[Unit]
Description=the test
[Service]
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
ExecStart=/bed/run
ExecStopPost=/sbin/poweroff -ff
TasksMax=infinity
[Install]
WantedBy=multi-user.target
`

// drivers of the disks, in the order of their needs.
var drivers = []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"}

const initScript = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for driver in %s; do /bin/busybox insmod /$driver.ko; done
until [ -b /dev/vda ] && [ -b /dev/vdb ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /new
/bin/busybox mount -t ext4 /dev/vdb /new/bed
exec /bin/busybox switch_root /new /lib/systemd/systemd
`

// base returns the parts, which it makes if they are not in the cache:
// ~/.cache/enawatch/bed-vm.
func base(t testing.TB) parts {
	t.Helper()
	release := kernelRelease(t)
	caches, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	cache := filepath.Join(caches, "enawatch", "bed-vm")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	lock, err := os.Create(filepath.Join(cache, ".lock"))
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()

	source := filepath.Join(bed.Root(), "test", "beds", "vm", "ena")
	text, err := os.ReadFile(filepath.Join(source, "ena.c"))
	if err != nil {
		t.Fatal(err)
	}
	key := func(parts ...any) string { return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, parts...)))[:12] }
	dir := filepath.Join(cache, release+"-"+key(packages, masked, unit, drivers, initScript))
	p := parts{
		kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(dir, "initrd"), root: filepath.Join(dir, "root.img"),
		module: filepath.Join(cache, "ena-"+key(release, text)+".ko"),
	}
	if _, err := os.Stat(p.root); err != nil {
		makeBase(t, p, dir, release)
	}
	if _, err := os.Stat(p.module); err != nil {
		makeModule(t, p.module, source, release)
	}
	return p
}

// kernelRelease is that of the installed headers, for which the module is built.
func kernelRelease(t testing.TB) string {
	t.Helper()
	const prefix = "/usr/src/linux-headers-"
	found, _ := filepath.Glob(prefix + "6.1.*-cloud-amd64")
	if len(found) == 0 {
		t.Fatal("no headers of Debian's cloud kernel: run test/packages beds")
	}
	return strings.TrimPrefix(found[len(found)-1], prefix)
}

// makeBase makes kernel, initial ramdisk and root.
func makeBase(t testing.TB, p parts, dir, release string) {
	t.Helper()
	t.Logf("making a virtual machine with Linux %s, once", release)
	work := t.TempDir()
	root := filepath.Join(work, "root")
	bed.Run(t, "mmdebstrap", "--quiet", "--variant=minbase", "--include="+packages, "--dpkgopt=force-unsafe-io",
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/doc/*",
		"bookworm", root)
	in := func(dir, program string, args ...string) {
		c := exec.Command(program, args...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", c, err, out)
		}
	}
	in(work, "apt-get", "download", "linux-image-"+release)
	images, _ := filepath.Glob(filepath.Join(work, "linux-image-*.deb"))
	kernel := filepath.Join(work, "kernel")
	in(work, "dpkg-deb", "-x", images[0], kernel)
	in(work, "cp", "-r", filepath.Join(kernel, "lib", "modules"), filepath.Join(root, "lib"))
	in(work, "depmod", "-b", root, release)

	for _, u := range masked {
		if err := os.Symlink("/dev/null", filepath.Join(root, "etc", "systemd", "system", u)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "etc/systemd/system/bed.service"), unit, 0o644)
	in(root, "ln", "-sf", "/etc/systemd/system/bed.service", "etc/systemd/system/multi-user.target.wants/bed.service")
	write(t, filepath.Join(root, "etc/hosts"), "127.0.0.1 localhost node-1\n", 0o644)
	write(t, filepath.Join(root, "etc/hostname"), "node-1\n", 0o644)
	write(t, filepath.Join(root, "etc/fstab"), "", 0o644)
	in(root, "mkdir", "-p", "bed", "var/log/journal")

	ramdisk := filepath.Join(work, "ramdisk")
	in(work, "mkdir", "-p", ramdisk+"/bin", ramdisk+"/dev", ramdisk+"/new")
	in(work, "cp", filepath.Join(root, "bin", "busybox"), ramdisk+"/bin/")
	for _, d := range drivers {
		found, _ := filepath.Glob(filepath.Join(kernel, "lib/modules", release, "kernel/drivers/*", d+".ko"))
		if len(found) != 1 {
			t.Fatalf("Linux %s has %d modules %s", release, len(found), d)
		}
		in(work, "cp", found[0], ramdisk)
	}
	write(t, filepath.Join(ramdisk, "init"), fmt.Sprintf(initScript, strings.Join(drivers, " ")), 0o755)

	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in(ramdisk, "sh", "-c", `find . | cpio --quiet --create --format=newc >"$0"`, p.initrd)
	in(work, "cp", filepath.Join(kernel, "boot", "vmlinuz-"+release), p.kernel)
	makeDisk(t, p.root+".part", root, 4<<30)
	if err := os.Rename(p.root+".part", p.root); err != nil { // the last: who finds it finds all
		t.Fatal(err)
	}
}

// makeModule builds the module.
func makeModule(t testing.TB, path, source, release string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ena.c", "Kbuild"} {
		place(t, filepath.Join(dir, name), filepath.Join(source, name))
	}
	bed.Run(t, "make", "--silent", "-C", "/usr/src/linux-headers-"+release, "M="+dir, "KCFLAGS=-Werror", "modules")
	bed.Run(t, "strip", "--strip-debug", filepath.Join(dir, "ena.ko"))
	place(t, path+".part", filepath.Join(dir, "ena.ko"))
	if err := os.Rename(path+".part", path); err != nil {
		t.Fatal(err)
	}
}

//go:build beds

// Package vm runs tests in a virtual machine: Debian's kernel and systemd under
// QEMU, with network devices whose driver is ena, which the module in ena
// registers.
//
// The processor is emulated (TCG) even where KVM is to be had, so that a run
// means the same everywhere. It takes some ten times as long as the real one.
package vm

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/enawatch/enawatch/test/beds/bed"
)

// Machine is what a test runs on.
type Machine struct {
	// Memory is in MiB.
	Memory int
	// Files are put under /bed, which is bed.Root() in there, by their names: a
	// file or a folder of this machine.
	Files map[string]string
}

// limit is how long a machine may run: others may be at work here.
const limit = 30 * time.Minute

// Inside reports whether this process is a test in a virtual machine.
func Inside() bool { return os.Getenv(bed.RootVariable) != "" }

// Run boots a machine and runs the calling test in it, from the test binary of
// pkg: there, Inside is true. The test's output is the return value. It fails
// here if it fails there.
func (m Machine) Run(t *testing.T, pkg string) string {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Fatal("the virtual machine is one of amd64 alone: run it there")
	}
	b := base(t)
	dir := t.TempDir()
	files := filepath.Join(dir, "files")
	for name, from := range m.Files {
		place(t, filepath.Join(files, name), from)
	}
	place(t, filepath.Join(files, "ena.ko"), b.module)
	place(t, filepath.Join(files, "test"), bed.BuildTest(t, pkg))
	write(t, filepath.Join(files, "run"), fmt.Sprintf(`#!/bin/sh
cd /bed
export HOME=/root AWS_EC2_METADATA_DISABLED=true %s=/bed
./test -test.run '^%s$' -test.v
echo "exit status $?"
`, bed.RootVariable, t.Name()), 0o755)
	disk := filepath.Join(dir, "files.img")
	makeDisk(t, disk, files, size(t, files)*11/10+64<<20)

	console, output := filepath.Join(dir, "console"), filepath.Join(dir, "output")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(m.Memory),
		// What the Nitro system says of itself: the agent asks IMDS nowhere else.
		"-smbios", "type=1,manufacturer=Amazon EC2,product=m5.large", "-smbios", "type=2,asset=i-0123456789abcdef0",
		"-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:"+console, "-serial", "file:"+output,
		"-kernel", b.kernel, "-initrd", b.initrd,
		"-append", "console=ttyS0 panic=-1 quiet mitigations=off systemd.show_status=0",
		"-drive", "file="+b.root+",format=raw,if=virtio,cache=unsafe,snapshot=on",
		"-drive", "file="+disk+",format=raw,if=virtio,cache=unsafe,snapshot=on")
	c.Env = append(os.Environ(), "TMPDIR="+dir) // for snapshots
	said, err := c.CombinedOutput()
	text := read(t, output)
	if err != nil || !strings.Contains(text, "\nexit status 0\n") {
		t.Fatalf("in the virtual machine: %v\n%s\nQEMU: %s\nconsole: %s", err, text, said, tail(read(t, console), 8000))
	}
	t.Log(text)
	return text
}

// read returns what came over a serial line.
func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

func write(t testing.TB, path, text string, mode fs.FileMode) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// place copies a file or folder, links followed.
func place(t testing.TB, to, from string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	bed.Run(t, "cp", "--recursive", "--dereference", "--reflink=auto", from, to)
}

// size is that of all files in a folder.
func size(t testing.TB, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err == nil {
			sum += i.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// makeDisk makes an image with the files of a folder.
func makeDisk(t testing.TB, path, dir string, size int64) {
	t.Helper()
	bed.Run(t, "mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", dir, path, strconv.FormatInt(size>>10, 10)+"k")
}

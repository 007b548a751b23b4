package linklocal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxCgroups bounds a walk over the tree of cgroups.
const maxCgroups = 20_000

// cgroupPaths returns the paths below root of the cgroups with the given ids,
// as far as they are still there. A cgroup's id is its directory's inode.
func cgroupPaths(root string, ids map[uint64]bool) map[uint64]string {
	found := map[uint64]string{}
	seen := 0
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it went away
		}
		if seen++; seen > maxCgroups || len(found) == len(ids) {
			return filepath.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && ids[stat.Ino] {
			found[stat.Ino] = "/" + strings.Trim(strings.TrimPrefix(path, root), "/")
		}
		return nil
	})
	return found
}

// lookUp names the senders whose cgroups have the given ids.
func lookUp(root, logs string, ids map[uint64]bool) map[uint64]Name {
	names := map[uint64]Name{}
	var pods, containers []string
	for id, path := range cgroupPaths(root, ids) {
		n := nameOf(path)
		if (n.PodUID != "" || n.ContainerID != "") && pods == nil && containers == nil {
			pods, containers = list(filepath.Join(logs, "pods")), list(filepath.Join(logs, "containers"))
		}
		n.fill(pods, containers)
		if n.Process == "" && !n.whole() {
			n.Process = onlyProcess(filepath.Join(root, path))
		}
		names[id] = n
	}
	return names
}

// list returns the names in a directory that may not be there.
func list(dir string) []string {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	return names
}

// onlyProcess returns the command of a cgroup's process, if it has only one, as
// for sockets that are older than the programs.
func onlyProcess(cgroup string) string {
	procs, err := os.ReadFile(filepath.Join(cgroup, "cgroup.procs"))
	if fields := strings.Fields(string(procs)); err == nil && len(fields) == 1 {
		comm, err := os.ReadFile(filepath.Join("/proc", fields[0], "comm"))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return strings.TrimSpace(string(comm))
		}
	}
	return ""
}

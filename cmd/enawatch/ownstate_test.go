package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Root that has no capability but CAP_CHOWN takes the directory from its user and
// for itself, and gives it back.
func TestOwnStateChangesHands(t *testing.T) {
	if dir := os.Getenv("OWNSTATE_DIR"); dir != "" {
		for _, uid := range []int{65532, 0, 0, 65532} {
			if err := ownState(dir, uid); err != nil {
				t.Fatal(err)
			}
			if at, err := os.Stat(dir); err != nil || int(at.Sys().(*syscall.Stat_t).Uid) != uid {
				t.Errorf("after it was given to %d: %v, %v", uid, at, err)
			}
		}
		return
	}
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "state.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 {
		t.Fatal("run the tests as root")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// What leads to the directory belongs to root.
	c := exec.Command("setpriv", "--bounding-set=-all,+chown", "--inh-caps=-all", self, "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), "OWNSTATE_DIR="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if at, err := os.Stat(file); err != nil || at.Sys().(*syscall.Stat_t).Uid != 65532 {
		t.Errorf("the file in it: %v, %v, want user 65532's", at, err)
	}
}

func TestOwnState(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	uid := os.Getuid()
	if uid == 0 {
		uid = 65532
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "state.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ownState(dir, uid); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, file} {
		at, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := at.Sys().(*syscall.Stat_t); int(st.Uid) != uid {
			t.Errorf("%s is %d's, want %d's", path, st.Uid, uid)
		}
	}
	if at, err := os.Stat(dir); err != nil || uid != os.Getuid() && at.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v, %v", at.Mode(), err)
	}
	if err := ownState(file, uid); err == nil {
		t.Error("a file is taken for the directory")
	}
}

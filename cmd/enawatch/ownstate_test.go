package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

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

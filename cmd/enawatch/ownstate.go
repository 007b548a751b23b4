package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
)

// ownStateCommand is for the init container of the DaemonSet: the kubelet makes
// the directory on the node for root.
func ownStateCommand() *cobra.Command {
	dir, uid := config.Default().StateDir, 0
	c := &cobra.Command{
		Use:   "own-state",
		Short: "Give the state directory to the user that the agent runs as",
		Long: `Make the state directory, and give it and the files in it to a user and the group
of the same number, and to nobody else. It takes root, with no capability but
CAP_CHOWN.`,
		Hidden: true,
		Args:   usageArgs(cobra.NoArgs),
		RunE:   func(*cobra.Command, []string) error { return ownState(dir, uid) },
	}
	c.Flags().StringVar(&dir, "state-dir", dir, "the `directory`")
	c.Flags().IntVar(&uid, "uid", uid, "`number` of the user and of the group")
	return c
}

// ownState changes nothing if the directory is the user's already. It follows no
// symbolic link.
func ownState(dir string, uid int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	at, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("look at the state directory: %w", err)
	}
	if !at.IsDir() {
		return fmt.Errorf("%s is no directory: remove it", dir)
	}
	self := os.Getuid()
	if st, ok := at.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid && int(st.Gid) == uid && uid != self {
		return nil
	}
	// Without CAP_DAC_OVERRIDE, root can't list what is another user's.
	if err := os.Lchown(dir, self, -1); err != nil {
		return fmt.Errorf("take the state directory from its user: %w", err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list the state directory: %w", err)
	}
	for _, f := range files {
		if err := os.Lchown(filepath.Join(dir, f.Name()), uid, uid); err != nil {
			return fmt.Errorf("give away a file of the state: %w", err)
		}
	}
	// The mode first: what is another's can't be changed without CAP_FOWNER.
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("close the state directory to others: %w", err)
	}
	if err := os.Lchown(dir, uid, uid); err != nil {
		return fmt.Errorf("give the state directory away: %w", err)
	}
	return nil
}

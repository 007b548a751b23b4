package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kardianos/service"
	"github.com/spf13/cobra"

	"github.com/enawatch/enawatch/agent/config"
	"github.com/enawatch/enawatch/systemd"
)

const (
	// exitNotRunning is what status ends with, as LSB has it, if the service does
	// not run.
	exitNotRunning = 3
	// serviceUID is whom the agent runs as where there is no systemd: the number
	// that the container image has, which belongs to nobody.
	serviceUID = 65532
	// serviceLogs is where the agent's output goes where there is no journal.
	serviceLogs = "/var/log"
)

func serviceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "service",
		Short: "Run enawatch as a service of this host, where it has no package",
		Long: `Run this program as a service of the host, where it was installed without a
package. systemd gets the unit that packages have. SysV init, upstart and OpenRC
get a script that runs it as user 65532, by setpriv, without a capability; its
output goes to /var/log/enawatch.*.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: help,
	}
	control := func(name, short, done string, act func(service.Service) error) *cobra.Command {
		return &cobra.Command{Use: name, Short: short, Args: usageArgs(cobra.NoArgs),
			RunE: func(c *cobra.Command, _ []string) error {
				if os.Geteuid() != 0 {
					return fmt.Errorf("service %s: only root can: try sudo", name)
				}
				s, err := hostService()
				if err != nil {
					return fmt.Errorf("service %s: %w", name, err)
				}
				if err := act(s); err != nil {
					return fmt.Errorf("service %s, by %s: %w", name, s.Platform(), err)
				}
				_, err = fmt.Fprintln(c.OutOrStdout(), done)
				return err
			}}
	}
	c.AddCommand(
		control("install", "Make this program a service that starts with the host",
			"enawatch is installed, and starts with the host. Now: enawatch service start", installService),
		control("uninstall", "Stop the service and remove it",
			"The service is gone. Its configuration is still in /etc/enawatch, its state in "+config.Default().StateDir+".", uninstallService),
		control("start", "Start the service", "enawatch is started.", service.Service.Start),
		control("stop", "Stop the service", "enawatch is stopped.", service.Service.Stop),
		control("restart", "Stop the service and start it", "enawatch is started.", service.Service.Restart),
		serviceStatusCommand(), serviceLogsCommand())
	return c
}

// notRun is what the library would run; run does without it.
type notRun struct{}

func (notRun) Start(service.Service) error { return nil }
func (notRun) Stop(service.Service) error  { return nil }

// hostService is this program as a service of whichever system runs this host.
func hostService() (service.Service, error) {
	path, err := os.Executable()
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &service.Config{
		Name:        "enawatch",
		DisplayName: "enawatch",
		Description: "enawatch, watches what EC2's network allowances cost this host",
		Executable:  path,
		Arguments:   []string{"run"},
		Option: service.KeyValue{
			"SystemdScript": unitTemplate(), "OpenRCScript": openRCScript,
			"LogDirectory": serviceLogs, "LogOutput": true,
		},
	}
	if service.Platform() != "linux-systemd" {
		// Their scripts run everything as root; OpenRC's could name a user, but not one
		// without a name.
		if c.Executable, err = setpriv(); err != nil {
			return nil, err
		}
		id := strconv.Itoa(serviceUID)
		c.Arguments = []string{"--reuid=" + id, "--regid=" + id, "--clear-groups", "--no-new-privs", "--bounding-set=-all", path, "run"}
	}
	return service.New(notRun{}, c)
}

// setpriv finds util-linux's program that takes rights away. BusyBox has one of the
// name that can't.
func setpriv() (string, error) {
	path, err := exec.LookPath("setpriv")
	if err != nil {
		return "", errors.New("setpriv is missing, with which the agent is to run as nobody: install util-linux")
	}
	if help, _ := exec.Command(path, "--help").CombinedOutput(); !bytes.Contains(help, []byte("--bounding-set")) {
		return "", fmt.Errorf("%s can't take capabilities away, which the agent is to run without: install util-linux", path)
	}
	return path, nil
}

// unitTemplate is the packages' unit, in the library's language, in which the
// program is where this one is.
func unitTemplate() string {
	return strings.ReplaceAll(systemd.Unit, "=/usr/bin/enawatch ", "={{Path | cmdEscape}} ")
}

// openRCScript: the library's own names its log for the program, which is setpriv.
const openRCScript = `#!/sbin/openrc-run
name="enawatch"
description="{{Description}}"
supervisor=supervise-daemon
command={{Path | cmdEscape}}
command_args="{{range Arguments}}{{.}} {{end}}"
output_log="/var/log/enawatch.log"
error_log="/var/log/enawatch.err"

start_pre() {
	checkpath --file --mode 0640 /var/log/enawatch.log /var/log/enawatch.err
}
`

// packaged are where packages put the unit.
var packaged = []string{"/usr/lib/systemd/system/enawatch.service", "/lib/systemd/system/enawatch.service"}

// written are what installService writes, by systemd, SysV init or OpenRC, and
// upstart.
var written = []string{"/etc/systemd/system/enawatch.service", "/etc/init.d/enawatch", "/etc/init/enawatch.conf"}

// anyOf says whether one of the files is there.
func anyOf(paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// hidden are folders that the unit does not let the agent see.
var hidden = []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}

func installService(s service.Service) error {
	if anyOf(packaged) {
		return errors.New("a package has installed the service: systemctl enable --now enawatch, or remove the package")
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	for _, folder := range hidden {
		if strings.HasPrefix(path, folder) {
			return fmt.Errorf("the service is not let into %s: install -m 755 %s /usr/local/bin/enawatch, and install the service with that", folder, path)
		}
	}
	if anyOf(written) {
		return errors.New("it is installed: to write it anew, enawatch service uninstall first, which leaves configuration and state")
	}
	if err := os.MkdirAll(filepath.Dir(config.DefaultPath), 0o755); err != nil {
		return fmt.Errorf("make the folder of the configuration: %w", err)
	}
	if err := begin(config.DefaultPath, systemd.Config, 0o644); err != nil {
		return err
	}
	if s.Platform() == "linux-systemd" {
		if err := begin(filepath.Join(filepath.Dir(config.DefaultPath), "env"), systemd.Environment, 0o600); err != nil {
			return err
		}
	} else if err := ownState(config.Default().StateDir, serviceUID); err != nil {
		return err
	}
	if err := s.Install(); err != nil {
		return err
	}
	return orderSysV(s, "defaults")
}

// orderSysV tells Debian's SysV init of links that the library made or that went: it
// starts what its own files of dependencies list, and no other.
func orderSysV(s service.Service, action string) error {
	program, err := exec.LookPath("update-rc.d")
	if s.Platform() != "unix-systemv" || err != nil {
		return nil
	}
	if out, err := exec.Command(program, "enawatch", action).CombinedOutput(); err != nil {
		return fmt.Errorf("update-rc.d enawatch %s: %w: %s", action, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// begin writes a file unless it is there.
func begin(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the first configuration: %w", err)
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}

func uninstallService(s service.Service) error {
	if anyOf(packaged) {
		return errors.New("a package has installed the service: remove the package")
	}
	if !anyOf(written) {
		return errors.New("it is not installed")
	}
	if status, err := s.Status(); err == nil && status == service.StatusRunning {
		if err := s.Stop(); err != nil {
			return fmt.Errorf("stop it first: %w", err)
		}
	}
	// What SysV init starts it by, which the library leaves.
	links, err := filepath.Glob("/etc/rc?.d/[SK]??enawatch")
	if err != nil {
		return err
	}
	for _, link := range links {
		if err := os.Remove(link); err != nil {
			return err
		}
	}
	if err := s.Uninstall(); err != nil {
		return err
	}
	return orderSysV(s, "remove")
}

func serviceStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether the service runs",
		Long:  "Say whether the service runs; exit code 3 if it does not.",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := hostService()
			if err != nil {
				return fmt.Errorf("service status: %w", err)
			}
			status, err := s.Status()
			switch {
			case !anyOf(written) && !anyOf(packaged):
				return &exitError{exitNotRunning, errors.New("enawatch is not installed as a service")}
			case status == service.StatusRunning:
				_, err = fmt.Fprintln(c.OutOrStdout(), "enawatch is running")
				return err
			case status == service.StatusStopped, s.Platform() == "unix-systemv": // which fails if it is stopped
				return &exitError{exitNotRunning, errors.New("enawatch is stopped")}
			}
			return &exitError{exitNotRunning, fmt.Errorf("enawatch is not running: %w: see enawatch service logs", err)}
		},
	}
}

func serviceLogsCommand() *cobra.Command {
	var follow bool
	lines := 50
	c := &cobra.Command{
		Use:   "logs",
		Short: "Show what the service logged last",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			program, args := "journalctl", []string{"--unit=enawatch", "--no-pager", "--lines=" + strconv.Itoa(lines)}
			if service.Platform() != "linux-systemd" {
				files, err := filepath.Glob(filepath.Join(serviceLogs, "enawatch.*"))
				if err != nil || len(files) == 0 {
					return errors.New("service logs: there is none in " + serviceLogs)
				}
				program, args = "tail", append([]string{"-n", strconv.Itoa(lines)}, files...)
			}
			if follow {
				args = append([]string{"-f"}, args...)
			}
			show := exec.CommandContext(c.Context(), program, args...)
			show.Stdout, show.Stderr = c.OutOrStdout(), c.ErrOrStderr()
			if err := show.Run(); err != nil {
				return fmt.Errorf("service logs: %s: %w", program, err)
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on showing what comes")
	c.Flags().IntVarP(&lines, "lines", "n", lines, "`number` of lines")
	return c
}

//go:build beds

// Package packages checks the deb and the rpm with the tools of those who know
// such packages.
package packages

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/enawatch/enawatch/test/beds/bed"
)

func TestPackages(t *testing.T) {
	deb, rpm := bed.Packages(t)
	t.Run("are clean", func(t *testing.T) { lint(t, deb, rpm) })
	t.Run("install the same", func(t *testing.T) { contents(t, deb, rpm) })
}

// lint sees that lintian and rpmlint report nothing but for what
// packaging/deb/lintian-overrides and packaging/rpm/rpmlintrc explain. Both fail
// on an explanation that nothing needs any more.
func lint(t *testing.T, debian, red string) {
	t.Run("deb", func(t *testing.T) {
		// Not of this package: systemd's is the only init that it is for, others have
		// enawatch service; and the program's text holds names that look misspelt.
		out := bed.Run(t, "lintian", "--allow-root", "--tag-display-limit", "0", "--fail-on", "error,warning", "--display-info",
			"--suppress-tags", "package-supports-alternative-init-but-no-init.d-script,spelling-error-in-binary", debian)
		if out != "" {
			t.Errorf("lintian reports:\n%s", out)
		}
	})
	t.Run("rpm", func(t *testing.T) {
		out := bed.Run(t, "rpmlint", "--strict", "--rpmlintrc", filepath.Join(bed.Root(), "packaging", "rpm", "rpmlintrc"), red)
		if !strings.Contains(out, "1 packages and 0 specfiles checked; 0 errors, 0 warnings") {
			t.Errorf("rpmlint reports:\n%s", out)
		}
	})
}

// contents holds what both packages install against each other.
func contents(t *testing.T, debian, red string) {
	want := []string{"/etc/enawatch/enawatch.yaml", "/etc/enawatch/env"}
	if diff := cmp.Diff(want, strings.Fields(bed.Run(t, "dpkg-deb", "--info", debian, "conffiles"))); diff != "" {
		t.Errorf("configuration files of the deb (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, strings.Fields(bed.Run(t, "rpm", "--query", "--package", "--configfiles", red))); diff != "" {
		t.Errorf("configuration files of the rpm (-want +got):\n%s", diff)
	}
	flags := bed.Run(t, "rpm", "--query", "--package", "--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]", red)
	for _, path := range want {
		if !strings.Contains(flags, "cn "+path+"\n") {
			t.Errorf("the rpm does not keep %s at an upgrade:\n%s", path, flags)
		}
	}

	// Debian's and Red Hat's own places, taken out.
	own := regexp.MustCompile(`/(zsh|lintian|licenses)/|/doc/enawatch/(copyright|changelog|CHANGELOG|third-party-licenses)`)
	common := func(list string) (paths []string) {
		for line := range strings.Lines(list) {
			if path := strings.TrimSpace(line); path != "" && !own.MatchString(path) {
				paths = append(paths, path)
			}
		}
		return paths
	}
	inDeb := regexp.MustCompile(`(?m)^-\S+ \S+ +\d+ \S+ \S+ \.(/.*)$`)
	var files strings.Builder
	for _, m := range inDeb.FindAllStringSubmatch(bed.Run(t, "dpkg-deb", "--contents", debian), -1) {
		files.WriteString(m[1] + "\n")
	}
	for path, list := range map[string]string{
		"/usr/share/doc/enawatch/third-party-licenses.gz":   files.String(),
		"/usr/share/licenses/enawatch/THIRD-PARTY-LICENSES": bed.Run(t, "rpm", "--query", "--package", "--licensefiles", red),
	} {
		if !strings.Contains(list, path+"\n") {
			t.Errorf("a package has no %s:\n%s", path, list)
		}
	}
	inRPM := strings.Replace(bed.Run(t, "rpm", "--query", "--package", "--list", red), "/etc/enawatch\n", "", 1)
	if diff := cmp.Diff(common(files.String()), common(inRPM)); diff != "" {
		t.Errorf("what the deb and the rpm install (-deb +rpm):\n%s", diff)
	}
}

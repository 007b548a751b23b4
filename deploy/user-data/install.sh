#!/bin/sh
# Installs enawatch, or another version of it, from the files of a release, and
# has it run:
#
#   install.sh URL SHA256
#
# URL is the folder of the files, SHA256 the sum of the file SHA256SUMS in it,
# which holds those of the packages: what does not match is not installed. If
# that version is there already, it is left alone. Needs root. For Amazon Linux 2
# and 2023, Debian and Ubuntu, and what descends from them.
set -eu

fail() {
	echo "enawatch: $*" >&2
	exit 1
}
[ $# = 2 ] || fail "usage: install.sh URL SHA256"
url=${1%/} sum=$2
echo "$sum" | grep -Eqx '[0-9a-f]{64}' || fail "$sum is no SHA-256: write that of the release's SHA256SUMS"
[ "$(id -u)" = 0 ] || fail "only root can install"
umask 022

# The file names of packages bear the version and the architecture.
machine=$(uname -m)
case $machine in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) fail "there is no package for $machine: only for x86_64 and aarch64" ;;
esac
if command -v dpkg >/dev/null; then
	ending=_$arch.deb
else
	ending=.$machine.rpm
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fetch() { # name
	from=$url/$(echo "$1" | sed 's/+/%2B/g')
	if command -v curl >/dev/null; then
		curl --fail --silent --show-error --location --retry 5 --max-time 300 --output "$folder/$1" "$from"
	else
		wget --quiet --tries=5 --timeout=60 --output-document="$folder/$1" "$from"
	fi || fail "$from can't be had: is the release there, and a way to it?"
}
matches() { # name sum
	echo "$2  $folder/$1" | sha256sum --check --status || fail "$url/$1 is not what was expected, its SHA-256 is not $2: nothing is installed"
}

fetch SHA256SUMS
matches SHA256SUMS "$sum"
package=$(sed -n "s/^[0-9a-f]\{64\}  \(enawatch[-_][^/]*$ending\)\$/\1/p" "$folder/SHA256SUMS")
[ "$(echo "$package" | wc -w)" = 1 ] || fail "SHA256SUMS has not one package that ends in $ending"
version=${package#enawatch?}
version=${version%"$ending"}

installed() {
	case $ending in
	*.deb) [ "$(dpkg-query --show --showformat='${Status} ${Version}' enawatch 2>/dev/null)" = "install ok installed $version" ] ;;
	*.rpm) [ "$(rpm --query --queryformat '%{VERSION}-%{RELEASE}' enawatch 2>/dev/null)" = "$version" ] ;;
	esac
}
if installed; then
	echo "enawatch $version is installed"
else
	fetch "$package"
	matches "$package" "$(sed -n "s/^\([0-9a-f]*\)  $package\$/\1/p" "$folder/SHA256SUMS")"
	# A configuration that is there stays.
	case $ending in
	*.deb)
		chmod 755 "$folder" # apt reads as a user of its own
		DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends --allow-downgrades \
			-o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confold "$folder/$package"
		;;
	*.rpm)
		if command -v dnf >/dev/null; then dnf=dnf; else dnf=yum; fi
		if rpm --query enawatch >/dev/null; then
			# Of an older version, upgrade leaves things alone, and calls it a success.
			"$dnf" upgrade --assumeyes "$folder/$package" || true
			installed || "$dnf" downgrade --assumeyes "$folder/$package" || true
		else
			"$dnf" install --assumeyes "$folder/$package" || true
		fi
		;;
	esac
	installed || fail "$package was not installed: see above"
fi
if [ -d /run/systemd/system ]; then
	systemctl enable --now enawatch
fi

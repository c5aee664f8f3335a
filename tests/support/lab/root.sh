#!/bin/sh
# Makes the root of a Debian suite with its strongSwan, for the lab: root.sh DIRECTORY/SUITE; or with its other IKE
# daemons, for the kernel tests: DIRECTORY/SUITE-ike (Debian has them exclude each other). It comes into being under
# another name and is renamed at the end, so one that is there is whole. Mounts live in a namespace that ends with this.
set -eu

[ "${1-}" = --inside ] || exec unshare --mount --propagation private sh "$0" --inside "$@"
place=$2
suite=$(basename "$place")
packages=charon-systemd,strongswan-swanctl,libstrongswan-standard-plugins,libstrongswan-extra-plugins,libcharon-extra-plugins
program=charon-systemd
case $suite in
# bind9-host stands for the virtual package that libreswan asks for, which debootstrap does not find.
*-ike) suite=${suite%-ike} packages=libreswan,openiked,bind9-host program=ipsec ;;
esac

# Where this machine gets its Debian from, as apt is told, is where the suite comes from.
mirror() {
	# shellcheck disable=SC2016 # apt expands it
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1
}
mirror=$(mirror)
[ -n "$mirror" ] || { apt-get update -qq && mirror=$(mirror); }
[ -n "$mirror" ] || { echo "apt knows no source of Debian" >&2; exit 1; }
eval "$(apt-config shell http_proxy Acquire::http::Proxy https_proxy Acquire::https::Proxy)"
export http_proxy="${http_proxy-}" https_proxy="${https_proxy-}"

mkdir -p "$(dirname "$place")"
# What a killed run has left half made.
find "$(dirname "$place")" -maxdepth 1 -name ".$suite.*" -mmin +60 -exec rm -rf {} +
made=$(mktemp -d "$(dirname "$place")/.$suite.XXXXXX")
trap 'rm -rf "$made" "$made.log"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$made"
if ! debootstrap --variant=minbase --include="$packages" "$suite" "$made" "$mirror" >"$made.log" 2>&1; then
	tail -n 20 "$made.log" >&2
	exit 1
fi
rm -rf "$made"/var/cache/apt/archives/*.deb "$made"/var/lib/apt/lists/*
# Somebody else may have been faster; theirs is as good.
mv -T "$made" "$place" 2>/dev/null || [ -x "$place/usr/sbin/$program" ]
echo "made $place from $mirror"

#!/bin/sh
# Installs the packages in the root of another Debian suite, runs the programs, and purges the packages. The root stays as
# it is: all is written to a layer in memory, which goes with the mount namespace.
#   other_suite.sh ROOT cygnet.deb cygnet-fleet.deb
set -eu
if [ -z "${LAYERED:-}" ]; then
	LAYERED=1 exec unshare --mount --propagation private "$0" "$@"
fi
root=$1
layer=$(mktemp -d)
mount -t tmpfs tmpfs "$layer"
mkdir "$layer/upper" "$layer/work" "$layer/all"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$layer/upper,workdir=$layer/work" "$layer/all"
mount -t proc proc "$layer/all/proc"
cp "$2" "$layer/all/cygnet.deb"
cp "$3" "$layer/all/cygnet-fleet.deb"
in_it() { chroot "$layer/all" env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"; }
in_it dpkg -i /cygnet.deb /cygnet-fleet.deb >"$layer/log" 2>&1 || { cat "$layer/log"; exit 1; }
for name in cygnet cygnet-fleet; do
	in_it dpkg-query -W -f '${db:Status-Abbrev}${Version}\n' $name | grep -q '^ii '
	in_it $name --version
done
in_it getent passwd cygnet >/dev/null
in_it test -f /etc/cygnet/cygnet.toml
in_it cygnet render --vip 192.0.2.1 --local-cidr 10.1.0.0/24 --peer-cidr 10.2.0.0/24 - >"$layer/conf" <<'BODY'
{"params": {"name": "x", "vipUuid": "00000000000040008000000000000001", "peerAddress": "192.0.2.2", "authKey": "test-only"}}
BODY
grep -q 'remote_addrs = 192.0.2.2' "$layer/conf"
in_it cygnet-fleet keygen | grep -q .
in_it dpkg -P cygnet-fleet cygnet >"$layer/log" 2>&1 || { cat "$layer/log"; exit 1; }
in_it test ! -e /usr/bin/cygnet -a ! -e /usr/bin/cygnet-fleet
in_it test ! -e /etc/cygnet
umount -R "$layer/all"
umount "$layer"
rmdir "$layer"
echo "installed, run and purged in $root"

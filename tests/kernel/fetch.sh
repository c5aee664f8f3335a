#!/bin/sh
# Makes the directory that the kernel tests boot from: fetch.sh DIRECTORY. It holds Debian's User-Mode Linux with its
# modules, and what the machine may lack inside: modprobe, and an iptables that needs no nftables. Packages are only
# unpacked, nothing is installed. It comes into being under another name, so a directory that is there is whole.
set -eu

place=$1
packages="user-mode-linux kmod iptables libip4tc2 libip6tc2 libxtables12"

mkdir -p "$(dirname "$place")"
# What a killed run has left half made.
find "$(dirname "$place")" -maxdepth 1 -name ".$(basename "$place").*" -mmin +60 -exec rm -rf {} +
made=$(mktemp -d "$(dirname "$place")/.$(basename "$place").XXXXXX")
trap 'rm -rf "$made"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$made"

# shellcheck disable=SC2086 # a list
fetch() (cd "$made" && apt-get -o APT::Sandbox::User=root download -qq $packages)
fetch || { apt-get update -qq && fetch; }
for deb in "$made"/*.deb; do
	dpkg -x "$deb" "$made"
done
rm "$made"/*.deb

# modprobe looks for lib/modules below its directory, and does what its name says.
ln -s ../usr/lib/uml/modules "$made/lib/modules"
ln -s kmod "$made/bin/modprobe"
cat >"$made/iptables" <<'END'
#!/bin/sh
here=$(dirname "$0")
libraries=$here/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$libraries" XTABLES_LIBDIR="$libraries/xtables"
exec "$here/usr/sbin/xtables-legacy-multi" iptables "$@"
END
chmod 755 "$made/iptables"
rm -rf "$made/usr/share"

# Somebody else may have been faster; theirs is as good.
mv -T "$made" "$place" 2>/dev/null || [ -x "$place/usr/bin/linux.uml" ]
echo "made $place"

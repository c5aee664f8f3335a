#!/bin/sh
# Makes the directory that the kernel tests boot from: fetch.sh DIRECTORY. It holds Debian's User-Mode Linux with its
# modules, and what the machine may lack inside: modprobe, and an iptables that needs no nftables. Below it, in foreign,
# lie the IKE daemons that are peers there, libreswan and openiked, with the libraries that the machine may lack; they lie
# over its root while they run. Packages are only unpacked, nothing is installed. Each directory comes into being under
# another name, so one that is there is whole.
set -eu

place=$1
kernel="user-mode-linux kmod iptables libip4tc2 libip6tc2 libxtables12"
foreign="libreswan libnss3 libnss3-tools libnspr4 libldns3 libunbound8 libcurl3-nss libevent-core-2.1-7
	libevent-pthreads-2.1-7 libcap-ng0 bind9-host dns-root-data openiked"

mkdir -p "$(dirname "$place")"
# What a killed run has left half made.
find "$(dirname "$place")" -maxdepth 1 -name ".$(basename "$place").*" -mmin +60 -exec rm -rf {} +
trap 'rm -rf "${made:-}"' EXIT
trap 'exit 1' HUP INT TERM

# Unpacks packages into a directory $made.
unpack() {
	made=$(mktemp -d "$(dirname "$place")/.$(basename "$place").XXXXXX")
	chmod 755 "$made"
	fetch "$@" || { apt-get update -qq && fetch "$@"; }
	for deb in "$made"/*.deb; do
		dpkg -x "$deb" "$made"
	done
	rm "$made"/*.deb
}

fetch() (cd "$made" && apt-get -o APT::Sandbox::User=root download -qq "$@")

# Puts $made where it belongs. Somebody else may have been faster; theirs is as good.
put() {
	mv -T "$made" "$1" 2>/dev/null || { [ -x "$1/$2" ] && rm -rf "$made"; }
	echo "made $1"
}

if [ ! -d "$place" ]; then
	# shellcheck disable=SC2086 # a list
	unpack $kernel
	# modprobe looks for lib/modules below its directory, and does what its name says.
	ln -s ../usr/lib/uml/modules "$made/lib/modules"
	ln -s kmod "$made/bin/modprobe"
	cat >"$made/iptables" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$0")
libraries=$here/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$libraries" XTABLES_LIBDIR="$libraries/xtables"
exec "$here/usr/sbin/xtables-legacy-multi" iptables "$@"
SCRIPT
	chmod 755 "$made/iptables"
	rm -rf "$made/usr/share"
	put "$place" usr/bin/linux.uml
fi

if [ ! -d "$place/foreign" ]; then
	# shellcheck disable=SC2086 # a list
	unpack $foreign
	# A directory lib would hide the root's link of that name.
	if [ -d "$made/lib" ]; then
		cp -a "$made/lib/." "$made/usr/lib/"
		rm -rf "$made/lib"
	fi
	rm -rf "$made/usr/share/doc" "$made/usr/share/man"
	put "$place/foreign" usr/libexec/ipsec/pluto
fi

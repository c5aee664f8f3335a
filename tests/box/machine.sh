#!/bin/bash
# A machine with systemd as PID 1, without any container program: an overlay on this machine's own root (so it has the
# same packages), and namespaces of its own. Its disk is the overlay's upper directory, which lives until `rm`.
#
#   machine.sh check           whether this machine can run one; says why not
#   machine.sh up DIR          boots the machine whose disk is in DIR, and waits until systemd is done with it
#   machine.sh exec DIR CMD..  runs a command in it
#   machine.sh down DIR        shuts it down
#   machine.sh crash DIR       kills it, as a power cut would (the disk's cache survives)
#   machine.sh rm DIR          removes it, running or not
#
# The network namespace is named after DIR and outlives the machine, like cables and an address plan would.
set -euo pipefail

cgroups=/sys/fs/cgroup/unified
[ -d $cgroups ] || cgroups=/sys/fs/cgroup

check() {
	[ "$(id -u)" = 0 ] || { echo "needs root"; return 1; }
	[ -e $cgroups/cgroup.procs ] || { echo "needs cgroup2 at $cgroups"; return 1; }
	grep -qw overlay /proc/filesystems || { echo "needs overlayfs"; return 1; }
	[ -x /lib/systemd/systemd ] || { echo "needs systemd as a package"; return 1; }
	[ -c /dev/net/tun ] || { echo "needs /dev/net/tun (kernel-libipsec)"; return 1; }
}

pid() { cat "$dir/pid" 2>/dev/null; }

alive() {
	local p
	p=$(pid) && [ "$(cat "/proc/$p/comm" 2>/dev/null)" = systemd ]
}

# Units that want hardware, a console or the world.
UNITS="systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket
systemd-networkd.service systemd-networkd-wait-online.service systemd-timesyncd.service systemd-resolved.service
getty@tty1.service console-getty.service getty.target e2scrub_reap.service systemd-logind.service packagekit.service
polkit.service remote-fs.target systemd-firstboot.service systemd-machine-id-commit.service dev-hugepages.mount
sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount sys-fs-fuse-connections.mount
systemd-modules-load.service proc-sys-fs-binfmt_misc.automount systemd-pstore.service systemd-sysctl.service
systemd-remount-fs.service systemd-update-utmp.service systemd-network-generator.service apt-daily.timer
apt-daily-upgrade.timer man-db.timer fstrim.timer e2scrub_all.timer dpkg-db-backup.timer logrotate.timer"

# A first disk: this machine's packages, but none of its services and none of its connections.
make_disk() {
	local upper=$dir/upper etc=$dir/upper/etc unit
	mkdir -p "$upper" "$dir/work" "$dir/root" "$etc/systemd/system/multi-user.target.wants" \
		"$etc/systemd/journald.conf.d" "$upper/var/log/journal"
	for unit in $UNITS; do ln -sfn /dev/null "$etc/systemd/system/$unit"; done
	for unit in /etc/systemd/system/multi-user.target.wants/*; do
		[ ! -L "$unit" ] || mknod "$upper$unit" c 0 0
	done
	printf '[Journal]\nStorage=persistent\nRateLimitBurst=0\n' >"$etc/systemd/journald.conf.d/box.conf"
	tr -d - </proc/sys/kernel/random/uuid >"$etc/machine-id"
	echo box >"$etc/hostname"
	: >"$etc/fstab"
	for unit in /etc/swanctl/conf.d/* /etc/strongswan.d/charon/kernel-libipsec.conf /usr/sbin/policy-rc.d; do
		[ ! -e "$unit" ] || { mkdir -p "$(dirname "$upper$unit")" && mknod "$upper$unit" c 0 0; }
	done
	touch "$dir/made"
}

# Runs in the new namespaces: builds the root, turns to it and becomes systemd.
inside() {
	local root=$dir/root node name major minor
	mount --make-rprivate /
	mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$root"
	cd "$root"
	mount -t proc proc proc
	mount -t sysfs -o ro sysfs sys
	mount -t tmpfs -o mode=755 tmpfs dev
	for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
		IFS=: read -r name major minor <<<"$node"
		mknod -m 666 "dev/$name" c "$major" "$minor"
	done
	mkdir dev/net dev/pts dev/shm
	mknod -m 666 dev/net/tun c 10 200
	mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
	mount -t tmpfs tmpfs dev/shm
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	touch dev/console
	mount -t tmpfs -o mode=755 tmpfs run
	mount -t tmpfs -o mode=1777 tmpfs tmp
	# The kernel is this machine's: of its settings only those of the own network may be changed.
	mount --bind proc/sys proc/sys
	mount -o remount,bind,ro proc/sys
	mount --bind proc/sys/net proc/sys/net
	mount -o remount,bind,rw proc/sys/net
	for name in sysrq-trigger kmsg; do
		[ ! -e proc/$name ] || mount --bind dev/null proc/$name
	done
	mount -t cgroup2 -o nsdelegate cgroup2 sys/fs/cgroup || mount -t cgroup2 cgroup2 sys/fs/cgroup
	# Else the journal would take all boots for one.
	cat /proc/sys/kernel/random/uuid >run/boot_id
	mount --bind run/boot_id proc/sys/kernel/random/boot_id
	hostname box
	mkdir run/old
	pivot_root . run/old
	cd /
	umount -l /run/old
	# In a container systemd does not do this itself, and LoadCredential= would then hand over empty directories.
	mount --make-rshared /
	exec env -i container=box PATH="$PATH" /lib/systemd/systemd --system --show-status=0 systemd.unit=multi-user.target
}

up() {
	alive && { echo "$dir runs already"; return 1; }
	[ -e "$dir/made" ] || make_disk
	[ -e "/run/netns/$name" ] || { ip netns add "$name"; ip -n "$name" link set lo up; }
	mkdir -p "$group"
	rm -f "$dir/pid"
	# shellcheck disable=SC2016 # expanded by the inner shell
	setsid bash -c 'echo $$ >"$1/cgroup.procs"; exec nsenter --net="/run/netns/$2" unshare --cgroup --pid --mount --uts --ipc \
		--fork --kill-child "$3" inside "$4"' box "$group" "$name" "$self" "$dir" >"$dir/console" 2>&1 </dev/null &
	outer=$!
	await find_init "it did not boot: see $dir/console"
	await is_running "systemd did not finish: $(in_box systemctl list-jobs 2>&1 | head -5)"
}

# The init is the only child of unshare, which is what the shell became.
find_init() {
	local p
	p=$(pgrep -P "$outer" | head -1)
	[ "$(cat "/proc/$p/comm" 2>/dev/null)" = systemd ] && echo "$p" >"$dir/pid"
}

is_running() {
	case $(in_box systemctl is-system-running 2>/dev/null) in running | degraded) ;; *) return 1 ;; esac
}

await() {
	local _
	for _ in $(seq 600); do
		! "$1" || return 0
		sleep 0.05
	done
	echo "$2" >&2
	return 1
}

in_box() {
	nsenter -t "$(pid)" -p -m -n -u -i -C env -i PATH="$PATH" HOME=/root TERM=dumb SYSTEMD_PAGER=cat LC_ALL=C \
		DEBIAN_FRONTEND=noninteractive "$@"
}

is_gone() { ! alive; }
without_group() { [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; }

down() {
	in_box systemctl poweroff --no-block 2>/dev/null || true
	await is_gone "it did not shut down"
	await without_group "its processes did not end"
}

crash() {
	! alive || kill -9 "$(pid)"
	await is_gone "it did not die"
	await without_group "its processes did not end"
}

remove() {
	crash
	ip netns del "$name" 2>/dev/null || true
	rm -rf "$dir"
}

self=$(realpath "$0")
command=$1
if [ "$command" = check ]; then
	check
	exit
fi
dir=$(realpath -m "$2")
name=cygnet-box-$(basename "$dir")
group=$cgroups/$name
case $command in
inside) inside ;;
up) up ;;
exec)
	shift 2
	in_box "$@"
	;;
down) down ;;
crash) crash ;;
rm) remove ;;
*) echo "unknown: $command" >&2; exit 2 ;;
esac

#!/bin/sh
# PID 1 of a User-Mode Linux whose root is the machine's own, read-only: what is written lies in memory, in the directory
# shared with the test (/run/share), or on the disk, if there is one (/run/disk). It does the work that the test has left
# there and turns the power off. CYGNET_UML and CYGNET_SHARE come from the kernel's command line.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LC_ALL=C TMPDIR=/run/tmp CYGNET_INSIDE=yes

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o mode=755 run /run
mkdir /run/share /run/tmp /run/disk /run/netns
mount -t hostfs -o "$CYGNET_SHARE" share /run/share

prepare() {
	# All that the tests use, at once. Loading on demand would hold up charon, and its SAs, for seconds.
	echo >/proc/sys/kernel/modprobe
	"$CYGNET_UML/bin/modprobe" -d "$CYGNET_UML" -a ipv6 veth bridge tun af_key xfrm_user esp4 esp6 ah4 ah6 xfrm4_tunnel ip_gre \
		iptable_nat xt_MASQUERADE aes_generic des_generic cbc ctr gcm ghash-generic hmac sha1_generic sha256_generic \
		sha512_generic md5 authenc echainiv seqiv drbg jitterentropy_rng overlay
	ip link set lo up
	# Nothing is written to the disk but what is asked for.
	echo 0 >/proc/sys/vm/dirty_writeback_centisecs
	[ ! -b /dev/ubda ] || mount -t ext4 -o commit=600 /dev/ubda /run/disk
}

(set -e; prepare; exec sh /run/share/work) >/run/share/output 2>&1
echo $? >/run/share/status
sync
echo o >/proc/sysrq-trigger
# The power goes off a little later; PID 1 may not end before.
while :; do sleep 1; done

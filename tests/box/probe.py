"""Tries, from inside the sandbox of the unit, what the sandbox forbids and what it must allow. One line per try:
its name, and "done" or the error. The test knows what to expect."""

import ctypes, glob, mmap, os, resource, socket, time

libc = ctypes.CDLL(None, use_errno=True)


def call(*arguments):
    if libc.syscall(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path):
    with open(path, "w") as file:
        file.write("1")


def touch(path, mode=0o600):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, mode))


def read(path):
    with open(path, "rb") as file:
        file.read(64)


def vici(path="/run/charon.vici"):
    socket.socket(socket.AF_UNIX).connect(path)


def core_limit():
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        raise OSError("core dumps are allowed")


def capabilities():
    with open("/proc/self/status") as file:
        sets = [line.split()[1] for line in file if line.startswith("Cap")]
    if any(int(value, 16) for value in sets):
        raise OSError(str(sets))


def others():
    if any(os.stat(path).st_uid != os.getuid() for path in glob.glob("/proc/[0-9]*")):
        raise OSError("processes of others are seen")


def devices():
    if any(os.path.exists(path) for path in ["/dev/net/tun", "/dev/sda", "/dev/vda", "/dev/kmsg", "/dev/mem"]):
        raise OSError("devices are seen")


def private_tmp():
    if os.path.exists("/tmp/of-the-machine"):
        raise OSError("the machine's /tmp is seen")


NUMBERS = dict(mount=165, unshare=272, bpf=321, keyctl=250, personality=135, ptrace=101, init_module=175, swapon=167,
               perf=298, reboot=169, setns=308, clone_newuser=0x10000000, open_by_handle=304)

TRIES = {
    # What it must be able to do.
    "may write its state": lambda: touch("/var/lib/cygnet/swanctl/probe"),
    "may write its runtime directory": lambda: touch("/run/cygnet/probe"),
    "may write its own /tmp": lambda: touch("/tmp/probe"),
    "may reach charon": vici,
    "may read the network's settings": lambda: read("/proc/sys/net/ipv4/ip_forward"),
    "may read the UDP sockets": lambda: read("/proc/net/udp"),
    "may read its settings": lambda: read("/etc/cygnet/cygnet.toml"),
    "may read its credentials": lambda: read(os.environ["CREDENTIALS_DIRECTORY"] + "/cygnet_tokens"),
    "may ask netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0)),
    "has no core dumps": core_limit,
    "has no capability": capabilities,
    "sees no process of others": others,
    "sees no device": devices,
    "has a /tmp of its own": private_tmp,
    # What it must not.
    "not write /etc": lambda: touch("/etc/probe"),
    "not write swanctl's files": lambda: touch("/etc/swanctl/conf.d/probe"),
    "not write its settings": lambda: write("/etc/cygnet/cygnet.toml"),
    "not write /usr": lambda: touch("/usr/probe"),
    "not write /var": lambda: touch("/var/tmp/../lib/probe"),
    "not read the source of its credentials": lambda: read("/etc/cygnet/credentials/tokens"),
    "not read /etc/shadow": lambda: read("/etc/shadow"),
    "not list /root": lambda: os.listdir("/root/."),
    "not change the kernel's settings": lambda: write("/proc/sys/net/ipv4/ip_forward"),
    "not change control groups": lambda: os.mkdir("/sys/fs/cgroup/probe"),
    "not become root": lambda: os.setuid(0),
    "not make a setuid program": lambda: (touch("/run/cygnet/suid"), os.chmod("/run/cygnet/suid", 0o4755)),
    "not map memory to write and run": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "not open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3),
    "not open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    "not open another family": lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM),
    "not set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "not set the host's name": lambda: socket.sethostname("probe"),
    "not take real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "not make a device": lambda: os.mknod("/run/cygnet/device", 0o20666, os.makedev(1, 3)),
    "not make a namespace": lambda: call(NUMBERS["unshare"], NUMBERS["clone_newuser"]),
    "not mount": lambda: call(NUMBERS["mount"], b"none", b"/tmp", b"tmpfs", 0, None),
    "not load a module": lambda: call(NUMBERS["init_module"], None, 0, None),
    "not use bpf": lambda: call(NUMBERS["bpf"], 0, None, 0),
    "not trace a process": lambda: call(NUMBERS["ptrace"], 16, os.getppid(), 0, 0),
    "not change its personality": lambda: call(NUMBERS["personality"], 0x0040000),
    "not swap": lambda: call(NUMBERS["swapon"], b"/dev/null", 0),
    "not read the kernel's log": lambda: read("/proc/kmsg"),
    "not use perf": lambda: call(NUMBERS["perf"], None, 0, -1, -1, 0),
}

for name, attempt in TRIES.items():
    try:
        attempt()
        print(f"{name}: done")
    except (OSError, KeyError) as error:
        print(f"{name}: {error}")

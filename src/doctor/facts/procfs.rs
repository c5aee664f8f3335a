//! What `/proc` says: sockets and who holds them, the kernel's settings, processes. `/proc/net` and `/proc/sys/net` are
//! those of our own network namespace; of processes only those in it count.

use super::probe::{Probe, Unchecked};
use crate::disk::open::{self, Kind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

/// The ports of IKE and of ESP in UDP (RFC 7296, section 2.23).
pub const PORTS: [u16; 2] = [500, 4500];
/// Names of programs that bring IPsec or load connections.
const KNOWN: [&str; 6] = ["charon", "charon-systemd", "charon-nm", "pluto", "racoon", "iked"];

/// Whether this is the name of strongSwan's daemon; the one of `NetworkManager` has another.
#[must_use]
pub fn is_charon(name: &str) -> bool {
    name == "charon" || name == "charon-systemd"
}

/// A bound UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpSocket {
    /// The address, all zeros for any.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// Who holds it; `None` if that is not to be seen.
    pub holder: Option<Process>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, cut by the kernel at 15 characters.
    pub name: String,
}

/// Settings of the kernel's network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kernel {
    /// `net.ipv4.ip_forward`.
    pub forward_v4: bool,
    /// `net.ipv6.conf.all.forwarding`; `None` without IPv6.
    pub forward_v6: Option<bool>,
    /// `net.ipv4.ip_nonlocal_bind`.
    pub nonlocal_v4: bool,
    /// `net.ipv6.ip_nonlocal_bind`.
    pub nonlocal_v6: bool,
    /// `rp_filter` by interface, `all` among them.
    pub rp_filter: BTreeMap<String, u8>,
}

/// The sockets on [`PORTS`], IPv4 and IPv6.
///
/// # Errors
/// When the list of IPv4 cannot be read.
pub fn udp(root: &Path) -> Probe<Vec<UdpSocket>> {
    let mut found = sockets(&read_text(&root.join("proc/net/udp"))?);
    // Without IPv6 there is no such file.
    found.extend(sockets(&read_text(&root.join("proc/net/udp6")).unwrap_or_default()));
    let holders = holders(root, &found.iter().map(|(.., inode)| inode.clone()).collect());
    let socket = |(address, port, inode)| UdpSocket { address, port, holder: holders.get(&inode).cloned() };
    Ok(found.into_iter().map(socket).collect())
}

/// Address, port and inode of the sockets in the text of `/proc/net/udp` or `udp6`.
fn sockets(text: &str) -> Vec<(IpAddr, u16, String)> {
    let line = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok().filter(|port| PORTS.contains(port))?;
        Some((hex_address(address)?, port, (*fields.get(9)?).to_owned()))
    };
    text.lines().skip(1).filter_map(line).collect()
}

/// An address as the kernel prints it: words in the order of the machine.
fn hex_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words: Option<Vec<_>> = [0, 8, 16, 24].into_iter().map(word).collect();
    let bytes: [u8; 16] = words?.concat().try_into().ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

/// The processes that hold these sockets, as far as we may see.
fn holders(root: &Path, inodes: &BTreeSet<String>) -> BTreeMap<String, Process> {
    let mut found = BTreeMap::new();
    for (pid, directory) in pids(root) {
        if found.len() == inodes.len() {
            break;
        }
        let Ok(descriptors) = fs::read_dir(directory.join("fd")) else { continue };
        for target in descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()) {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            if let Some(inode) = inode.filter(|inode| inodes.contains(*inode)) {
                found.entry(inode.to_owned()).or_insert_with(|| Process { pid, name: name(&directory) });
            }
        }
    }
    found
}

/// All processes with their directories.
fn pids(root: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(root.join("proc")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn name(directory: &Path) -> String {
    read_text(&directory.join("comm")).unwrap_or_default().trim_end().to_owned()
}

/// The programs of IPsec in our network namespace.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes(root: &Path) -> Probe<Vec<Process>> {
    fs::metadata(root.join("proc")).map_err(|e| Unchecked::io("/proc", &e))?;
    // A `/proc` that hides the processes of others (hidepid, ProtectProc=) hides the first one too.
    if root.join("proc/self").exists() && !root.join("proc/1").exists() {
        return Err(Unchecked::denied("/proc hides the processes of other users".into()));
    }
    let namespace = |directory: &Path| fs::read_link(directory.join("ns/net"));
    let own = namespace(&root.join("proc/self")).ok();
    let (mut known, mut hidden) = (Vec::new(), None);
    for (pid, directory) in pids(root) {
        let name = name(&directory);
        if !KNOWN.contains(&name.as_str()) {
            continue;
        }
        match namespace(&directory) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                hidden = Some(Unchecked::io(&format!("{name} (pid {pid})"), &e));
            }
            // A zombie has neither a namespace nor a say.
            theirs if own.is_some() && theirs.as_ref().ok() != own.as_ref() => continue,
            _ => {}
        }
        known.push(Process { pid, name });
    }
    // One charon alone is right, wherever it is.
    match hidden {
        Some(why) if known.len() > 1 || known.iter().any(|process| !is_charon(&process.name)) => Err(why),
        _ => Ok(known),
    }
}

/// The kernel's settings.
///
/// # Errors
/// When forwarding cannot be read.
pub fn kernel(root: &Path) -> Probe<Kernel> {
    let sys = root.join("proc/sys/net");
    let forward_v4 = read_text(&sys.join("ipv4/ip_forward"))?.trim() == "1";
    let forward_v6 = read_text(&sys.join("ipv6/conf/all/forwarding")).ok().map(|text| text.trim() == "1");
    let is_on = |key: &str| read_text(&sys.join(key)).is_ok_and(|text| text.trim() == "1");
    let (nonlocal_v4, nonlocal_v6) = (is_on("ipv4/ip_nonlocal_bind"), is_on("ipv6/ip_nonlocal_bind"));
    let entries = fs::read_dir(sys.join("ipv4/conf")).into_iter().flatten().flatten();
    let filter = |entry: fs::DirEntry| {
        let value = read_text(&entry.path().join("rp_filter")).ok()?.trim().parse().ok()?;
        Some((entry.file_name().into_string().ok()?, value))
    };
    let rp_filter = entries.filter_map(filter).collect();
    Ok(Kernel { forward_v4, forward_v6, nonlocal_v4, nonlocal_v6, rp_filter })
}

fn read_text(path: &Path) -> Probe<String> {
    open::read_to_string(path, Kind::Kernel).map_err(|e| Unchecked::io(&path.display().to_string(), &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_read_as_the_kernel_prints_them() {
        let udp = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                   \x20 297: 010200C0:01F4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4242 2 0000000000000000 0\n\
                   \x20 298: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4243 2 0000000000000000 0\n";
        let address: IpAddr = if cfg!(target_endian = "little") { [192, 0, 2, 1] } else { [1, 2, 0, 192] }.into();
        assert_eq!(sockets(udp), [(address, 500, "4242".to_owned())]);
        let any = "sl\n 1: 00000000000000000000000000000000:1194 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 77 2 0 0\n";
        assert_eq!(sockets(any), [(Ipv6Addr::UNSPECIFIED.into(), 4500, "77".to_owned())]);
        assert_eq!(hex_address("0000"), None);
        assert_eq!(sockets("sl\n garbage\n 1: é0000000:01F4\n"), []);
    }
}

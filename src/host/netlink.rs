//! This host's addresses as the kernel has them, and news of their changes, over route sockets (netlink(7), rtnetlink(7)).
//! No capability is needed.

use nix::{
    errno::Errno,
    libc,
    sys::{
        socket::{
            AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::TimeVal,
    },
};
use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    time::Duration,
};

/// More than the kernel puts into one datagram (32 KiB).
const DATAGRAM: usize = 64 << 10;
/// The length of `struct nlmsghdr`, and of `struct ifaddrmsg` behind it.
const HEADER: usize = 16;
const MESSAGE: usize = 8;
/// The length of a request, which has both.
const REQUEST: u32 = 24;
/// `RTM_GETADDR` and `RTM_NEWADDR`; `NLM_F_REQUEST` with `NLM_F_DUMP`, and `NLM_F_DUMP_INTR`.
const GET: u16 = libc::RTM_GETADDR;
const NEW: u16 = libc::RTM_NEWADDR;
const DUMP: u16 = 0x301;
const INTERRUPTED: u16 = 0x10;
/// The types of the messages that end a list.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Attributes: the address, which is the peer's on a link between two; the own one of such a link; the flags in 32 bits.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
const FLAGS: u16 = 8;
/// Flags of an address that cannot be used: its detection of duplicates goes on, unless it is optimistic, or has failed.
const DAD_FAILED: u32 = 0x08;
const OPTIMISTIC: u32 = 0x04;
const TENTATIVE: u32 = 0x40;
/// How often the list is asked for again that changed while it was read. News of the change come anyway.
const TRIES: usize = 3;
/// The most pieces of news that are taken together.
const TOGETHER: usize = 4096;
/// How long the kernel may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket on which the kernel tells of each address that comes, goes or becomes usable.
pub struct AddressNews(OwnedFd);

impl AddressNews {
    /// Subscribes.
    ///
    /// # Errors
    /// When the system has no such socket for this process.
    pub fn subscribe(patience: Duration) -> io::Result<Self> {
        let groups = libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;
        Ok(Self(route_socket(groups.cast_unsigned(), patience)?))
    }

    /// Waits for news, for as long as its patience at most. What has changed, [`addresses`] shows: several may have come,
    /// or too many for the socket.
    ///
    /// # Errors
    /// When the socket cannot be read.
    pub fn wait(&self) -> io::Result<()> {
        let (mut datagram, mut flags) = (vec![0; DATAGRAM], MsgFlags::empty());
        for _ in 0..TOGETHER {
            match recv(self.0.as_raw_fd(), &mut datagram, flags) {
                // ENOBUFS: some were lost.
                Ok(_) | Err(Errno::ENOBUFS) => flags = MsgFlags::MSG_DONTWAIT,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The usable addresses of all interfaces. An IPv6 address is none before the detection of duplicates has passed.
///
/// # Errors
/// When the system cannot list them.
pub fn addresses() -> io::Result<BTreeSet<IpAddr>> {
    let socket = route_socket(0, PATIENCE)?;
    let mut list = List::default();
    for _ in 0..TRIES {
        list = dump(&socket)?;
        if !list.is_interrupted {
            break;
        }
    }
    Ok(list.addresses)
}

fn route_socket(groups: u32, patience: Duration) -> io::Result<OwnedFd> {
    let (family, protocol) = (AddressFamily::Netlink, SockProtocol::NetlinkRoute);
    let route = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX);
    setsockopt(&route, ReceiveTimeout, &TimeVal::new(seconds, patience.subsec_micros().into()))?;
    bind(route.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(route)
}

/// Addresses, as far as their list was read.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    addresses: BTreeSet<IpAddr>,
    is_interrupted: bool,
    is_whole: bool,
}

fn dump(route: &OwnedFd) -> io::Result<List> {
    let mut request = [&REQUEST.to_ne_bytes()[..], &GET.to_ne_bytes(), &DUMP.to_ne_bytes()].concat();
    // A number, our port and the message with no family: all zero.
    request.resize(HEADER + MESSAGE, 0);
    send(route.as_raw_fd(), &request, MsgFlags::empty())?;
    let (mut list, mut datagram) = (List::default(), vec![0; DATAGRAM]);
    while !list.is_whole {
        match recv(route.as_raw_fd(), &mut datagram, MsgFlags::empty()) {
            Ok(length) => list.take(datagram.get(..length).unwrap_or_default())?,
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(list)
}

impl List {
    /// Takes in the messages of one datagram.
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((length, kind)) = u32_at(bytes, 0).zip(u16_at(bytes, 4)) {
            let length = length as usize;
            let body = bytes.get(HEADER..length).ok_or_else(|| io::Error::other("a message of netlink is cut off"))?;
            self.is_interrupted |= u16_at(bytes, 6).is_some_and(|flags| flags & INTERRUPTED != 0);
            match kind {
                DONE => self.is_whole = true,
                ERROR => {
                    let code = u32_at(body, 0).unwrap_or_default().cast_signed();
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                NEW => self.addresses.extend(usable(body)),
                _ => {}
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// The address in the body of a message, if it can be used.
fn usable(body: &[u8]) -> Option<IpAddr> {
    let mut flags = u32::from(*body.get(2)?);
    let (mut address, mut local) = (None, None);
    let mut rest = body.get(MESSAGE..)?;
    while let Some((length, kind)) = u16_at(rest, 0).zip(u16_at(rest, 2)) {
        let Some(value) = rest.get(4..length.into()) else { break };
        match kind {
            ADDRESS => address = ip(value),
            LOCAL => local = ip(value),
            FLAGS => flags = u32_at(value, 0)?,
            _ => {}
        }
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    let is_tentative = flags & TENTATIVE != 0 && flags & OPTIMISTIC == 0;
    local.or(address).filter(|_| !is_tentative && flags & DAD_FAILED == 0)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message about an address, as the kernel makes it.
    fn message(kind: u16, flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0, 0, u8::try_from(flags & 0xff).expect("a byte"), 0, 1, 0, 0, 0];
        let flags = flags.to_ne_bytes();
        for (kind, value) in attributes.iter().copied().chain([(FLAGS, &flags[..])]) {
            body.extend(u16::try_from(4 + value.len()).expect("short").to_ne_bytes());
            body.extend(kind.to_ne_bytes());
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(HEADER + body.len()).expect("short");
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], &body].concat()
    }

    #[test]
    fn usable_addresses_are_read() {
        let (own, peer, v6) = ([192, 0, 2, 1], [192, 0, 2, 9], [0x20; 16]);
        let mut list = List::default();
        let all = [
            message(NEW, 0x80, &[(ADDRESS, &peer), (LOCAL, &own), (3, b"wan0\0")]),
            message(NEW, TENTATIVE, &[(ADDRESS, &v6)]),
            message(NEW, TENTATIVE | DAD_FAILED, &[(ADDRESS, &[0x21; 16])]),
            message(NEW, TENTATIVE | OPTIMISTIC, &[(ADDRESS, &[0x22; 16])]),
        ];
        list.take(&all.concat()).expect("read");
        let found: Vec<_> = list.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "2222:2222:2222:2222:2222:2222:2222:2222"]);
        list.take(&message(NEW, 0, &[(ADDRESS, &v6)])).expect("read");
        assert!(list.addresses.contains(&IpAddr::from(v6)) && !list.is_whole, "its detection of duplicates has passed");
        list.take(&message(DONE, 0, &[])).expect("read");
        assert!(list.is_whole);
    }

    #[test]
    fn garbage_is_refused_or_passed_over() {
        for at in 0..80_u8 {
            let whole = message(NEW, 0, &[(ADDRESS, &[192, 0, 2, 1]), (LOCAL, &[192, 0, 2, 1])]);
            let cut = whole.get(..at.into()).unwrap_or_default();
            let outcome = List::default().take(cut);
            assert_eq!(outcome.is_err(), (6..whole.len()).contains(&at.into()) && !cut.is_empty(), "{at}");
            let wrong: Vec<_> = whole.iter().map(|byte| byte.wrapping_mul(at)).collect();
            // It ends, whatever it says.
            let _ = List::default().take(&wrong);
        }
    }

    #[test]
    fn this_host_has_its_loopback_address() {
        assert!(addresses().expect("listed").contains(&IpAddr::from([127, 0, 0, 1])));
        let news = AddressNews::subscribe(Duration::from_millis(1)).expect("subscribed");
        assert!(news.wait().is_ok());
    }
}

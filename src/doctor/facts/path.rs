//! The way that the kernel's routes lead to an address, and what fits through it. The kernel is asked by rtnetlink(7), in
//! our own network namespace; nobody needs a privilege for that, and nothing is sent to anybody.

use crate::ipsec::{ChildSa, IkeSa, PacketSize, packet_size::packet_size};
use nix::{
    errno::Errno,
    libc,
    sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket},
};
use std::{net::IpAddr, os::fd::AsRawFd};

/// The way to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The interface by which packets leave.
    pub device: String,
    /// The largest packet on this way: of the interface, or less where the route says so or a router did (RFC 1191).
    pub mtu: u32,
    /// Whether only the default route leads there.
    pub by_default: bool,
    /// Whether it is an address of this host.
    pub is_local: bool,
}

/// More than the kernel says of an interface.
const ANSWER: usize = 1 << 16;
/// `NLMSG_HDRLEN`, and the fixed parts behind it: `struct rtmsg`, `struct ifinfomsg`.
const HEADER: usize = 16;
const ROUTE: usize = 12;
const LINK: usize = 16;
/// Asks for the route as it stands in the table, with its prefix length (linux/rtnetlink.h).
const FIB_MATCH: u32 = 0x2000;
/// In `RTA_METRICS` (linux/rtnetlink.h).
const METRIC_MTU: u16 = 2;
/// `linux/if_link.h`.
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;

/// The way to `to`, for packets of `from` if it is given.
///
/// # Errors
/// When no route leads there, or the kernel does not tell.
pub fn path(to: IpAddr, from: Option<IpAddr>) -> Result<Path, Errno> {
    let answer = ask(libc::RTM_GETROUTE, &route(to, from, 0))?;
    let attributes = attributes(&answer, HEADER + ROUTE);
    let index = number(attributes.get(libc::RTA_OIF)).ok_or(Errno::ENODEV)?;
    let (device, of_device) = link(index)?;
    let metrics = attributes.get(libc::RTA_METRICS).map(Attributes::read);
    let of_route = metrics.and_then(|metrics| number(metrics.get(METRIC_MTU))).filter(|mtu| *mtu > 0);
    let matched = ask(libc::RTM_GETROUTE, &route(to, from, FIB_MATCH));
    let byte = |answer: &[u8], at: usize| answer.get(HEADER + at).copied();
    Ok(Path {
        device,
        mtu: of_route.map_or(of_device, |mtu| mtu.min(of_device)),
        by_default: matched.is_ok_and(|answer| byte(&answer, 1) == Some(0)),
        is_local: byte(&answer, 7) == Some(libc::RTN_LOCAL),
    })
}

/// What fits through `sa` of `ike`: what the way to the peer leaves of a packet, if the way of the inner packets does not
/// leave less. The configuration says whether the hash `is_cut`. `None` where it is not known.
#[must_use]
pub fn fitting(ike: &IkeSa, sa: &ChildSa, is_cut: bool) -> Option<PacketSize> {
    let (local, peer) = (ike.local_host.parse().ok()?, ike.remote_host.parse().ok()?);
    let size = packet_size(ike, sa, is_cut, path(peer, Some(local)).ok()?.mtu)?;
    // charon's own device and interfaces for tunnels have an MTU of their own.
    let inner = sa.remote.iter().filter_map(|text| host_in(text)).filter_map(|host| path(host, None).ok());
    Some(inner.map(|inner| inner.mtu).min().map_or(size, |most| size.within(most)))
}

/// An address in a selector as charon writes it: `10.0.0.0/8`, `10.0.0.1[tcp/80]`, `10.0.0.1..10.0.0.9`.
fn host_in(selector: &str) -> Option<IpAddr> {
    let text = selector.split(['/', '[']).next()?.split("..").next()?;
    let address: IpAddr = text.parse().ok()?;
    // The address of all networks is none that packets go to.
    Some(address).filter(|address| !address.is_unspecified())
}

/// `struct rtmsg` with its attributes.
fn route(to: IpAddr, from: Option<IpAddr>, flags: u32) -> Vec<u8> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let bits = if to.is_ipv4() { 32 } else { 128 };
    let mut message = vec![u8::try_from(family).unwrap_or_default(), bits, from.map_or(0, |_| bits), 0, 0, 0, 0, 0];
    message.extend(flags.to_ne_bytes());
    let addresses = [(libc::RTA_DST, Some(to)), (libc::RTA_SRC, from)];
    for (kind, address) in addresses.into_iter().filter_map(|(kind, address)| Some((kind, address?))) {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // A multiple of 4 bytes in both families: no padding.
        message.extend(u16::try_from(octets.len() + 4).unwrap_or_default().to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(octets);
    }
    message
}

/// The name and the MTU of an interface.
fn link(index: u32) -> Result<(String, u32), Errno> {
    let mut message = vec![0; LINK];
    message[4..8].copy_from_slice(&index.to_ne_bytes());
    let answer = ask(libc::RTM_GETLINK, &message)?;
    let attributes = attributes(&answer, HEADER + LINK);
    let name = attributes.get(LINK_NAME).unwrap_or_default();
    let name = String::from_utf8_lossy(name).trim_end_matches('\0').to_owned();
    Ok((name, number(attributes.get(LINK_MTU)).ok_or(Errno::ENODATA)?))
}

/// Sends a request of `kind` and takes the answer, which the kernel has ready when the request is sent.
fn ask(kind: u16, message: &[u8]) -> Result<Vec<u8>, Errno> {
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    let length = u32::try_from(HEADER + message.len()).map_err(|_| Errno::EMSGSIZE)?;
    let request = u16::try_from(libc::NLM_F_REQUEST).unwrap_or_default();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &request.to_ne_bytes(), &[0; 8]].concat();
    bytes.extend(message);
    sendto(socket.as_raw_fd(), &bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = vec![0; ANSWER];
    let read = recv(socket.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT)?;
    answer.truncate(read);
    let kind = answer.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes);
    if kind.is_some_and(|kind| i32::from(kind) == libc::NLMSG_ERROR) {
        let code = number(answer.get(HEADER..HEADER + 4)).unwrap_or_default();
        return Err(Errno::from_raw(code.cast_signed().wrapping_neg()));
    }
    Ok(answer)
}

/// The attributes of a message: kind and bytes.
struct Attributes<'a>(Vec<(u16, &'a [u8])>);

fn attributes(answer: &[u8], at: usize) -> Attributes<'_> {
    Attributes::read(answer.get(at..).unwrap_or_default())
}

impl<'a> Attributes<'a> {
    /// Those in `bytes`; what is cut ends the list.
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut found = Vec::new();
        while let [l0, l1, k0, k1, ..] = *bytes {
            let length = usize::from(u16::from_ne_bytes([l0, l1]));
            let Some(value) = bytes.get(4..length) else { break };
            found.push((u16::from_ne_bytes([k0, k1]), value));
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Self(found)
    }

    fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.0.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value)
    }
}

fn number(bytes: Option<&[u8]>) -> Option<u32> {
    bytes.and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each host has this way, and in some places no other.
    #[test]
    fn the_way_to_this_host_is_its_loopback_interface() {
        let address = |text: &str| text.parse().expect("an address");
        let local = path(address("127.0.0.1"), Some(address("127.0.0.1"))).expect("a way");
        assert_eq!((local.device.as_str(), local.is_local, local.by_default), ("lo", true, false));
        assert!(local.mtu >= 1500, "{local:?}");
        // For documentation: no host has it.
        assert!(path(address("127.0.0.1"), Some(address("192.0.2.213"))).is_err());
    }

    #[test]
    fn attributes_that_are_cut_are_left_out() {
        let bytes =
            |length: u16, kind: u16, rest: &[u8]| [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), rest].concat();
        let whole = [bytes(5, 1, &[7, 0, 0, 0]), bytes(8, 2, &[1, 0, 0, 0])].concat();
        let read = Attributes::read(&whole);
        assert_eq!((read.get(1), read.get(2), read.get(3)), (Some(&[7][..]), Some(&[1, 0, 0, 0][..]), None));
        for wrong in
            [&whole[..3], &whole[..4], &bytes(2, 1, &[])[..], &bytes(0, 1, &[0; 4])[..], &bytes(9, 1, &[0; 4])[..]]
        {
            assert!(Attributes::read(wrong).0.is_empty(), "{wrong:?}");
        }
    }

    #[test]
    fn selectors_have_hosts() {
        for (text, expected) in [
            ("10.2.0.0/24", Some("10.2.0.0")),
            ("10.2.0.7/32[tcp/443]", Some("10.2.0.7")),
            ("10.2.0.1..10.2.0.9", Some("10.2.0.1")),
            ("fd00:2::/64", Some("fd00:2::")),
            ("0.0.0.0/0", None),
            ("dynamic", None),
        ] {
            assert_eq!(host_in(text), expected.map(|text| text.parse().expect("an address")), "{text}");
        }
    }
}

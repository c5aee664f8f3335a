//! Rules in one form, whichever program lists them.

use crate::doctor::facts::probe::Unchecked;
use ipnet::IpNet;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The chains in the order in which packets pass, and those they jump to.
    pub chains: Vec<Chain>,
    /// Whether nft is here: then its commands can be pasted.
    pub has_nft: bool,
    /// What could not be looked at: why.
    pub unchecked: Vec<Unchecked>,
}

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its table: family and name.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where packets come to it by themselves, if they do.
    pub base: Option<Base>,
    /// In the order in which packets meet them.
    pub rules: Vec<Rule>,
}

/// Where and when a chain meets packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// Where.
    pub hook: Hook,
    /// When, of all chains there.
    pub priority: i64,
    /// Whether it is about addresses, and not about whether packets pass.
    pub is_nat: bool,
    /// Whether it drops what none of its rules decides on.
    pub drops: bool,
    /// Whether iptables lists it, rather than nft.
    pub by_iptables: bool,
}

/// The places on a packet's way (netfilter's hooks), in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// Behind routing.
    Postrouting,
}

/// A rule: all matches must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done then.
    pub action: Action,
    /// Whether it makes the segment size of TCP smaller.
    pub clamps: bool,
    /// How to find it in its chain: `handle 7`, or the line of iptables.
    pub place: String,
}

/// The way of a packet through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It came by one.
    In,
    /// It will leave by one.
    Out,
}

/// A condition. The flag says whether it must hold or must not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The source is in one of these networks, or (`false`) in none.
    Source(Vec<IpNet>, bool),
    /// The same of the destination.
    Destination(Vec<IpNet>, bool),
    /// The packet came by an interface of such a name (`+` or `*` at its end: any ending).
    In(String, bool),
    /// It leaves by one.
    Out(String, bool),
    /// An IPsec policy of the kernel applies to it.
    Ipsec(Way, bool),
    /// The packet is IPv4 (or, `false`, IPv6).
    V4(bool),
    /// The state of its connection is one of these: `new`, `established` and so on.
    State(Vec<String>, bool),
    /// Its protocol is one of these numbers.
    Protocol(Vec<u8>, bool),
    /// Its destination port is in one of these ranges.
    Port(Vec<(u16, u16)>, bool),
    /// Something of one protocol, such as a source port: a part of the packets, on purpose.
    Narrow,
    /// Something else.
    Other,
}

/// What is done with a packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Action {
    /// Its source is changed; the rule's word for it.
    Translate(&'static str),
    /// The chain ends.
    Accept,
    /// The packet ends, with an answer or without.
    Drop,
    /// The rules of that chain come next, and then those behind this one.
    Jump(String),
    /// The rules of that chain come next, and none behind this one.
    Goto(String),
    /// Back to where the packet came from.
    Return,
    /// It decides, and how is not known here.
    Unknown,
    /// Nothing that ends the chain.
    #[default]
    Other,
}

/// The number of a protocol by its name or number; 255, which is no protocol, if it is not known here.
pub(super) fn protocol(name: &str) -> u8 {
    match name {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "esp" | "ipv6-crypt" => 50,
        "ah" | "ipv6-auth" => 51,
        "icmpv6" | "ipv6-icmp" => 58,
        name => name.parse().unwrap_or(u8::MAX),
    }
}

//! Arbitrary valid values of the model.

use cygnet::ipsec::{
    AhProposal, Auth, Connection, ConnectionId, DhGroup, Encryption, EspProposal, IdKinds, Identity, IdentityKind,
    IkeProposal, IkeVersion, Integrity, KeyOwner, Lifetime, Mode, NativeOptions, Parts, PeerAddr, Protocol, Psk,
    Remote, Split, TrafficSelector,
    algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    native::{Kind, NATIVE},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::{collection::vec, option, prelude::*, sample::select};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub fn id() -> impl Strategy<Value = ConnectionId> {
    any::<u128>().prop_map(|n| format!("{n:032x}").parse().expect("an id"))
}

/// Keys of any bytes, and of what a quoted or prefixed spelling would bend.
pub fn key() -> impl Strategy<Value = Vec<u8>> {
    let bent = ["0x6162", "0xzz", "0sQUJD", "0S", "\"", "\\", "}\nsecrets {\n", "# ", " a ", "$HOME", "\0", "\r\n"];
    prop_oneof![
        3 => vec(any::<u8>(), 1..200),
        2 => select(bent.map(|text| text.as_bytes().to_vec()).to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte; Psk::MAX]),
    ]
}

pub fn psk() -> impl Strategy<Value = Auth> {
    key().prop_map(|key| Auth::Psk(Psk::new(key).expect("a key")))
}

pub fn version() -> impl Strategy<Value = IkeVersion> {
    select(vec![IkeVersion::Any, IkeVersion::V1, IkeVersion::V2])
}

pub fn encryption() -> impl Strategy<Value = Encryption> {
    select(ENCRYPTION.map(|row| row.value).to_vec())
}

pub fn integrity() -> impl Strategy<Value = Integrity> {
    select(INTEGRITY.map(|row| row.value).to_vec())
}

pub fn group() -> impl Strategy<Value = DhGroup> {
    select(DH_GROUP.map(|row| DhGroup::new(row.number.into()).expect("in the table")).to_vec())
}

pub fn ike() -> impl Strategy<Value = IkeProposal> {
    let of_ike = select(Integrity::of_ike().map(|row| row.value).collect::<Vec<_>>());
    let all = (encryption(), of_ike, group());
    all.prop_map(|(encryption, integrity, group)| IkeProposal { encryption, integrity, group })
}

pub fn protocol() -> impl Strategy<Value = Protocol> {
    let all = (any::<bool>(), encryption(), integrity(), option::of(group()));
    all.prop_map(|(ah, encryption, integrity, pfs)| {
        if ah {
            Protocol::Ah(AhProposal { integrity, pfs })
        } else {
            Protocol::Esp(EspProposal { encryption, integrity, pfs })
        }
    })
}

pub fn lifetimes() -> impl Strategy<Value = (Lifetime, Lifetime)> {
    (60..=604_800_i64, 30..=604_800_i64)
        .prop_map(|(ike, child)| (Lifetime::ike(ike).expect("in range"), Lifetime::child(child).expect("in range")))
}

/// Texts that a hostile caller would try, and texts of any characters.
pub fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "\n",
        "\r",
        "\t",
        "\"",
        "\\",
        "{",
        "}",
        "#",
        "$",
        "%",
        "%any",
        "*",
        "0x",
        "0s",
        "=",
        ":",
        "@",
        ",",
        " ",
        "^",
        "\0",
        "a",
        "gw",
        "é",
        "fqdn:",
        "include conf",
        "192.0.2.1",
    ];
    let tricky = vec(select(pieces.to_vec()), 1..8).prop_map(|pieces| pieces.concat());
    prop_oneof![
        tricky,
        ".{0,60}",
        any::<String>(),
        "[a-zA-Z0-9._-]{1,40}",
        "[a-z.+_-]{1,20}@[a-z.-]{1,20}",
        "[#^@]?[a-f0-9]{1,4}@[a-z.-]{1,9}"
    ]
}

/// What a record may have as `idType`.
pub fn id_type() -> impl Strategy<Value = IdKinds> {
    use IdentityKind::{Fqdn, FreeName, Guessed, Ip, Name, StoredName};
    let kind = || select(vec![Ip, Name, FreeName, StoredName, Fqdn, Guessed]);
    let both = (kind(), option::of(kind()), option::of(kind()));
    both.prop_map(|(both, local, remote)| IdKinds::new(both, [local, remote]))
}

pub fn identity_kind() -> impl Strategy<Value = IdentityKind> {
    use IdentityKind::{Email, Fqdn, FreeName, Guessed, Ip, KeyId, Name, StoredName};
    select(vec![Ip, Name, FreeName, StoredName, Fqdn, Guessed, Email, KeyId])
}

pub fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<Ipv4Addr>().prop_map(IpAddr::V4),
        any::<Ipv6Addr>().prop_map(IpAddr::V6),
        any::<u16>().prop_map(|n| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n))),
    ]
}

pub fn identity() -> impl Strategy<Value = Identity> {
    let any_text = (identity_kind(), prop_oneof![text(), address().prop_map(|a| a.to_string())]);
    any_text.prop_filter_map("not an identity", |(kind, text)| Identity::new(kind, &text).ok())
}

/// Networks of one side, which do not overlap each other or those of the other side: its number is in the address.
pub fn nets(side: u8) -> impl Strategy<Value = Vec<TrafficSelector>> {
    let net = move |(index, v4, bits): (usize, bool, u8)| {
        let low = u8::try_from(index).expect("few");
        let net: IpNet = if v4 {
            Ipv4Net::new(Ipv4Addr::new(10, side, low, bits), 24 + bits % 9).expect("a prefix").into()
        } else {
            let address = Ipv6Addr::new(0xfd00, side.into(), low.into(), 0, 0, 0, 0, bits.into());
            Ipv6Net::new(address, 48 + bits % 81).expect("a prefix").into()
        };
        net.trunc().to_string().parse().expect("a network")
    };
    let shapes = vec((any::<bool>(), any::<u8>()), 0..6);
    shapes.prop_map(move |shapes| shapes.into_iter().enumerate().map(|(i, (v4, bits))| net((i, v4, bits))).collect())
}

/// A mode with networks that it can carry: mode, ours, theirs. Those of transport mode are the gateways: here, none.
pub fn carried() -> impl Strategy<Value = (Mode, Vec<TrafficSelector>, Vec<TrafficSelector>)> {
    prop_oneof![
        3 => (Just(Mode::Tunnel), nets(1), nets(2)),
        1 => (Just(Mode::Transport), Just(Vec::new()), Just(Vec::new())),
    ]
}

/// Arbitrary options of our own, each chosen or not, by the table of them; also a split that only the agent chooses.
pub fn native() -> impl Strategy<Value = NativeOptions> {
    let seeds = vec(option::of(any::<u32>()), NATIVE.len());
    (seeds, select(Split::ALL.to_vec())).prop_map(|(seeds, split)| {
        let mut native = NativeOptions { split, ..NativeOptions::default() };
        for (option, seed) in NATIVE.iter().zip(seeds) {
            let Some(seed) = seed else { continue };
            let value = match option.kind {
                Kind::Word(words) => words[seed as usize % words.len()].into(),
                Kind::Protocol => ["any", "icmp", "tcp", "udp", "sctp", "gre", "112"][seed as usize % 7].into(),
                Kind::PpkId => ["", "site-a", "gw.example", "K7"][seed as usize % 4].into(),
                Kind::Switch => (seed % 2 == 0).into(),
                Kind::Number(low, high) => (low + u64::from(seed) % (high - low + 1)).into(),
            };
            option.put(&mut native, &value).expect("a value of the option");
        }
        if native.next_layer.has_stray_port() {
            (native.next_layer.local_port, native.next_layer.remote_port) = (0, 0);
        }
        native.ppk = native.ppk_id.is_some().then(|| Psk::new("test-only-ppk\0\x7f").expect("a key"));
        native.settle(|_| false);
        native
    })
}

/// Takes away what other versions of IKE do not have.
pub fn only_under_ikev2(native: &mut NativeOptions, version: IkeVersion) {
    if version != IkeVersion::V2 {
        (native.ppk_id, native.post_quantum) = (None, None);
        native.settle(|_| false);
    }
}

/// Arbitrary parts that fit each other; what the rules between them refuse is left out.
pub fn connection() -> impl Strategy<Value = Connection> {
    let ends = (address(), address(), option::of(identity()), option::of(identity()));
    // Whether the gateways are named as the networks of transport mode.
    let named = (any::<bool>(), any::<bool>());
    let rest = (psk(), 0..3_u32, protocol(), lifetimes(), (carried(), named, native()));
    let parts = (id(), ends, version(), ike(), rest).prop_map(|(id, ends, version, ike, rest)| {
        let (local_addr, remote_addr, local_id, remote_id) = ends;
        let (auth, ike_generation, protocol, (ike_lifetime, lifetime), (carried, named, native)) = rest;
        let (mode, mut local_nets, mut remote_nets) = carried;
        let remote_addr = peer(same_family(local_addr, remote_addr));
        if mode == Mode::Transport {
            local_nets.extend(named.0.then(|| TrafficSelector::host(local_addr)));
            remote_nets.extend(named.1.then(|| TrafficSelector::host(*remote_addr)));
        }
        // What names no network names no address either, where that is possible.
        let has_name = remote_id.as_ref().is_some_and(|id| !matches!(id, Identity::Ip(_)));
        let is_anywhere = mode == Mode::Tunnel && named == (true, true) && has_name;
        let remote_addr = if is_anywhere { Remote::Anywhere } else { remote_addr.into() };
        let mut native = native;
        only_under_ikev2(&mut native, version);
        Parts {
            id,
            local_addr,
            remote_addr,
            version,
            ike,
            ike_lifetime,
            local_id,
            remote_id,
            auth,
            ike_generation,
            mode,
            protocol,
            lifetime,
            local_nets,
            remote_nets,
            native,
        }
    });
    let whole = parts.prop_filter_map("the parts do not fit each other", |parts| Connection::new(parts).ok());
    (whole, any::<bool>()).prop_map(|(mut connection, is_local)| {
        connection.key_owner = if is_local { KeyOwner::Local } else { KeyOwner::Remote };
        connection
    })
}

/// An address like `other`, of the family of `address`.
/// The address as a peer's; every other one of IPv6 is moved to a link, with its interface.
pub fn peer(address: IpAddr) -> PeerAddr {
    match address {
        IpAddr::V6(v6) if v6.octets()[15] % 2 == 1 => {
            let on_link = Ipv6Addr::from(u128::from(v6) << 64 >> 64 | 0xfe80_u128 << 112);
            PeerAddr::new(on_link.into(), Some("wan-1.100")).expect("a peer on a link")
        }
        other => other.into(),
    }
}

pub fn same_family(address: IpAddr, other: IpAddr) -> IpAddr {
    match (address, other) {
        (IpAddr::V4(_), IpAddr::V6(v6)) => {
            Ipv4Addr::from(v6.octets()[12..].iter().fold(0, |n, b| n << 8 | u32::from(*b))).into()
        }
        (IpAddr::V6(_), IpAddr::V4(v4)) => Ipv6Addr::from(u128::from(u32::from(v4)) | 0x2001_0db8_u128 << 96).into(),
        _ => other,
    }
}

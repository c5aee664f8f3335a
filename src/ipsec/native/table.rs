//! The table of our own options: a row each, with all that reads, stores, compares, shows or describes it.

use super::{Kind, NativeOption, NativeOptions, PeerKind, Scope, StartMode};
use crate::ipsec::{
    ByteLifetime, Dpd, IdentityKind, Integrity, MlKem,
    connection::Split,
    next_layer::{protocol_name, protocol_number},
    post_quantum::is_ppk_id,
};
use serde_json::Value;

/// `split`: how the networks become children.
pub const SPLITS: [(&str, Split); 3] = [("auto", Split::Auto), ("pairs", Split::Pairs), ("whole", Split::Whole)];
const SPLIT_WORDS: [&str; 3] = words(&SPLITS);

/// `localIdType` and `remoteIdType`.
pub const ID_KINDS: [(&str, Option<IdentityKind>); 6] = [
    ("auto", None),
    ("ip", Some(IdentityKind::Ip)),
    ("fqdn", Some(IdentityKind::Fqdn)),
    ("email", Some(IdentityKind::Email)),
    ("keyid", Some(IdentityKind::KeyId)),
    ("dn", Some(IdentityKind::Dn)),
];
const ID_WORDS: [&str; 6] = words(&ID_KINDS);

/// `ikePrf`.
const PRFS: [(&str, Option<Integrity>); 5] = [
    ("auto", None),
    ("sha1", Some(Integrity::Sha1)),
    ("sha256", Some(Integrity::Sha256)),
    ("sha384", Some(Integrity::Sha384)),
    ("sha512", Some(Integrity::Sha512)),
];
const PRF_WORDS: [&str; 5] = words(&PRFS);

const DPD: Kind = Kind::Number(Dpd::RANGE.0 as u64, Dpd::RANGE.1 as u64);

/// `selectorLocalPort` and `selectorRemotePort`.
const PORT: Kind = Kind::Number(0, u16::MAX as u64);

/// `startMode`.
const START_MODES: [(&str, StartMode); 3] =
    [("initiate", StartMode::Initiate), ("respond", StartMode::Respond), ("trap", StartMode::Trap)];
const START_MODE_WORDS: [&str; 3] = words(&START_MODES);

/// `peer`.
const PEERS: [(&str, PeerKind); 2] = [("any", PeerKind::Any), ("zstack", PeerKind::ZStack)];
const PEER_WORDS: [&str; 2] = words(&PEERS);

/// `postQuantum`.
const POST_QUANTUM: [(&str, Option<MlKem>); 3] =
    [("none", None), ("mlkem768", Some(MlKem::MlKem768)), ("mlkem1024", Some(MlKem::MlKem1024))];
const POST_QUANTUM_WORDS: [&str; 3] = words(&POST_QUANTUM);

/// `postQuantumMode`: whether an SA without it is wanted, too.
const POST_QUANTUM_MODES: [(&str, bool); 2] = [("require", false), ("prefer", true)];
const POST_QUANTUM_MODE_WORDS: [&str; 2] = words(&POST_QUANTUM_MODES);

/// All of them, in the order in which they are named.
pub static NATIVE: [NativeOption; 18] = [
    NativeOption {
        name: "split",
        kind: Kind::Word(&SPLIT_WORDS),
        example: "pairs",
        about: "Which CHILD_SAs carry the pairs of networks. `auto`: all in one, and one per pair as soon as the peer \
                narrows it to some of them. `pairs` and `whole` fix it. IKEv1 has one per pair in any case.",
        scope: Scope::Selectors,
        agreed: true,
        stored_apart: true,
        get: |o| o.split.name().into(),
        set: |o, value| meaning(&SPLITS, value).map(|split| o.split = split),
        same: |a, b| a.split == b.split,
    },
    NativeOption {
        name: "dpdDelay",
        kind: DPD,
        example: "11",
        about: "Seconds of silence after which the peer is asked whether it lives.",
        scope: Scope::Ike,
        agreed: false,
        stored_apart: true,
        get: |o| o.dpd.map(Dpd::delay).into(),
        set: |o, value| number(value).map(|delay| o.dpd = Some(dpd(o).with(Some(delay), None))),
        same: |a, b| a.dpd == b.dpd,
    },
    NativeOption {
        name: "dpdTimeout",
        kind: DPD,
        example: "29",
        about: "Seconds after its last packet until a silent peer counts as dead, under IKEv1; under IKEv2 the \
                retransmissions of strongswan.conf decide.",
        scope: Scope::Ike,
        agreed: false,
        stored_apart: true,
        get: |o| o.dpd.map(Dpd::timeout).into(),
        set: |o, value| number(value).map(|timeout| o.dpd = Some(dpd(o).with(None, Some(timeout)))),
        same: |a, b| a.dpd == b.dpd,
    },
    NativeOption {
        name: "localIdType",
        kind: Kind::Word(&ID_WORDS),
        example: "keyid",
        about: "What kind of identity `localId` is: an address, a name sent as `ID_FQDN` (also one that looks like an \
                address; `@` before it is left out), a mail address, a `KEY_ID`, or a distinguished name. `auto`: as \
                `idType` says.",
        scope: Scope::Identity,
        agreed: true,
        stored_apart: false,
        get: |o| kind_word(o.local_id_type).into(),
        set: |o, value| meaning(&ID_KINDS, value).map(|kind| o.local_id_type = kind),
        same: |a, b| a.local_id_type == b.local_id_type,
    },
    NativeOption {
        name: "remoteIdType",
        kind: Kind::Word(&ID_WORDS),
        example: "keyid",
        about: "The same of `remoteId`.",
        scope: Scope::Identity,
        agreed: true,
        stored_apart: false,
        get: |o| kind_word(o.remote_id_type).into(),
        set: |o, value| meaning(&ID_KINDS, value).map(|kind| o.remote_id_type = kind),
        same: |a, b| a.remote_id_type == b.remote_id_type,
    },
    NativeOption {
        name: "forceEncapsulation",
        kind: Kind::Switch,
        example: "true",
        about: "Whether ESP goes in UDP port 4500 also where there is no NAT, for paths that drop ESP.",
        scope: Scope::Ike,
        agreed: false,
        stored_apart: false,
        get: |o| o.force_encapsulation.into(),
        set: |o, value| value.as_bool().map(|is_on| o.force_encapsulation = is_on),
        same: |a, b| a.force_encapsulation == b.force_encapsulation,
    },
    NativeOption {
        name: "ikePrf",
        kind: Kind::Word(&PRF_WORDS),
        example: "sha512",
        about: "The hash of the IKE_SA's PRF. `auto`: that of ikeAuthAlgorithm. IKEv2 only.",
        scope: Scope::Ike,
        agreed: true,
        stored_apart: false,
        get: |o| PRFS.iter().find(|(_, prf)| *prf == o.ike_prf).map(|(word, _)| *word).into(),
        set: |o, value| meaning(&PRFS, value).map(|prf| o.ike_prf = prf),
        same: |a, b| a.ike_prf == b.ike_prf,
    },
    NativeOption {
        name: "startMode",
        kind: Kind::Word(&START_MODE_WORDS),
        example: "respond",
        about: "Who begins to negotiate. `initiate`: this end, and it keeps the tunnel up. `respond`: the peer alone. \
                `trap`: the first packet for the peer's networks, or the peer.",
        scope: Scope::Reload,
        agreed: false,
        stored_apart: false,
        get: |o| START_MODES.iter().find(|(_, mode)| *mode == o.start_mode).map(|(word, _)| *word).into(),
        set: |o, value| meaning(&START_MODES, value).map(|mode| o.start_mode = mode),
        same: |a, b| a.start_mode == b.start_mode,
    },
    NativeOption {
        name: "childRekeyBytes",
        kind: Kind::Number(0, ByteLifetime::MAX),
        example: "1000000000",
        about: "Bytes in one direction after which a CHILD_SA is rekeyed, if its lifeTime is not over before: 0 for no \
                such limit, or at least 67108864 (64 MiB). It begins up to a tenth earlier, and a tenth later, at least \
                64 MiB, the SA ends.",
        scope: Scope::Child,
        agreed: false,
        stored_apart: false,
        get: |o| o.child_rekey_bytes.into(),
        set: |o, value| number(value).map(|bytes| o.child_rekey_bytes = bytes),
        same: |a, b| a.child_rekey_bytes == b.child_rekey_bytes,
    },
    NativeOption {
        name: "selectorProtocol",
        kind: Kind::Protocol,
        example: "gre",
        about: "Which packets between the networks go through the tunnel: those of one protocol (`icmp`, `tcp`, `udp`, \
                `gre`, `ipv6-icmp`, `sctp`, or its number from 1 to 255), or `any`. The peer needs the same.",
        scope: Scope::Selectors,
        agreed: true,
        stored_apart: false,
        get: |o| protocol_name(o.next_layer.protocol).into(),
        set: |o, value| protocol_number(value.as_str()?).map(|number| o.next_layer.protocol = number),
        same: |a, b| a.next_layer.protocol == b.next_layer.protocol,
    },
    NativeOption {
        name: "selectorLocalPort",
        kind: PORT,
        example: "1701",
        about: "The port on this side of the packets that go through the tunnel, of tcp, udp or sctp; 0: all of them.",
        scope: Scope::Selectors,
        agreed: true,
        stored_apart: false,
        get: |o| o.next_layer.local_port.into(),
        set: |o, value| number(value).map(|port| o.next_layer.local_port = port),
        same: |a, b| a.next_layer.local_port == b.next_layer.local_port,
    },
    NativeOption {
        name: "selectorRemotePort",
        kind: PORT,
        example: "1701",
        about: "The same of the peer's side.",
        scope: Scope::Selectors,
        agreed: true,
        stored_apart: false,
        get: |o| o.next_layer.remote_port.into(),
        set: |o, value| number(value).map(|port| o.next_layer.remote_port = port),
        same: |a, b| a.next_layer.remote_port == b.next_layer.remote_port,
    },
    NativeOption {
        name: "ifId",
        kind: Kind::Number(0, u32::MAX as u64),
        example: "42",
        about: "The `if_id` of the XFRM interface through which packets enter and leave the tunnel: routes decide what \
                goes through it, so both sides may be 0.0.0.0/0 or ::/0. The operator makes the interface and its routes. \
                0: no interface.",
        scope: Scope::Child,
        agreed: false,
        stored_apart: false,
        get: |o| o.if_id.into(),
        set: |o, value| number(value).map(|if_id| o.if_id = if_id),
        same: |a, b| a.if_id == b.if_id,
    },
    NativeOption {
        name: "peer",
        kind: Kind::Word(&PEER_WORDS),
        example: "zstack",
        about: "What the peer is. `zstack`: a router of ZStack. The agent then warns of a key that such a router reads \
                otherwise. Nothing of the tunnel changes.",
        scope: Scope::Nothing,
        agreed: false,
        stored_apart: false,
        get: |o| PEERS.iter().find(|(_, peer)| *peer == o.peer).map(|(word, _)| *word).into(),
        set: |o, value| meaning(&PEERS, value).map(|peer| o.peer = peer),
        same: |a, b| a.peer == b.peer,
    },
    NativeOption {
        name: "ppkId",
        kind: Kind::PpkId,
        example: "site-a",
        about: "The name of the post-quantum pre-shared key (RFC 8784) that `ppk` is. The peer has the same key under the \
                same name; connections of this gateway with the same name have the same key. Empty: there is none. IKEv2 \
                only.",
        scope: Scope::Ike,
        agreed: true,
        stored_apart: false,
        get: |o| o.ppk_id.as_deref().unwrap_or_default().into(),
        set: |o, value| {
            let id = value.as_str().filter(|id| id.is_empty() || is_ppk_id(id))?;
            o.ppk_id = Some(id.to_owned()).filter(|id| !id.is_empty());
            Some(())
        },
        same: |a, b| a.ppk_id == b.ppk_id,
    },
    NativeOption {
        name: "ppkRequired",
        kind: Kind::Switch,
        example: "false",
        about: "Whether a peer without the PPK is refused. If not, the tunnel may come up without it, and its status says \
                so.",
        scope: Scope::Ike,
        agreed: false,
        stored_apart: false,
        get: |o| (!o.ppk_optional).into(),
        set: |o, value| value.as_bool().map(|is_required| o.ppk_optional = !is_required),
        same: |a, b| a.ppk_optional == b.ppk_optional,
    },
    NativeOption {
        name: "postQuantum",
        kind: Kind::Word(&POST_QUANTUM_WORDS),
        example: "mlkem768",
        about: "The key encapsulation that is added to the key exchange of the IKE_SA and, with pfs, to that of each \
                CHILD_SA (RFC 9370). It needs strongSwan 6.0.2 or newer with OpenSSL 3.5 at both ends. IKEv2 only.",
        scope: Scope::Ike,
        agreed: true,
        stored_apart: false,
        get: |o| POST_QUANTUM.iter().find(|(_, kem)| *kem == o.post_quantum).map(|(word, _)| *word).into(),
        set: |o, value| meaning(&POST_QUANTUM, value).map(|kem| o.post_quantum = kem),
        same: |a, b| a.post_quantum == b.post_quantum,
    },
    NativeOption {
        name: "postQuantumMode",
        kind: Kind::Word(&POST_QUANTUM_MODE_WORDS),
        example: "prefer",
        about: "Whether a peer without that key encapsulation is refused (`require`), or gets a tunnel without it \
                (`prefer`), whose status says so.",
        scope: Scope::Ike,
        agreed: false,
        stored_apart: false,
        get: |o| {
            POST_QUANTUM_MODES.iter().find(|(_, mode)| *mode == o.post_quantum_optional).map(|(word, _)| *word).into()
        },
        set: |o, value| meaning(&POST_QUANTUM_MODES, value).map(|mode| o.post_quantum_optional = mode),
        same: |a, b| a.post_quantum_optional == b.post_quantum_optional,
    },
];

impl NativeOptions {
    /// Whether an IKE_SA of `other` has what these say.
    #[must_use]
    pub(in crate::ipsec) fn has_ike_of(&self, other: &Self) -> bool {
        let has_row =
            NATIVE.iter().filter(|option| option.scope == Scope::Ike).all(|option| (option.same)(self, other));
        has_row && self.ppk == other.ppk
    }

    /// Whether the peer needs no change when `other` became these.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        NATIVE.iter().filter(|option| option.agreed).all(|option| (option.same)(self, other)) && self.ppk == other.ppk
    }
}

impl NativeOption {
    /// The option that has this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        NATIVE.iter().find(|option| option.name == name)
    }
}

/// The times that a new one is set beside.
fn dpd(options: &NativeOptions) -> Dpd {
    options.dpd.unwrap_or(Dpd::STORED)
}

fn kind_word(kind: Option<IdentityKind>) -> &'static str {
    ID_KINDS.iter().find(|(_, meaning)| *meaning == kind).map_or("", |(word, _)| word)
}

fn number<T: TryFrom<u64>>(value: &Value) -> Option<T> {
    value.as_u64()?.try_into().ok()
}

fn meaning<T: Copy>(table: &[(&str, T)], word: &Value) -> Option<T> {
    table.iter().find(|(name, _)| Some(*name) == word.as_str()).map(|(_, meaning)| *meaning)
}

const fn words<T: Copy, const N: usize>(table: &[(&'static str, T); N]) -> [&'static str; N] {
    let (mut words, mut at) = ([""; N], 0);
    while at < N {
        words[at] = table[at].0;
        at += 1;
    }
    words
}

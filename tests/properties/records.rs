//! A stored record comes back as it was.

use super::{cases, generate};
use cygnet::{
    ipsec::{HostName, IkeVersion, KeyOwner, Peer, Protection, State},
    store::{
        Names, Network, Options, Record, Reference, RemoteCidr, Spec, Transition, Trial,
        format::{from_bytes, to_bytes},
    },
};
use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*};

fn time() -> impl Strategy<Value = Timestamp> {
    (0..200_000_000_000_i64, 0..1_000_000_000_i32)
        .prop_map(|(seconds, nanoseconds)| Timestamp::new(seconds, nanoseconds).expect("in range"))
}

fn names() -> impl Strategy<Value = Names> {
    let all = (any::<String>(), option::of(generate::text()), vec(any::<String>(), 0..3), vec(generate::text(), 0..3));
    all.prop_map(|(name, description, system_tags, user_tags)| Names { name, description, system_tags, user_tags })
}

fn networks() -> impl Strategy<Value = Vec<Network>> {
    let split = (generate::nets(1), generate::id(), any::<String>(), time(), 0..3_usize);
    split.prop_map(|(cidrs, uuid, network, created, at)| {
        let (first, rest) = cidrs.split_at(at.min(cidrs.len()));
        let sides = [first, rest].into_iter().map(<[_]>::to_vec);
        sides.map(|cidrs| Network { uuid, network: network.clone(), cidrs, created }).collect()
    })
}

fn remotes() -> impl Strategy<Value = Vec<RemoteCidr>> {
    (generate::nets(2), generate::id(), time())
        .prop_map(|(nets, uuid, created)| nets.into_iter().map(|cidr| RemoteCidr { uuid, cidr, created }).collect())
}

fn options() -> impl Strategy<Value = Options> {
    let ids = (generate::id_type(), option::of(generate::text()), option::of(generate::text()));
    let ike = (generate::psk(), generate::version(), generate::ike(), generate::lifetimes());
    let child = (any::<bool>(), generate::encryption(), generate::integrity(), option::of(generate::group()));
    let all = (ids, ike, child, generate::carried(), generate::native());
    all.prop_map(|((id_kind, local_id, remote_id), (auth, version, ike, lifetimes), child, (mode, ..), mut native)| {
        generate::only_under_ikev2(&mut native, version);
        Options {
            auth,
            id_kind,
            local_id,
            remote_id,
            version,
            ike,
            ike_lifetime: lifetimes.0,
            ah: child.0,
            encryption: child.1,
            integrity: child.2,
            pfs: child.3,
            mode,
            lifetime: lifetimes.1,
            native,
        }
    })
}

/// Arbitrary records that are valid: identities that are none, and networks in transport mode, are taken out.
pub fn record() -> impl Strategy<Value = Record> {
    let ends = (any::<String>(), generate::address(), generate::address());
    let spec = (names(), ends, options(), networks(), remotes());
    let all = (generate::id(), spec, any::<u32>(), time(), time(), any::<bool>());
    all.prop_filter_map(
        "not valid",
        |(id, (names, (uuid, address, peer), options, local, remote), keys, t1, t2, on)| {
            let found = generate::same_family(address, peer);
            // Found by its address, by a name, or nowhere; a name may have had an address.
            let (peer, resolved) = match keys % 4 {
                0 => (Peer::Name(HostName::new("vpn.example.org").expect("a name")), None),
                1 => (Peer::Name(HostName::new("vpn.example.org").expect("a name")), Some(found)),
                2 => (Peer::Any, None),
                _ => (generate::peer(found).into(), None),
            };
            let mut spec = Spec { names, vip: Reference { uuid, address }, peer, options, local, remote };
            let made = [false, true].into_iter().find_map(|plain| {
                if plain {
                    (spec.options.local_id, spec.options.remote_id) = (None, None);
                    spec.remote.clear();
                    spec.local.clear();
                }
                Record::resolved(id, spec.clone(), resolved, keys, t1).ok()
            });
            let state = if on { State::Enabled } else { State::Disabled };
            let owner = if keys % 2 == 0 { KeyOwner::Remote } else { KeyOwner::Local };
            let made = made.map(|record| Record { changed: t2, state, ..record }.owned(owner));
            // What was learnt of a peer, where there is something to learn.
            made.map(
                |record| if keys % 3 == 0 { record.having_worked(IkeVersion::V1).unwrap_or(record) } else { record },
            )
        },
    )
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn every_record_comes_back(record in record()) {
        let bytes = to_bytes(&record).expect("written");
        prop_assert_eq!(from_bytes(&bytes).expect("read"), record);
    }

    /// What is tried at the moment is not stored; what worked is, with the children that go with it.
    #[test]
    fn what_worked_comes_back_and_older_records_have_nothing_of_it(record in record()) {
        let text = |record: &Record| String::from_utf8(to_bytes(record).expect("written").to_vec()).expect("text");
        let is_stored = text(&record).contains("\"ikev1_worked\": true");
        prop_assert_eq!(is_stored, record.ikev1_worked);
        prop_assert!(is_stored || !text(&record).contains("ikev1_worked"), "an older program reads it");
        prop_assert!(!record.ikev1_worked || record.connection.version == IkeVersion::Any);
        for version in [IkeVersion::V1, IkeVersion::V2] {
            let Ok(tried) = record.speaking(version) else { continue };
            prop_assert_eq!(tried.connection.answering(), record.connection.answering());
            prop_assert_eq!(from_bytes(text(&tried).as_bytes()).expect("read"), record.clone());
        }
        let of_another = text(&record).replacen("\"version\": 0,", "\"version\": 2,", 1);
        prop_assert!(!is_stored || from_bytes(of_another.as_bytes()).is_err());
    }

    #[test]
    fn a_record_with_a_trial_comes_back(record in record(), before in record(), created in any::<bool>(), at in time()) {
        let (id, caller) = (before.id, "token test".to_owned());
        let before = (!created).then_some(Record { id: record.id, ..before });
        // The connection in it bears the uuid: it is made anew.
        let before = before.and_then(|b| Record::resolved(b.id, b.spec, b.resolved, b.ike_generation, b.created).ok());
        let trial = Trial { id, caller, began: at, until: at, overruled: created, before };
        let on_trial = Record { trial: Some(Box::new(trial)), ..record.clone() };
        let bytes = to_bytes(&on_trial).expect("written");
        let version = if record.spec.options.native.ppk.is_some() { 4 } else { 3 };
        let start = format!("{{\n  \"version\": {version},");
        prop_assert!(String::from_utf8_lossy(&bytes).starts_with(&start));
        prop_assert_eq!(from_bytes(&bytes).expect("read"), on_trial);
        let plain = to_bytes(&record).expect("written");
        prop_assert!(!String::from_utf8_lossy(&plain).contains("\"version\": 3"));
    }

    /// Also as what a trial would put back. An earlier program is told by the version.
    #[test]
    fn a_record_in_transition_comes_back(record in record(), other in record(), at in time(), [accept, over] in any::<[bool; 2]>()) {
        let protocol = record.connection.protocol;
        let accepted = vec![Protection { protocol, ..other.connection.protection() }];
        let caller = "token test".to_owned();
        let transition = Transition { caller: caller.clone(), began: at, until: at, accept, over, accepted };
        let record = Record { transition: Some(Box::new(transition)), ..record };
        let id = record.id;
        let trial = Trial { id, caller, began: at, until: at, overruled: false, before: Some(record.clone()) };
        let on_trial = Record { transition: None, trial: Some(Box::new(trial)), ..record.clone() };
        for record in [record, on_trial] {
            let bytes = to_bytes(&record).expect("written");
            let start = "{\n  \"version\": 5,";
            prop_assert!(String::from_utf8_lossy(&bytes).starts_with(start));
            prop_assert_eq!(from_bytes(&bytes).expect("read"), record);
        }
    }

    /// With the present key, whatever else the two have. What was learnt of the peer stays learnt.
    #[test]
    fn every_revision_comes_back(record in record(), other in record(), at in time()) {
        let Ok(new) = record.changed(other.spec.clone(), at) else { return Ok(()) };
        let new = Record { state: other.state, ..new };
        let caller = std::sync::Arc::from("token test");
        let new = new.revised(Some(&record), Some(&caller)).expect("revised");
        let text = to_bytes(&new).expect("written");
        prop_assert_eq!(&from_bytes(&text).expect("read"), &new);
        let mut wish = record.spec.clone();
        wish.options.auth = new.spec.options.auth.clone();
        // One whose name there is no more has no key either, and is refused.
        let (was, is) = (&mut wish.options.native, &new.spec.options.native);
        was.ppk = is.ppk.clone().filter(|_| was.ppk_id == is.ppk_id);
        if new.spec.options.native.split.is_learned_from(wish.options.native.split) {
            wish.options.native.split = new.spec.options.native.split;
        }
        let back = new.reverted(1, at);
        prop_assert_eq!(back.is_ok(), new.changed(wish.clone(), at).is_ok());
        if let Ok(back) = back {
            prop_assert_eq!((back.spec, back.state), (wish, record.state));
        }
    }

    /// Whatever the trial was of: another peer, or one version of IKE alone.
    #[test]
    fn a_trial_that_is_taken_back_forgets_nothing_of_the_peer(
        record in record(),
        version in generate::version(),
        peer in generate::address(),
        at in time(),
    ) {
        let mut spec = record.spec.clone();
        spec.options.version = version;
        spec.peer = generate::peer(generate::same_family(spec.vip.address, peer)).into();
        let Ok(tried) = record.changed(spec, at) else { return Ok(()) };
        let (id, caller) = (record.id, String::new());
        let trial = Trial { id, caller, began: at, until: at, overruled: false, before: Some(record.clone()) };
        let on_trial = Record { trial: Some(Box::new(trial)), ..tried };
        let back = on_trial.without_trial(at).expect("it stood together").expect("it was there");
        prop_assert_eq!(back.ikev1_worked, record.ikev1_worked);
        prop_assert_eq!(back.connection.initiates(), record.connection.initiates());
        prop_assert_eq!((back.resolved, back.connection.remote_addr), (record.resolved, record.connection.remote_addr));
        prop_assert_eq!(back.spec, record.spec);
    }

    #[test]
    fn a_damaged_record_is_refused_without_its_key(
        record in record(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = to_bytes(&record).expect("written").to_vec();
        // The last brace counts, the newline behind it does not.
        let at = at.index(bytes.len() - 1);
        bytes[at] = byte;
        if let Err(why) = from_bytes(&bytes) {
            prop_assert!(why.len() < 200, "it quotes a value: {}", why);
        }
        prop_assert!(from_bytes(&bytes[..at]).is_err(), "cut");
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn arbitrary_bytes_are_no_record(bytes in vec(any::<u8>(), 0..300), text in ".{0,100}") {
        prop_assert!(from_bytes(&bytes).is_err());
        let small = serde_json::json!({ "version": 1, "uuid": text }).to_string();
        prop_assert!(from_bytes(small.as_bytes()).is_err());
    }
}

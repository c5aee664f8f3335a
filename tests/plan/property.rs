//! The same without HTTP, for any values: the class of a change against the requests that load it.

use super::generate;
use cygnet::{
    agent::{Impact, Loaded, Step, configure, impact},
    ipsec::{Identity, IdentityKind, State},
    store::{Names, Network, Options, Record, Reference, RemoteCidr, Spec},
    strongswan::{conf::Traps, requests::Loadable, section::Section},
};
use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, sample::select, test_runner::Config};

/// A change of one value of a wish.
struct Edit(Box<dyn Fn(&mut Spec)>);

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The records that come of it are shown.
        f.write_str("an edit")
    }
}

/// Identities: the default one in other words, and others.
fn identity(own: &'static str) -> impl Strategy<Value = Option<String>> {
    option::of(select(vec![own, "192.0.2.77", "192.0.2.78"]).prop_map(ToOwned::to_owned))
}

/// One edit; some change nothing that charon sees.
fn edit() -> impl Strategy<Value = Edit> {
    fn of<T: Clone + 'static>(value: T, set: fn(&mut Spec, T)) -> Edit {
        Edit(Box::new(move |spec| set(spec, value.clone())))
    }
    prop_oneof![
        generate::encryption().prop_map(|new| of(new, |spec, new| spec.options.encryption = new)),
        generate::integrity().prop_map(|new| of(new, |spec, new| spec.options.integrity = new)),
        generate::ike().prop_map(|new| of(new, |spec, new| spec.options.ike = new)),
        generate::version().prop_map(|new| of(new, |spec, new| spec.options.version = new)),
        generate::lifetimes().prop_map(|new| of(new.0, |spec, new| spec.options.ike_lifetime = new)),
        generate::lifetimes().prop_map(|new| of(new.1, |spec, new| spec.options.lifetime = new)),
        generate::psk().prop_map(|new| of(new, |spec, new| spec.options.auth = new)),
        option::of(generate::group()).prop_map(|new| of(new, |spec, new| spec.options.pfs = new)),
        any::<bool>().prop_map(|new| of(new, |spec, new| spec.options.ah = new)),
        identity("192.0.2.1").prop_map(|new| of(new, |spec, new| spec.options.local_id = new)),
        identity("198.51.100.2").prop_map(|new| of(new, |spec, new| spec.options.remote_id = new)),
        any::<String>().prop_map(|new| of(new, |spec, new| spec.names.name = new)),
        generate::nets(2).prop_map(|new| of(new, |spec, new| spec.remote = remote(new))),
        (1..4_u8).prop_map(|new| of(new, |spec, new| spec.peer = std::net::IpAddr::from([198, 51, 100, new]).into())),
    ]
}

fn remote(nets: Vec<cygnet::ipsec::TrafficSelector>) -> Vec<RemoteCidr> {
    nets.into_iter().map(|cidr| RemoteCidr { uuid: id(), cidr, created: Timestamp::UNIX_EPOCH }).collect()
}

fn id() -> cygnet::ipsec::ConnectionId {
    "0123456789ab4def8123456789abcdef".parse().expect("an id")
}

/// The wish that all begin with: the contract's defaults.
fn spec() -> Spec {
    let parts = crate::connections::parts(7);
    let options = Options {
        auth: parts.auth,
        id_kind: IdentityKind::Ip.into(),
        local_id: None,
        remote_id: None,
        version: parts.version,
        ike: parts.ike,
        ike_lifetime: parts.ike_lifetime,
        ah: false,
        encryption: parts.ike.encryption,
        integrity: parts.ike.integrity,
        pfs: None,
        mode: parts.mode,
        lifetime: parts.lifetime,
        native: parts.native,
    };
    let local = Network { uuid: id(), network: "net".into(), cidrs: parts.local_nets, created: Timestamp::UNIX_EPOCH };
    let vip = Reference { uuid: "vip".into(), address: parts.local_addr };
    let remote = remote(parts.remote_nets);
    Spec {
        names: Names::default(),
        vip,
        peer: parts.remote_addr.address().expect("an address").into(),
        options,
        local: vec![local],
        remote,
    }
}

/// A record, and what a change made of it.
fn pair() -> impl Strategy<Value = (Record, Record)> {
    let states = select(vec![State::Enabled, State::Enabled, State::Enabled, State::Disabled]);
    (vec(edit(), 0..4), vec(edit(), 0..3), states).prop_filter_map("not valid", |(first, second, state)| {
        let mut spec = spec();
        for Edit(edit) in &first {
            edit(&mut spec);
        }
        let old = Record { state, ..Record::new(id(), spec.clone(), 0, Timestamp::UNIX_EPOCH).ok()? };
        for Edit(edit) in &second {
            edit(&mut spec);
        }
        let new = old.changed(spec, Timestamp::UNIX_EPOCH).ok()?;
        Some((old, new))
    })
}

fn loadable(record: &Record) -> Option<Loadable> {
    record.is_loaded().then(|| Loadable::new(&record.connection, Traps::Supported).expect("it can be loaded"))
}

/// The connection's section without its children.
fn ike_part(loadable: &Loadable) -> Section {
    let (_, body) = loadable.requests[1].body.sections().next().expect("the connection");
    Section(body.0.clone().into_iter().filter(|(name, _)| name != "children").collect())
}

proptest! {
    #![proptest_config(Config { cases: 500, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_class_is_what_charon_hears((old, new) in pair()) {
        let (before, after) = (loadable(&old), loadable(&new));
        let class = impact(
            before.as_ref().map(|loadable| (&old.connection, loadable)),
            after.as_ref().map(|loadable| (&new.connection, loadable)),
        );
        let loaded = before.as_ref().map_or(Loaded::Nothing, |before| Loaded::These(before.digest()));
        let written = before.as_ref().map(|before| before.conf.expose().as_bytes().to_vec());
        let steps = configure(after.as_ref(), written.as_deref(), &loaded);
        let silent = !steps.iter().any(|step| matches!(step, Step::Load | Step::Unload));
        prop_assert_eq!(class == Impact::None, silent, "{:?}: {:?}", class, steps);
        prop_assert_eq!(silent, steps.is_empty(), "the file says what charon hears: {:?}", steps);
        if let (Some(before), Some(after)) = (&before, &after) {
            let ends = |record: &Record| {
                let c = &record.connection;
                (c.local_addr, c.remote_addr, c.local_id.clone(), c.remote_id.clone())
            };
            let ids: [&Identity; 2] = [&old.connection.remote_id, &new.connection.remote_id];
            let same_ike = before.requests[0] == after.requests[0] && ike_part(before) == ike_part(after);
            prop_assert_eq!(class == Impact::Replace, ends(&old) != ends(&new), "{:?}", ids);
            prop_assert_eq!(class == Impact::Child, !silent && same_ike);
            prop_assert!(class != Impact::Reauth || before.requests[0] != after.requests[0]);
        }
    }

    #[test]
    fn what_is_not_loaded_or_not_known_is_loaded((old, new) in pair()) {
        let after = loadable(&new);
        let steps = |loaded: &Loaded| configure(after.as_ref(), None, loaded);
        let wanted = if after.is_some() { Step::Load } else { Step::Unload };
        prop_assert!(steps(&Loaded::Unknown).contains(&wanted), "what is unknown is made sure of");
        prop_assert_eq!(steps(&Loaded::Nothing).contains(&Step::Load), after.is_some());
        drop(old);
    }
}

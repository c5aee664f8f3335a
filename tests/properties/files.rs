//! The file and the requests that it means give back every value of the connection that was rendered.

use super::{cases, generate};
use askama::filters::Escaper;
use cygnet::{
    ipsec::{
        Auth, Connection, IkeVersion, Integrity, KeyOwner, Mode, Protocol, Remote, TrafficSelector,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
        native::StartMode,
        next_layer,
    },
    strongswan::{
        conf::{self, Quoted, Traps},
        requests::{self, Loadable, Request},
        section::{Section, Value},
    },
};
use proptest::{prelude::*, sample::select};
use std::collections::BTreeSet;

/// The requests of the rendered text.
fn requests(connection: &Connection, traps: Traps) -> Vec<Request> {
    let text = conf::render(connection, traps).expect("renders");
    requests::load(&conf::parse(text.expose()).expect("parses"), &[]).expect("a plan")
}

/// The items of a list that has to be there.
fn list(section: &Section, key: &str) -> Vec<String> {
    let Some(Value::List(items)) = section.0.get(key) else { panic!("{key} is a list") };
    items.iter().map(|item| String::from_utf8(item.clone()).expect("UTF-8")).collect()
}

/// The only item of a list.
fn single(section: &Section, key: &str) -> String {
    let items = list(section, key);
    assert_eq!(items.len(), 1, "{key}");
    items.into_iter().next().expect("one")
}

fn selectors(nets: &[TrafficSelector], side: next_layer::Side) -> Vec<String> {
    nets.iter().map(|net| format!("{net}{}", side.numbers())).collect()
}

fn seconds(section: &Section, key: &str) -> u32 {
    section.text(key).and_then(|text| text.strip_suffix('s')).expect("seconds").parse().expect("a number")
}

/// A kind of transform, its IANA number, and its key length.
type Transform = (&'static str, u16, Option<u16>);

/// The IANA numbers and key lengths that the keywords of a proposal stand for, kind by kind.
fn transforms(proposal: &str) -> Vec<Transform> {
    let kind = |keyword: &str| {
        let encryption = ENCRYPTION.iter().find(|row| row.keyword == keyword);
        let integrity = INTEGRITY.iter().find(|row| row.keyword == keyword);
        let prf = INTEGRITY.iter().find(|row| row.prf_keyword == keyword);
        let group = DH_GROUP.iter().find(|row| row.keyword == keyword);
        encryption
            .map(|row| ("encryption", row.iana, row.key_bits))
            .or(integrity.map(|row| ("integrity", row.iana, None)))
            .or(prf.map(|row| ("prf", row.prf_iana, None)))
            .or(group.map(|row| ("group", row.number, None)))
            .unwrap_or_else(|| panic!("no keyword: {keyword}"))
    };
    proposal.split('-').map(kind).collect()
}

/// The proposals of a list, without its additional key exchange each, which is as wanted.
fn offered(c: &Connection, list: &[String], has_exchange: bool) -> String {
    let kem = c.native.post_quantum.filter(|_| has_exchange).map(|kem| format!("-ke1_{}", kem.row().wire));
    let is_second = kem.is_some() && c.native.post_quantum_optional;
    assert_eq!(list.len(), 1 + usize::from(is_second), "{list:?}");
    let first = kem.map_or(Some(list[0].as_str()), |kem| list[0].strip_suffix(&kem)).expect("ML-KEM comes first");
    assert!(list.get(1).is_none_or(|second| second == first), "{list:?}");
    first.to_owned()
}

/// The values of the IKE SA.
fn check_ike(c: &Connection, body: &Section) {
    let version = [(IkeVersion::Any, "0"), (IkeVersion::V1, "1"), (IkeVersion::V2, "2")];
    let (_, number) = version.into_iter().find(|(v, _)| *v == c.version).expect("a version");
    assert_eq!(body.text("version"), Some(number));
    assert_eq!(single(body, "local_addrs"), c.local_addr.to_string());
    assert_eq!(single(body, "remote_addrs"), c.remote_addr.to_string());
    let (encryption, integrity) = (c.ike.encryption.row(), c.ike.integrity.row());
    let mut wanted = vec![("encryption", encryption.iana, encryption.key_bits)];
    wanted.extend(Some(("integrity", integrity.iana, None)).filter(|_| !encryption.aead));
    let prf = c.native.ike_prf.or_else(|| encryption.aead.then_some(c.ike.integrity));
    wanted.extend(prf.map(|hash| ("prf", hash.row().prf_iana, None)));
    wanted.push(("group", c.ike.group.row().number, None));
    assert_eq!(body.text("encap"), Some(if c.native.force_encapsulation { "yes" } else { "no" }));
    assert_eq!(transforms(&offered(c, &list(body, "proposals"), true)), wanted);
    assert_eq!(seconds(body, "rekey_time") + seconds(body, "over_time"), c.ike_lifetime.hard());
    let rand = seconds(body, "rand_time");
    let told_apart = if c.native.dpd.is_some() { c.ike_lifetime.rand().min(32) } else { 2 };
    assert_eq!(
        rand,
        c.ike_lifetime.rand() - c.ike_generation % told_apart,
        "another key is another connection to charon"
    );
    assert!(0 < rand && rand < seconds(body, "rekey_time"));
    for (side, id) in [("local", &c.local_id), ("remote", &c.remote_id)] {
        let section = body.section(side).expect("a side");
        assert_eq!((section.text("auth"), section.text("id")), (Some("psk"), Some(id.to_string().as_str())));
    }
}

/// The values of all children.
fn check_children(c: &Connection, body: &Section, traps: Traps) {
    let children = body.section("children").expect("children").sections().collect::<Vec<_>>();
    assert_eq!(children.len(), c.children.len());
    for ((name, child), wanted) in children.into_iter().zip(&c.children) {
        assert_eq!(name, wanted.name);
        assert_eq!(child.text("mode"), Some(if c.mode == Mode::Tunnel { "tunnel" } else { "transport" }));
        let (key, other, transforms_wanted) = proposal(c.protocol);
        assert_eq!(transforms(&offered(c, &list(child, key), c.protocol.pfs().is_some())), transforms_wanted);
        let is_cut = match c.protocol {
            Protocol::Esp(esp) => !esp.encryption.row().aead && esp.integrity == Integrity::Sha256Cut,
            Protocol::Ah(ah) => ah.integrity == Integrity::Sha256Cut,
        };
        assert_eq!(child.text("sha256_96"), is_cut.then_some("yes"));
        assert!(child.0.get(other).is_none(), "ESP and AH would be alternatives");
        assert_eq!(list(child, "local_ts"), selectors(&wanted.local, wanted.next_layer.local()));
        assert_eq!(list(child, "remote_ts"), selectors(&wanted.remote, wanted.next_layer.remote()));
        let (life, rekey, rand) =
            (seconds(child, "life_time"), seconds(child, "rekey_time"), seconds(child, "rand_time"));
        assert!(life == c.lifetime.hard() && 0 < rand && rand < rekey && rekey < life);
        let bytes = ["rand_bytes", "rekey_bytes", "life_bytes"].map(|key| child.number::<u64>(key));
        let limit = c.native.child_rekey_bytes;
        assert_eq!(bytes.map(|bytes| bytes.is_some()), [limit > 0; 3]);
        assert_eq!(bytes[1].unwrap_or(0), limit);
        assert!(bytes.is_sorted_by(|a, b| a < b || (a, b) == (&None, &None)), "{bytes:?}");
        let answers = c.native.start_mode == StartMode::Respond || c.remote_addr == Remote::Anywhere;
        let action = if traps == Traps::Supported && !answers { "trap" } else { "none" };
        assert_eq!((child.text("start_action"), child.text("close_action")), (Some(action), Some("none")));
    }
}

/// The key of a protocol's proposal, that of the other, and the transforms.
fn proposal(protocol: Protocol) -> (&'static str, &'static str, Vec<Transform>) {
    let (keys, mut transforms, pfs) = match protocol {
        Protocol::Ah(ah) => {
            (("ah_proposals", "esp_proposals"), vec![("integrity", ah.integrity.row().iana, None)], ah.pfs)
        }
        Protocol::Esp(esp) => {
            let row = esp.encryption.row();
            let integrity = Some(("integrity", esp.integrity.row().iana, None)).filter(|_| !row.aead);
            let all = [("encryption", row.iana, row.key_bits)].into_iter().chain(integrity).collect();
            (("esp_proposals", "ah_proposals"), all, esp.pfs)
        }
    };
    transforms.extend(pfs.map(|group| ("group", group.row().number, None)));
    (keys.0, keys.1, transforms)
}

/// The secret: these bytes, for the peer alone.
fn check_secret(c: &Connection, request: &Request) {
    let Auth::Psk(psk) = &c.auth else { panic!("a key") };
    assert_eq!((request.command, request.body.text("type")), ("load-shared", Some("ike")));
    assert_eq!(request.body.text("id"), Some(format!("ike-cygnet-{}", c.id()).as_str()));
    assert!(request.body.bytes("data") == Some(psk.expose()), "another key");
    let owner = if c.key_owner == KeyOwner::Local { &c.local_id } else { &c.remote_id };
    assert_eq!(list(&request.body, "owners"), [owner.to_string()]);
}

/// Names are ours, and no two are the same.
fn check_names(c: &Connection) {
    let names = c.children.iter().map(|child| child.name.as_str()).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), c.children.len());
    for name in names {
        let digits = name.strip_prefix(&format!("cygnet-{}-", c.id())).expect("the connection's name in front");
        assert!(digits.len() == 8 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{name}");
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn the_file_gives_every_value_back(
        c in generate::connection(),
        traps in select(vec![Traps::Supported, Traps::Unsupported]),
    ) {
        let requests = requests(&c, traps);
        let native = &c.native;
        let (secrets, conn) = requests.split_at(requests.len() - 1);
        prop_assert_eq!(secrets.len(), 1 + usize::from(native.ppk.is_some()));
        check_secret(&c, &secrets[0]);
        if let (Some(ppk), Some(id)) = (&native.ppk, &native.ppk_id) {
            let body = &secrets[1].body;
            prop_assert_eq!((body.text("type"), body.bytes("data")), (Some("ppk"), Some(ppk.expose())));
            prop_assert!(body.items("owners").eq([id.as_str()]));
        }
        let name = format!("cygnet-{}", c.id());
        prop_assert_eq!(conn[0].command, "load-conn");
        prop_assert!(conn[0].body.0.keys().eq([&name]));
        let body = conn[0].body.section(&name).expect("the connection");
        prop_assert_eq!(body.text("ppk_id"), native.ppk_id.as_deref());
        let required = native.ppk_id.as_ref().map(|_| if native.ppk_optional { "no" } else { "yes" });
        prop_assert_eq!(body.text("ppk_required"), required);
        check_ike(&c, body);
        check_children(&c, body, traps);
        check_names(&c);
        prop_assert!(Loadable::new(&c, traps).is_ok_and(|l| l.requests == requests));
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_without_a_panic(
        c in generate::connection(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof![Just("\n"), Just("}"), Just("{"), Just("\""), Just("#"), Just(" "), Just("é"), Just("include x")],
    ) {
        let text = conf::render(&c, Traps::Supported).expect("renders");
        let text = text.expose();
        let at = text.floor_char_boundary(at.index(text.len()));
        if let Ok(file) = conf::parse(&format!("{}{with}{}", &text[..at], &text[at..])) {
            let _ = requests::load(&file, &[]);
        }
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_quoted_text_is_refused_or_comes_back_exactly(text in generate::text()) {
        let mut quoted = String::new();
        Quoted.write_escaped_str(&mut quoted, &text).expect("written");
        let file = conf::parse(&format!("a {{\n  x = \"{quoted}\"\n}}\n"));
        match file {
            Ok(file) => prop_assert_eq!(file.section("a").and_then(|a| a.bytes("x")), Some(text.as_bytes())),
            // strongSwan cuts a value there (facts 1.1).
            Err(_) => prop_assert!(text.contains('\0')),
        }
    }

    #[test]
    fn parsing_arbitrary_text_does_not_panic(text in prop_oneof![generate::text(), "([a-z{}\"#=.\\\\ ]{0,6}\n?){0,12}"]) {
        if let Ok(file) = conf::parse(&text) {
            let _ = requests::load(&file, &[]);
        }
    }
}

/// The table of strongSwan's escapes (facts 1.1): both ways would agree on a wrong one too.
#[test]
fn escapes_are_strongswans() {
    let mut quoted = String::new();
    Quoted.write_escaped_str(&mut quoted, "\"\\\n\r\t#{}$é").expect("written");
    assert_eq!(quoted, r#"\"\\\n\r\t#{}$é"#);
}

//! Each option of the table, followed through the program by its example: read, stored, shown, kept, rendered.

use super::{case, coverage};
use cygnet::{
    http::{
        Envelope,
        error::Failure,
        inventory::inventory,
        options::{Json, LeftOut, OPTIONS, Row, chosen},
        parse,
    },
    ipsec::{Psk, native::Scope},
    settings::Gateway,
    store::{Record, format},
    strongswan::conf::{Traps, render},
};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an option needs beside it to be valid, or to show in the file.
fn beside(name: &str) -> Value {
    match name {
        "idType" => json!({ "remoteId": "198.51.100.77" }),
        "localIdType" | "remoteIdType" => json!({ "localId": "gw-a", "remoteId": "gw-b", "idType": "fqdn" }),
        "selectorLocalPort" | "selectorRemotePort" => json!({ "selectorProtocol": "udp" }),
        "postQuantum" => json!({ "ikeVersion": "ikev2" }),
        "postQuantumMode" => json!({ "ikeVersion": "ikev2", "postQuantum": "mlkem768" }),
        "ppkRequired" => json!({ "ikeVersion": "ikev2", "ppkId": "site-a", "ppk": "test-only-ppk" }),
        "policyMode" => json!({ "l3NetworkUuid": null, "peerCidrs": null }),
        _ => json!({}),
    }
}

fn now() -> Timestamp {
    "2026-01-02T15:04:05Z".parse().expect("a time")
}

/// A Create that leaves out all options, with these members in addition.
fn create(gateway: &Gateway, more: &[&Value]) -> Record {
    let network = gateway.l3_networks.first().expect("a network");
    let mut members = json!({
        "name": "branch", "vipUuid": gateway.vips[0].uuid, "peerAddress": "198.51.100.2", "authKey": "test-only-key",
        "l3NetworkUuid": network.uuid, "peerCidrs": ["10.66.0.0/24", "10.67.0.0/24"],
        "resourceUuid": "c0000000000040008000000000000001",
    });
    for (name, value) in more.iter().flat_map(|more| more.as_object().expect("an object")) {
        members[name] = value.clone();
    }
    let body = json!({ "params": members }).to_string();
    let params = Envelope::parse(body.as_bytes()).and_then(|envelope| envelope.params("params"));
    params.and_then(|params| parse::create(&params, gateway, now())).unwrap_or_else(|e| panic!("{members}: {e:?}"))
}

/// What a Change with these members makes of `record`, which keeps the rest.
fn kept(record: &Record, gateway: &Gateway, members: &Value) -> Record {
    change_of(record, gateway, members).unwrap_or_else(|e| panic!("{members}: {e:?}"))
}

fn change_of(record: &Record, gateway: &Gateway, members: &Value) -> Result<Record, Failure> {
    let body = json!({ "changeIPsecConnection": members }).to_string();
    let params = Envelope::parse(body.as_bytes()).and_then(|e| e.params("changeIPsecConnection"));
    params.and_then(|params| {
        let change = parse::change(&params, parse::MissingFields::Kept, Arc::new(gateway.clone()), now())?;
        change(record, now()).map_err(Failure::from)
    })
}

/// The values of all options of `record`, by name.
fn values(record: &Record) -> Map<String, Value> {
    OPTIONS.iter().map(|row| (row.name.to_owned(), row.value(&record.spec.options))).collect()
}

fn rendered(record: &Record) -> String {
    render(&record.connection, Traps::Supported).expect("it can be rendered").expose().to_owned()
}

/// The rows with an example that needs no other key.
fn rows() -> impl Iterator<Item = &'static Row> {
    OPTIONS.iter().filter(|row| !["authMode", "ppkId"].contains(&row.name))
}

#[test]
fn what_a_create_leaves_out_is_the_default_of_the_table() {
    let values = values(&create(&case::gateway(), &[]));
    for row in OPTIONS.iter() {
        assert_eq!(values[row.name], row.default(), "{}", row.name);
    }
}

#[test]
fn each_option_is_read_stored_kept_and_rendered() {
    let gateway = case::gateway();
    for row in rows() {
        let (name, example) = (row.name, row.json(row.example));
        let beside = beside(name);
        let (without, with) = (create(&gateway, &[&beside]), create(&gateway, &[&beside, &json!({ name: example })]));
        assert_ne!(row.default(), example, "{name}: the example is the default");
        assert_eq!(values(&with)[name], example, "{name} is read");
        let others = |record: &Record| {
            let mut values = values(record);
            values.remove(name);
            values
        };
        assert_eq!(others(&with), others(&without), "{name} is no other option");
        let stored = format::to_bytes(&with).expect("it can be stored");
        assert_eq!(format::from_bytes(&stored).as_ref(), Ok(&with), "{name} is stored");
        assert_eq!(values(&kept(&with, &gateway, &json!({}))), values(&with), "{name} is kept");
        let changed = kept(&without, &gateway, &json!({ name: example }));
        assert_eq!(values(&changed), values(&with), "a Change takes {name} alone");
        let is_rendered = row.native().is_none_or(|option| option.scope != Scope::Nothing);
        assert_eq!(rendered(&with) != rendered(&without), is_rendered, "{name} shows in the file");
        let shows = |record: Record| {
            let view = cygnet::agent::View { record: Arc::new(record), running: Some(Vec::new()), discount: None };
            inventory(&view, false, &TimeZone::UTC)[name].clone()
        };
        assert!(!chosen(&without.spec.options).contains_key(name), "{name} is not listed at its default");
        if row.native().is_some() {
            assert_eq!(chosen(&with.spec.options).get(name), Some(&example), "{name} is listed");
            let tag = json!({ "systemTags": [format!("cygnet::{name}::{}", row.example)] });
            let tagged = create(&gateway, &[&beside, &tag]);
            assert_eq!(values(&tagged), values(&with), "{name} is set by its tag");
            assert_eq!(json!(tagged.spec.names.system_tags), tag["systemTags"], "the tag of {name} is stored as it is");
            assert_eq!(
                values(&kept(&without, &gateway, &tag)),
                values(&with),
                "a Change takes the tag of {name} alone"
            );
            assert_eq!(
                values(&kept(&tagged, &gateway, &json!({}))),
                values(&with),
                "what the tag of {name} set is kept"
            );
            let member = create(&gateway, &[&beside, &tag, &json!({ name: row.default() })]);
            assert_eq!(values(&member), values(&without), "the member {name} counts more than its tag");
        }
        assert_eq!(shows(with), if row.shown { example } else { Value::Null }, "{name} in the inventory");
    }
}

/// A PPK is read, stored, kept with its name, rendered and taken away; nothing shows it.
#[test]
fn a_ppk_goes_with_its_name() {
    let gateway = case::gateway();
    let all = json!({ "ikeVersion": "ikev2", "ppkId": "site-a", "ppk": "0x746573742d6f6e6c792d70706b", "ppkRequired": false });
    let record = create(&gateway, &[&all]);
    let native = &record.spec.options.native;
    assert_eq!(native.ppk.as_ref().map(Psk::expose), Some(&b"test-only-ppk"[..]), "0x begins hexadecimal digits");
    let stored = format::to_bytes(&record).expect("it can be stored");
    assert_eq!(format::from_bytes(&stored).as_ref(), Ok(&record));
    assert!(rendered(&record).contains("  ppk-cygnet-c0000000000040008000000000000001 {\n    id-1 = \"site-a\"\n"));
    assert!(!chosen(&record.spec.options).values().any(|value| value.to_string().contains("test-only")));
    assert_eq!(kept(&record, &gateway, &json!({ "lifeTime": 1800 })).spec.options.native, *native, "it is kept");
    let text = kept(&record, &gateway, &json!({ "ppk": "test-only-ppk" }));
    assert_eq!(text.connection, record.connection, "the same key as a text");
    let other = kept(&record, &gateway, &json!({ "ppk": "test-only-other" }));
    assert_ne!(other.connection.ike_generation, record.connection.ike_generation, "another key is another IKE_SA");
    let none = kept(&record, &gateway, &json!({ "ppkId": "" }));
    assert!(none.spec.options.native.ppk.is_none() && !rendered(&none).contains("ppk"), "it goes with its name");
    let refused =
        change_of(&record, &gateway, &json!({ "ppkId": "site-b" })).expect_err("another name has another key");
    assert!(format!("{refused:?}").contains("ppk"), "{refused:?}");
    for tag in ["cygnet::ppk::test-only-leak", "cygnet:: PPK ::test-only-leak", "cygnet::ppk:test-only-leak"] {
        let said = refusal(&[tag]);
        assert!(said.contains("tags are shown") && !said.contains("leak"), "{said}");
    }
    let tags = json!({ "ikeVersion": "ikev2", "ppk": "test-only-ppk", "systemTags": ["cygnet::ppkId::site-a"] });
    assert_eq!(create(&gateway, &[&tags]).spec.options.native.ppk_id.as_deref(), Some("site-a"));
}

#[test]
fn each_option_is_in_a_golden_folder_and_the_refused_ones_too() {
    let cases = case::all();
    let taken = coverage::occurring(&cases);
    let refused = coverage::refused(&cases.into_iter().filter(case::Case::is_refused).collect::<Vec<_>>());
    let document = include_str!("../../../docs/api/zstack.md");
    for row in OPTIONS.iter() {
        let is_ours = matches!(row.left_out, LeftOut::Kept);
        assert!(!is_ours || document.contains(&format!("`{}`", row.name)), "docs/api/zstack.md has no {}", row.name);
        assert!(taken.iter().any(|(_, field, _)| field == row.name), "no golden request has {}", row.name);
        let is_refused = refused.iter().any(|(field, _)| field == row.name);
        assert!(is_refused, "no golden request that is refused has {}", row.name);
        if let Json::Range(low, high) = row.json {
            for bound in [low, high] {
                let has = taken.iter().any(|(_, field, value)| field == row.name && *value == bound.to_string());
                assert!(has, "no golden request has {} at {bound}", row.name);
            }
        }
    }
}

/// What the tags `tags` of a Create are refused with.
fn refusal(tags: &[&str]) -> String {
    let gateway = case::gateway();
    let body = json!({ "params": {
        "name": "branch", "vipUuid": gateway.vips[0].uuid, "peerAddress": "198.51.100.2", "authKey": "test-only-key",
        "systemTags": tags,
    } });
    let params = Envelope::parse(body.to_string().as_bytes()).and_then(|envelope| envelope.params("params"));
    match params.and_then(|params| parse::create(&params, &gateway, now())) {
        Err(failure) => format!("{failure:?}"),
        Ok(_) => panic!("{tags:?} are taken"),
    }
}

#[test]
fn a_tag_that_sets_nothing_is_refused() {
    for row in OPTIONS.iter().filter(|row| row.native().is_some()) {
        let tag = format!("cygnet::{}::no such value", row.name);
        let said = refusal(&[&tag]);
        assert!(said.contains(row.name), "{said}");
        let other = row.default().to_string();
        let tags = [row.example, other.trim_matches('"')].map(|value| format!("cygnet::{}::{value}", row.name));
        let said = refusal(&[&tags[0], &tags[1]]);
        assert!(said.contains("say different things"), "{said}");
    }
    assert!(refusal(&["cygnet::spilt::pairs"]).contains("did you mean split?"));
    for tag in ["cygnet::", "cygnet::split", "cygnet::ikeVersion::ikev1"] {
        refusal(&[tag]);
    }
}

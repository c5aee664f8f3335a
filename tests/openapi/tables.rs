//! Valid values, ranges, defaults and members in the document against the tables of the model and of the API; where a
//! table is out of reach, against what the agent answers.

use super::document::{document, operations};
use crate::serve::{Bench, change, params, uuid};
use cygnet::{
    http::{
        CLASSES,
        inventory::MEMBERS,
        options::{ID_TYPES, IKE_VERSIONS, Json, LeftOut, MODES, OPTIONS},
        parse::limits::{MAX_LIST, MAX_PSK, MAX_TAG, MAX_TAGS},
    },
    ipsec::{
        Certs, Integrity, Lifetime,
        algorithm::{DH_GROUP, ENCRYPTION, INTEGRITY},
    },
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The properties of a schema, with those of its parts.
fn properties(document: &Value, schema: &Value) -> Map<String, Value> {
    let schema = schema["$ref"].as_str().map_or(schema, |pointer| document.pointer(&pointer[1..]).expect("there"));
    let mut found = schema["properties"].as_object().cloned().unwrap_or_default();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        found.extend(properties(document, part));
    }
    found
}

fn component(document: &Value, name: &str) -> Map<String, Value> {
    properties(document, &document["components"]["schemas"][name])
}

/// The request bodies: method, path, the key of the parameters, and these.
fn bodies(document: &Value) -> Vec<(String, String, String, Map<String, Value>)> {
    let mut found = Vec::new();
    for (path, method, operation) in operations(document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let all = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        for (key, inner) in all.iter().flat_map(|schema| properties(document, schema)) {
            if inner["type"] != "array" && inner["$ref"] != "#/components/schemas/Tags" {
                found.push((method.to_uppercase(), path.into(), key, properties(document, &inner)));
            }
        }
    }
    found
}

#[test]
fn options_are_those_of_the_table() {
    let document = document();
    let (options, inventory) = (component(&document, "Options"), component(&document, "Inventory"));
    let names = OPTIONS.iter().map(|row| row.name).collect::<BTreeSet<_>>();
    assert_eq!(options.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    for row in OPTIONS.iter() {
        let (name, member) = (row.name, &options[row.name]);
        let of = match row.json {
            Json::Text => "string",
            Json::Number | Json::Range(..) => "integer",
            Json::Switch => "boolean",
        };
        assert_eq!(member["type"], of, "{name}");
        if let Json::Range(low, high) = row.json {
            assert_eq!((&member["minimum"], &member["maximum"]), (&json!(low), &json!(high)), "{name}");
        }
        let default = if matches!(row.left_out, LeftOut::Default(_)) { row.default() } else { Value::Null };
        assert_eq!(member["default"], default, "{name}");
        assert_eq!(inventory.contains_key(name), row.shown, "{name}");
        assert_eq!(MEMBERS.contains(&name), row.shown, "{name}");
    }
}

#[test]
fn valid_values_are_those_of_the_tables() {
    let document = document();
    let (options, inventory) = (component(&document, "Options"), component(&document, "Inventory"));
    let check = |name: &str, valid: Value| {
        assert_eq!(options[name]["enum"], valid, "{name}");
        assert_eq!(inventory[name]["enum"], valid, "{name}");
    };
    let encryption: Value = ENCRYPTION.iter().map(|row| row.wire).collect();
    let integrity: Value = INTEGRITY.iter().map(|row| row.wire).collect();
    check("ikeEncryptionAlgorithm", encryption.clone());
    check("policyEncryptionAlgorithm", encryption);
    check("ikeAuthAlgorithm", Integrity::of_ike().map(|row| row.wire).collect());
    check("policyAuthAlgorithm", integrity);
    check("idType", ID_TYPES.iter().map(|(word, _)| *word).collect());
    check("ikeVersion", IKE_VERSIONS.iter().map(|(word, _)| *word).collect());
    check("policyMode", MODES.iter().map(|(word, _)| *word).collect());
}

#[test]
fn groups_are_those_of_the_table() {
    let document = document();
    let (options, inventory) = (component(&document, "Options"), component(&document, "Inventory"));
    let numbers = || DH_GROUP.iter().map(|row| row.number);
    assert_eq!(inventory["ikeDhGroup"]["enum"], numbers().collect::<Value>());
    assert_eq!(options["ikeDhGroup"]["enum"], std::iter::once(0).chain(numbers()).collect::<Value>());
    let words = || std::iter::once("none").chain(DH_GROUP.iter().map(|row| row.wire));
    assert_eq!(inventory["pfs"]["enum"], words().collect::<Value>());
    assert_eq!(component(&document, "ChangeParams")["pfs"]["enum"], words().collect::<Value>());
    assert_eq!(component(&document, "CreateParams")["pfs"]["enum"], words().chain(["dh-group0"]).collect::<Value>());
}

#[test]
fn ranges_are_those_of_the_model() {
    let document = document();
    for name in ["Options", "Inventory"] {
        let members = component(&document, name);
        for (member, (low, high)) in [("ikeLifeTime", Lifetime::IKE), ("lifeTime", Lifetime::CHILD)] {
            assert_eq!((&members[member]["minimum"], &members[member]["maximum"]), (&json!(low), &json!(high)));
        }
    }
    let kinds = &document["components"]["schemas"]["AuthKey"]["anyOf"];
    assert_eq!([&kinds[0]["maxLength"], &kinds[1]["maxLength"]], [MAX_PSK, Certs::MAX]);
    let tags = &document["components"]["schemas"]["Tags"];
    assert_eq!([&tags["maxItems"], &tags["items"]["maxLength"]], [MAX_TAGS, MAX_TAG]);
    for (list, parameters) in
        [("peerCidrs", "CreateParams"), ("peerCidrs", "AddCidrs"), ("l3NetworkUuids", "AttachNetworks")]
    {
        let members = component(&document, parameters);
        let member = members.get(list).or_else(|| members["params"]["properties"].get(list));
        assert_eq!(member.expect(list)["maxItems"], MAX_LIST, "{parameters}");
    }
}

#[test]
fn members_are_those_of_the_inventory() {
    let document = document();
    let members = component(&document, "Inventory");
    assert_eq!(members.keys().collect::<Vec<_>>(), MEMBERS.iter().collect::<Vec<_>>());
    let schema = |name: &str| &document["components"]["parameters"][name]["schema"];
    assert_eq!(schema("fields")["items"]["enum"], json!(MEMBERS));
    assert_eq!(schema("groupBy")["enum"], json!(MEMBERS));
    assert_eq!(schema("sort")["pattern"], format!("^[+-]?({})$", MEMBERS.join("|")));
}

#[test]
fn codes_are_those_of_the_errors() {
    let literals = include_str!("../../src/http/error.rs").split('"');
    let codes: BTreeSet<_> = literals.filter(|text| text.starts_with("SYS.") || text.starts_with("ID.")).collect();
    let document = document();
    let described = component(&document, "Error")["code"]["enum"].clone();
    let described: BTreeSet<_> = described.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert_eq!(described, codes);
}

#[test]
fn every_parameter_that_the_wire_structs_know_is_described() {
    let document = document();
    let described: BTreeSet<_> =
        bodies(&document).into_iter().flat_map(|(.., parameters)| parameters).map(|(name, _)| name).collect();
    let fields = include_str!("../../src/http/wire.rs").lines().filter_map(|line| line.strip_prefix("    pub "));
    let camel = |name: &str| {
        let mut words = name.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |text, word| text + &word[..1].to_uppercase() + &word[1..])
    };
    for name in fields.filter_map(|field| field.split_once(':')).map(|(name, _)| camel(name)) {
        assert!(described.contains(&name), "{name}");
    }
}

#[test]
fn every_parameter_that_is_described_is_read() {
    let document = document();
    let bench = Bench::start();
    // Logging in by user always fails, whatever is said.
    for (method, path, key, parameters) in bodies(&document).into_iter().filter(|body| body.2 != "logInByUser") {
        for name in parameters.keys() {
            // No parameter is an object.
            let body = json!({ key.as_str(): { name.as_str(): {} } }).to_string();
            let answer = bench.ask(&method, &path.replace("{uuid}", &uuid(1)), body.as_bytes());
            assert!(answer.text().contains(&format!("[{name}]")), "{method} {path} {name}: {}", answer.text());
        }
    }
}

#[test]
fn words_are_those_that_the_agent_says_are_valid() {
    let document = document();
    let bench = Bench::start();
    let said = |name: &str| {
        let answer = bench.change(&uuid(1), &change(1, &json!({ name: "no such word" }))).expect(503).json();
        let details = answer["error"]["details"].as_str().expect("a text").to_owned();
        let list = details.split_once("] are [").and_then(|(_, rest)| rest.split_once("], but"));
        let (list, _) = list.unwrap_or_else(|| panic!("{name}: {details}"));
        list.split(", ").map(Value::from).collect::<Value>()
    };
    for (name, schema) in component(&document, "ChangeParams") {
        if schema["type"] != "integer" && schema["enum"].is_array() {
            assert_eq!(schema["enum"], said(&name), "{name}");
        }
    }
}

#[test]
fn defaults_are_what_is_stored() {
    let document = document();
    let bench = Bench::start();
    bench.create(&params(1, &json!({}))).expect(200);
    let inventory = bench.inventory(&uuid(1));
    for (name, schema) in component(&document, "Options") {
        if let Some(default) = schema.get("default") {
            assert_eq!(&inventory[&name], default, "{name}");
        }
    }
}

/// Each class of a message is described, and served by a call that there is.
#[test]
fn messages_are_those_of_the_table() {
    let document = document();
    let described = &document["components"]["schemas"]["MessageBody"]["propertyNames"]["enum"];
    assert_eq!(*described, CLASSES.iter().map(|class| class.name).collect::<Value>());
    let operations: BTreeSet<_> =
        operations(&document).iter().filter_map(|(.., said)| said["operationId"].as_str()).collect();
    for class in &CLASSES {
        assert!(operations.contains(class.operation), "{}", class.operation);
    }
}

//! Where the stored connections of two gateways differ: record by record, field by field. Of keys it knows only whether
//! they differ. Pure.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};

/// The form of what is compared. A gateway with another one runs another version of this program.
pub const FORM: u64 = 1;
/// Lists whose order means nothing.
const SETS: [&str; 5] = ["peerCidrs", "l3NetworkUuids", "localCidrs", "systemTags", "userTags"];

/// Two gateways beside each other.
pub struct Comparison {
    versions: [Value; 2],
    /// The addresses for which both are active. One of them at most should be.
    active_on_both: Vec<Value>,
    items: Vec<Item>,
    /// Why keys were not compared, if they were not.
    without_keys: Option<String>,
}

/// A connection of one of them, or of both.
struct Item {
    name: Value,
    uuids: [Option<String>; 2],
    fields: Vec<Value>,
}

impl Comparison {
    /// Compares what two gateways say of themselves. A connection is the one of the same uuid, else of the same name.
    ///
    /// # Errors
    /// When the other one says it in another form.
    pub fn of(here: &Value, there: &Value) -> Result<Self, String> {
        let version = |side: &Value| side["version"].as_str().unwrap_or("of an unknown version").to_owned();
        if there["form"] != FORM {
            return Err(format!(
                "it runs cygnet {}, which describes its connections otherwise than cygnet {} does here: install the same \
                 version on both",
                version(there),
                version(here)
            ));
        }
        let mut items = Vec::new();
        let (mut left, mut here_alone) = (by_uuid(there), Vec::new());
        for (uuid, connection) in by_uuid(here) {
            match left.remove(uuid) {
                Some(other) => items.push(Item::of_both(connection, other)),
                None => here_alone.push(connection),
            }
        }
        let (ours, theirs) = (by_name(here_alone.iter().copied()), by_name(left.into_values()));
        for (name, all) in &ours {
            match (all.as_slice(), theirs.get(name).map(Vec::as_slice)) {
                ([ours], Some([theirs])) => items.push(Item::of_both(ours, theirs)),
                (all, _) => items.extend(all.iter().map(|ours| Item::of_one(ours, 0))),
            }
        }
        for (name, all) in &theirs {
            if all.len() != 1 || ours.get(name).is_none_or(|ours| ours.len() != 1) {
                items.extend(all.iter().map(|theirs| Item::of_one(theirs, 1)));
            }
        }
        items.sort_by_cached_key(|item| (item.name.to_string(), item.uuids.clone()));
        let versions = [here, there].map(|side| side["version"].clone());
        let [ours, theirs] = [here, there].map(|side| side["active"].as_array().map_or(&[][..], Vec::as_slice));
        let active_on_both = ours.iter().filter(|vip| theirs.contains(vip)).cloned().collect();
        Ok(Self { versions, active_on_both, items, without_keys: None })
    }

    /// The connections whose keys are to be compared: for the uuid here the one there.
    #[must_use]
    pub fn pairs(&self) -> BTreeMap<String, String> {
        let pair = |item: &Item| Some((item.uuids[0].clone()?, item.uuids[1].clone()?));
        self.items.iter().filter_map(pair).collect()
    }

    /// Takes in whether keys differ: `same` or `differs` for each uuid there; or why nobody knows.
    pub fn learn_keys(&mut self, keys: Result<&Value, String>) {
        let keys = match keys {
            Ok(keys) => keys,
            Err(why) => return self.without_keys = Some(why),
        };
        for item in self.items.iter_mut().filter(|item| item.uuids.iter().all(Option::is_some)) {
            let verdict = item.uuids[1].as_deref().and_then(|uuid| keys[uuid].as_str());
            match verdict {
                Some("same") => {}
                Some("differs") => item.fields.push(json!({ "field": "authKey", "differs": true })),
                _ => self.without_keys = Some("the other gateway did not say it of all of them".to_owned()),
            }
        }
    }

    /// Whether they have the same connections, as far as was compared.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.items.iter().all(Item::is_same)
    }

    /// All of it, without those that are the same; `with` is where the other gateway is.
    #[must_use]
    pub fn json(&self, with: &str) -> Value {
        let differing: Vec<_> = self.items.iter().filter(|item| !item.is_same()).map(Item::json).collect();
        let [here, there] = &self.versions;
        json!({
            "same": self.is_same(), "with": with, "versions": { "here": here, "there": there },
            "compared": self.items.len(), "differing": differing.len(),
            "keys": { "compared": self.without_keys.is_none(), "why_not": self.without_keys },
            "active_on_both": self.active_on_both, "connections": differing,
        })
    }
}

impl Item {
    fn of_both(here: &Value, there: &Value) -> Self {
        let empty = Map::new();
        let [ours, theirs] = [here, there].map(|side| side.as_object().unwrap_or(&empty));
        let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name)));
        let differs = |name: &&String| {
            let of = |members: &Map<String, Value>| members.get(*name).map(|value| comparable(name, value));
            of(ours) != of(theirs)
        };
        let field = |name| json!({ "field": name, "here": here[name], "there": there[name] });
        let fields = names.filter(differs).map(|name| field(name.as_str())).collect();
        Self { name: here["name"].clone(), uuids: [here, there].map(|side| Some(uuid_of(side))), fields }
    }

    fn of_one(connection: &Value, side: usize) -> Self {
        let mut uuids = [None, None];
        uuids[side] = Some(uuid_of(connection));
        Self { name: connection["name"].clone(), uuids, fields: Vec::new() }
    }

    fn what(&self) -> &'static str {
        match &self.uuids {
            [Some(_), Some(_)] => "differs",
            [_, None] => "only_here",
            [None, _] => "only_there",
        }
    }

    fn is_same(&self) -> bool {
        self.fields.is_empty() && self.uuids.iter().all(Option::is_some)
    }

    fn json(&self) -> Value {
        let uuid = self.uuids.iter().flatten().next();
        json!({ "name": self.name, "uuid": uuid, "what": self.what(), "fields": self.fields })
    }
}

fn uuid_of(connection: &Value) -> String {
    connection["uuid"].as_str().unwrap_or_default().to_owned()
}

fn list(side: &Value) -> impl Iterator<Item = &Value> {
    side["connections"].as_array().into_iter().flatten()
}

fn by_uuid(side: &Value) -> BTreeMap<&str, &Value> {
    list(side).map(|connection| (connection["uuid"].as_str().unwrap_or_default(), connection)).collect()
}

fn by_name<'a>(all: impl Iterator<Item = &'a Value>) -> HashMap<&'a str, Vec<&'a Value>> {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    for connection in all {
        names.entry(connection["name"].as_str().unwrap_or_default()).or_default().push(connection);
    }
    names
}

/// A value of which the order is left out where it means nothing, and of a transition its end: two gateways are changed
/// one after the other.
fn comparable(name: &str, value: &Value) -> Value {
    match value {
        Value::String(_) if name == "transition" => true.into(),
        Value::Array(items) if SETS.contains(&name) => {
            let mut items: Vec<_> = items.iter().map(Value::to_string).collect();
            items.sort();
            items.into()
        }
        value => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(connections: &Value) -> Value {
        json!({ "form": FORM, "version": "1", "connections": connections })
    }

    #[test]
    fn a_connection_is_the_one_of_its_uuid_else_of_its_name() {
        let here = gateway(&json!([
            { "uuid": "1", "name": "a", "peerCidrs": ["x", "y"], "ikeDhGroup": 14 },
            { "uuid": "2", "name": "b", "description": "here" },
            { "uuid": "3", "name": "c" },
            { "uuid": "4", "name": "d" }, { "uuid": "5", "name": "d" },
        ]));
        let there = gateway(&json!([
            { "uuid": "1", "name": "renamed", "peerCidrs": ["y", "x"], "ikeDhGroup": 19 },
            { "uuid": "9", "name": "b" },
            { "uuid": "6", "name": "d" },
        ]));
        let mut found = Comparison::of(&here, &there).expect("comparable");
        let pairs = [("1", "1"), ("2", "9")].map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
        assert_eq!(found.pairs(), pairs.into());
        found.learn_keys(Ok(&json!({ "1": "same", "9": "differs" })));
        let told = found.json("there");
        assert_eq!((&told["same"], &told["compared"], &told["differing"]), (&json!(false), &json!(6), &json!(6)));
        let of = |at: usize| {
            let fields = told["connections"][at]["fields"].as_array().expect("a list").iter();
            let fields: Vec<_> = fields.map(|field| field["field"].as_str().expect("a name")).collect();
            (told["connections"][at]["what"].as_str().expect("a word"), fields)
        };
        assert_eq!(of(0), ("differs", vec!["name", "ikeDhGroup"]));
        assert_eq!(of(1), ("differs", vec!["uuid", "description", "authKey"]));
        assert_eq!([of(2).0, of(3).0, of(4).0, of(5).0], ["only_here", "only_there", "only_here", "only_here"]);
    }

    #[test]
    fn keys_that_nobody_compared_are_said() {
        let side = gateway(&json!([{ "uuid": "1", "name": "a" }]));
        for (keys, compared) in
            [(Ok(&json!({ "1": "same" })), true), (Ok(&json!({})), false), (Err("no".to_owned()), false)]
        {
            let mut found = Comparison::of(&side, &side).expect("comparable");
            found.learn_keys(keys);
            assert!(found.is_same());
            assert_eq!(found.json("there")["keys"]["compared"], compared);
        }
    }

    #[test]
    fn what_both_are_active_for_is_named() {
        let of = |active: &[&str]| json!({ "form": FORM, "version": "1", "active": active, "connections": [] });
        let found = |there: &Value| {
            let found = Comparison::of(&of(&["192.0.2.1", "192.0.2.2"]), there).expect("comparable");
            (found.is_same(), found.json("there")["active_on_both"].clone())
        };
        assert_eq!(found(&of(&["192.0.2.3"])), (true, json!([])));
        assert_eq!(found(&of(&["192.0.2.2", "192.0.2.3"])), (true, json!(["192.0.2.2"])));
        // An older one does not say it.
        assert_eq!(found(&gateway(&json!([]))), (true, json!([])));
    }

    #[test]
    fn another_form_is_another_version() {
        let here = gateway(&json!([]));
        for there in [json!({ "form": 2, "version": "9.9" }), json!({}), json!([])] {
            let why = Comparison::of(&here, &there).err().expect("refused");
            assert!(why.contains("install the same version"), "{why}");
        }
    }
}

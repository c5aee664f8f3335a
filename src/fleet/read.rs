//! What planes read: one spec, all specs with what the gateways say of them, and what changes.

use super::{
    agent, names,
    state::{State, why},
    stop::{Result, Stop, print, print_json, print_table},
    write::{Plane, Target, masked},
};
use etcd_client::{EventType, KeyValue, WatchOptions};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A spec of which only what a list shows is read: there are many.
pub struct Spec {
    bytes: Vec<u8>,
    brief: Brief,
    revision: i64,
}

/// What a list shows of a spec.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Brief {
    name: Value,
    peer_address: Value,
    state: Value,
}

/// A connection of the fleet.
pub struct Item {
    /// Its place.
    pub target: Target,
    /// Its spec; none if it is foreign.
    pub spec: Option<Spec>,
    /// What its gateway says.
    pub status: Option<Value>,
}

impl Item {
    /// What is to be said of it.
    pub fn state(&self) -> State {
        let spec = self.spec.as_ref().map(|spec| (spec.revision, spec.brief.state == "Disabled"));
        let (revision, is_disabled) = spec.unwrap_or_default();
        State::of(revision, is_disabled, self.status.as_ref())
    }

    fn json(&self) -> Value {
        let (spec, revision) = match &self.spec {
            Some(spec) => (json!(masked(agent::parse(&spec.bytes).unwrap_or_default())), spec.revision),
            None => (Value::Null, 0),
        };
        let Target { gateway, uuid } = &self.target;
        json!({ "gateway": gateway, "uuid": uuid, "revision": revision, "state": self.state().name(), "spec": spec,
                "status": self.status })
    }

    fn row(&self) -> Vec<String> {
        let state = self.state();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (name, peer, revision) = match (&self.spec, &self.status) {
            (Some(spec), _) => (text(&spec.brief.name), text(&spec.brief.peer_address), spec.revision.to_string()),
            // A foreign one says its name.
            (None, status) => {
                (status.as_ref().map(|status| text(&status["name"])).unwrap_or_default(), String::new(), String::new())
            }
        };
        let Target { gateway, uuid } = &self.target;
        vec![gateway.clone(), uuid.clone(), name, peer, revision, state.name().into(), why(state, self.status.as_ref())]
    }
}

/// All connections, or those of one gateway.
pub async fn items(plane: &mut Plane, gateway: Option<&str>) -> Result<Vec<Item>> {
    let prefixes = match gateway {
        Some(gateway) => {
            names::check_gateway(gateway).map_err(Stop::failed)?;
            vec![names::specs(gateway), names::statuses(gateway)]
        }
        None => vec![names::ROOT.to_owned()],
    };
    let mut items: BTreeMap<Target, Item> = BTreeMap::new();
    for prefix in prefixes {
        for key in plane.etcd.list(&prefix, false).await?.keys {
            let Some((gateway, kind, part)) = names::split(key.key()) else { continue };
            let target = Target { gateway: gateway.into(), uuid: part.into() };
            let item = |target: &Target| Item { target: target.clone(), spec: None, status: None };
            match kind {
                // What is no object is shown as an empty one; its gateway says that it refuses it.
                "spec" => {
                    let (revision, (_, bytes)) = (key.mod_revision(), key.into_key_value());
                    let brief = serde_json::from_slice(&bytes).unwrap_or_default();
                    items.entry(target).or_insert_with_key(item).spec = Some(Spec { bytes, brief, revision });
                }
                "status" => {
                    let status = serde_json::from_slice(key.value()).ok();
                    items.entry(target).or_insert_with_key(item).status = status;
                }
                _ => {}
            }
        }
    }
    Ok(items.into_values().collect())
}

/// `cygnet-fleet get`.
pub async fn get(plane: &mut Plane, target: &Target) -> Result<()> {
    let stored = plane.stored(target).await?.ok_or_else(|| Stop::failed(format!("{target} has no spec")))?;
    let spec = agent::parse(stored.value()).map_err(Stop::failed)?;
    let Target { gateway, uuid } = target;
    print_json(&json!({ "gateway": gateway, "uuid": uuid, "revision": stored.mod_revision(),
                        "generation": stored.version(), "spec": masked(spec) }))
}

/// `cygnet-fleet list`.
pub async fn list(plane: &mut Plane, gateway: Option<&str>, as_json: bool) -> Result<()> {
    let items = items(plane, gateway).await?;
    if as_json {
        return print_json(&json!({ "connections": items.iter().map(Item::json).collect::<Vec<_>>() }));
    }
    let rows: Vec<_> = items.iter().map(Item::row).collect();
    print_table(&["GATEWAY", "UUID", "NAME", "PEER", "REVISION", "STATE", "WHY"], &rows)
}

/// `cygnet-fleet status`: counts, or one connection in full.
pub async fn status(plane: &mut Plane, target: Option<&str>, as_json: bool) -> Result<()> {
    if let Some(text) = target.filter(|text| text.contains('/')) {
        let target: Target = text.parse().map_err(|error| Stop::failed(format!("{text}: {error}")))?;
        let found = items(plane, Some(&target.gateway)).await?.into_iter().find(|item| item.target == target);
        return match found {
            Some(item) => print_json(&item.json()),
            None => Err(Stop::failed(format!("{target} has no spec and no status"))),
        };
    }
    let mut counts: BTreeMap<String, BTreeMap<State, usize>> = BTreeMap::new();
    for item in items(plane, target).await? {
        *counts.entry(item.target.gateway.clone()).or_default().entry(item.state()).or_default() += 1;
    }
    let count = |states: &BTreeMap<State, usize>, state: State| states.get(&state).copied().unwrap_or(0);
    if as_json {
        let one = |states: &BTreeMap<State, usize>| {
            State::ALL.iter().map(|state| (state.name().to_owned(), json!(count(states, *state)))).collect()
        };
        let all: Map<String, Value> = counts.iter().map(|(gateway, states)| (gateway.clone(), one(states))).collect();
        return print_json(&json!({ "gateways": all }));
    }
    let rows: Vec<_> = counts
        .iter()
        .map(|(gateway, states)| {
            let cells = State::ALL.iter().map(|state| count(states, *state).to_string());
            std::iter::once(gateway.clone()).chain(cells).collect()
        })
        .collect();
    print_table(&["GATEWAY", "READY", "DISABLED", "DOWN", "PENDING", "REFUSED", "UNKNOWN", "FOREIGN"], &rows)
}

/// `cygnet-fleet watch`: a line for each change, until nobody reads.
pub async fn watch(plane: &mut Plane, gateway: Option<&str>, as_json: bool) -> Result<()> {
    let prefix = gateway.map_or_else(|| names::ROOT.to_owned(), |gateway| format!("{}{gateway}/", names::ROOT));
    let options = WatchOptions::new().with_range(names::end_of(&prefix)).with_fragment();
    let stream = plane.etcd.client.watch_client().watch(prefix, Some(options)).await;
    let mut stream = stream.map_err(|error| plane.etcd.failed(&error))?;
    while let Some(answer) = stream.message().await.map_err(|error| plane.etcd.failed(&error))? {
        if answer.canceled() {
            return Err(Stop::failed(format!("etcd cancels the watch: {}", answer.cancel_reason())));
        }
        for event in answer.events() {
            let Some(line) = event.kv().and_then(|key| line(event.event_type(), key, as_json)) else { continue };
            if !print(&line)? {
                return Ok(());
            }
        }
    }
    Err(Stop::failed("etcd ends the watch"))
}

fn line(event: EventType, key: &KeyValue, as_json: bool) -> Option<String> {
    let (gateway, kind, uuid) = names::split(key.key()).filter(|(_, kind, _)| ["spec", "status"].contains(kind))?;
    let value = match event {
        EventType::Put => masked(agent::parse(key.value()).unwrap_or_default()).into(),
        EventType::Delete => Value::Null,
    };
    let revision = key.mod_revision();
    if as_json {
        let line = json!({ "gateway": gateway, "uuid": uuid, "kind": kind, "revision": revision, "value": value });
        return Some(cygnet::visible::visible_json(&line.to_string()) + "\n");
    }
    let what = match (kind, event) {
        ("spec", EventType::Put) => "is written".to_owned(),
        ("spec", EventType::Delete) => "is deleted".to_owned(),
        (_, EventType::Delete) => "has no status any more".to_owned(),
        _ => {
            let state = State::of(0, false, Some(&value));
            format!("{} at revision {} {}", state.name(), value["revision"], why(state, Some(&value)))
        }
    };
    Some(cygnet::visible::visible(format!("{revision} {gateway}/{uuid} {}", what.trim_end()).as_str()) + "\n")
}

//! The subcommands that write: their requests, and the result for the tunnel.

use super::{
    args::OneArgs,
    ask,
    client::Client,
    look::safe,
    select::{self, encoded},
    stop::{Result, Stop, print, print_json},
    up,
    values::vip,
    write_args::{CreateArgs, DeleteArgs, NetworksArgs, ReconnectArgs, UpdateArgs, WriteArgs, WriteOptions},
};
use hyper::Method;
use serde_json::{Value, json};

/// Where the contract has its connections.
pub const PATH: &str = "/zstack/v1/ipsec";

/// The parameter by which all connections that share a key get another one.
pub const TOGETHER: &str = "together=true";

/// A write of a connection that is stored.
pub struct Write<'a> {
    /// Its uuid.
    pub uuid: &'a str,
    /// How it is sent.
    pub method: Method,
    /// Behind [`PATH`], with a query if it has one.
    pub path: String,
    /// What is sent.
    pub body: Option<Value>,
    /// What the agent does meanwhile.
    pub doing: &'a str,
    /// What was done.
    pub done: &'a str,
}

impl Write<'_> {
    /// Sends it, and tells what became of the tunnel.
    pub fn run(self, client: &Client, how: &WriteOptions) -> Result<()> {
        let wait = how.wait.as_deref().map(up::time).transpose()?;
        let path = format!("{PATH}{}", with_query(self.path, how));
        let doing = format!("{} {}", self.doing, self.uuid);
        let answer = client.write(self.method, &path, self.body.as_ref(), &doing)?;
        up::finish(client, answer, self.done, wait, how.json.json)
    }
}

/// `path` with the parameters that say how a write is done.
pub fn with_query(mut path: String, how: &WriteOptions) -> String {
    let confirm = how.confirm.as_deref().map(|time| format!("confirm={}", encoded(time)));
    let immediate = how.immediate.then(|| "immediate=true".to_owned());
    let rehearse = how.rehearse.then(|| "rehearse=true".to_owned());
    let together = how.together.then(|| TOGETHER.to_owned());
    for parameter in [confirm, immediate, rehearse, together].into_iter().flatten() {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&parameter);
    }
    path
}

/// `cygnet create`.
pub fn create(client: &Client, args: &CreateArgs) -> Result<()> {
    if args.values.auth_key_file.is_none() {
        return Err(Stop::usage("a connection needs a key").hint("add --auth-key-file FILE"));
    }
    let mut params = args.values.members(&[])?;
    params.insert("name".into(), args.name.as_str().into());
    params.insert("peerAddress".into(), args.peer.as_str().into());
    let vip = args.vip.clone().map_or_else(|| vip(&client.gateway, &args.peer), Ok)?;
    params.insert("vipUuid".into(), vip.into());
    if let Some(text) = &args.network {
        params.insert("l3NetworkUuid".into(), text.as_str().into());
    }
    if !args.peer_cidr.is_empty() {
        params.insert("peerCidrs".into(), json!(args.peer_cidr));
    }
    for (name, value) in [("description", &args.description), ("resourceUuid", &args.uuid)] {
        if let Some(value) = value {
            params.insert(name.into(), value.as_str().into());
        }
    }
    let body = Some(json!({ "params": params }));
    let (uuid, path) = (args.name.as_str(), String::new());
    Write { uuid, method: Method::POST, path, body, doing: "creating", done: "created" }.run(client, &args.how)
}

/// `cygnet update`: only texts for people, so no tunnel is waited for.
pub fn update(client: &Client, args: &UpdateArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let mut params = json!({});
    for (name, value) in [("name", &args.name), ("description", &args.description)] {
        if let Some(value) = value {
            params[name] = value.as_str().into();
        }
    }
    let body = json!({ "updateIPsecConnection": params });
    let answer = client.write(Method::PUT, &format!("{PATH}/{uuid}"), Some(&body), "updating")?;
    if args.json.json {
        return print_json(&answer);
    }
    let name = answer["inventory"]["name"].as_str().unwrap_or_default();
    print(&format!("updated {} ({uuid})\n", safe(name))).map(drop)
}

/// `cygnet delete`.
pub fn delete(client: &Client, args: &DeleteArgs) -> Result<()> {
    if !args.yes {
        ask::must_be_possible()?;
    }
    let uuid = select::uuid(client, &args.which.connection)?;
    if !args.yes {
        let answer = client.get(&format!("{PATH}/{uuid}"))?;
        let inventory = &answer["inventories"][0];
        let text = |name: &str| safe(inventory[name].as_str().unwrap_or("?"));
        let page = format!("{} ({uuid}) to {} is {}.\n", text("name"), text("peerAddress"), text("status"));
        ask::confirmed(&page, "Delete it and close its tunnel?")?;
    }
    let mode = if args.enforce { "?deleteMode=Enforcing" } else { "" };
    let answer = client.write(Method::DELETE, &format!("{PATH}/{uuid}{mode}"), None, "deleting")?;
    if args.json.json {
        return print_json(&answer);
    }
    print(&format!("deleted {uuid}\n"))?;
    up::warn(&answer);
    Ok(())
}

/// `cygnet reconnect`.
pub fn reconnect(client: &Client, args: &ReconnectArgs) -> Result<()> {
    let Some(connection) = &args.connection else { return reconnect_all_changed(client, args.how.json.json) };
    let body = json!({ "reconnectIPsecConnection": {} });
    act(client, connection, &args.how, body, ("reconnecting", "reconnected"))
}

/// `cygnet reconnect --all-changed`.
fn reconnect_all_changed(client: &Client, as_json: bool) -> Result<()> {
    let answer = client.write(Method::POST, "/cygnet/v1/reconnect-all-changed", None, "reconnecting what changed")?;
    let items = answer["reconnected"].as_array().map_or(&[][..], Vec::as_slice);
    if as_json {
        print_json(&answer)?;
    } else {
        let line = |item: &Value| {
            let text = |value: &Value| safe(value.as_str().unwrap_or_default());
            let outcome = if item["error"].is_null() {
                "reconnected".to_owned()
            } else {
                format!("not reconnected: {}", text(&item["error"]["details"]))
            };
            format!("{} ({}): {outcome}\n", text(&item["name"]), text(&item["uuid"]))
        };
        let nothing = if items.is_empty() { "all connections match the settings\n" } else { "" };
        print(&(items.iter().map(line).collect::<String>() + nothing))?;
    }
    match items.iter().filter(|item| !item["error"].is_null()).count() {
        0 => Ok(()),
        count => Err(Stop::failed(format!("{count} of {} connections were not reconnected", items.len()))),
    }
}

/// `cygnet enable`.
pub fn enable(client: &Client, args: &WriteArgs) -> Result<()> {
    act(client, &args.which.connection, &args.how, state("enable"), ("enabling", "enabled"))
}

/// `cygnet disable`: there is no tunnel to wait for.
pub fn disable(client: &Client, args: &OneArgs) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let answer = client.write(Method::PUT, &format!("{PATH}/{uuid}/actions"), Some(&state("disable")), "disabling")?;
    up::finish(client, answer, "disabled", None, args.json.json)
}

fn state(event: &str) -> Value {
    json!({ "changeIPSecConnectionState": { "stateEvent": event } })
}

fn act(client: &Client, connection: &str, how: &WriteOptions, body: Value, (doing, done): (&str, &str)) -> Result<()> {
    let uuid = select::uuid(client, connection)?;
    let path = format!("/{uuid}/actions");
    Write { uuid: &uuid, method: Method::PUT, path, body: Some(body), doing, done }.run(client, how)
}

/// `cygnet add-cidr` and `cygnet attach`.
pub fn add(client: &Client, args: &NetworksArgs, what: &Networks) -> Result<()> {
    let body = json!({ "params": { what.member: args.networks } });
    networks(client, args, (Method::POST, what.collection, Some(body)), ("adding networks to", "networks added:"))
}

/// `cygnet remove-cidr` and `cygnet detach`.
pub fn remove(client: &Client, args: &NetworksArgs, what: &Networks) -> Result<()> {
    let query: Vec<_> = args.networks.iter().map(|value| format!("{}={}", what.member, encoded(value))).collect();
    let path = format!("{}?{}", what.collection, query.join("&"));
    networks(client, args, (Method::DELETE, &path, None), ("removing networks from", "networks removed:"))
}

fn networks(
    client: &Client,
    args: &NetworksArgs,
    (method, path, body): (Method, &str, Option<Value>),
    (doing, done): (&str, &str),
) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    Write { uuid: &uuid, method, path: format!("/{uuid}/{path}"), body, doing, done }.run(client, &args.how)
}

/// On which side the networks are.
pub struct Networks {
    collection: &'static str,
    member: &'static str,
}

/// Networks behind the peer.
pub const REMOTE: Networks = Networks { collection: "remote-cidrs", member: "peerCidrs" };
/// Networks behind this gateway.
pub const LOCAL: Networks = Networks { collection: "l3networks", member: "l3NetworkUuids" };

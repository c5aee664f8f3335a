//! The subcommands that write: their requests, and the result for the tunnel.

use super::{
    client::Client,
    look::safe,
    refusal,
    select::{self, encoded},
    stop::{Result, Stop, print, print_json},
    up,
    write_args::{NetworksArgs, ReconnectArgs, UpdateArgs, WriteArgs, WriteOptions},
};
use hyper::Method;
use serde_json::{Value, json};

/// Where the contract has its connections.
pub const PATH: &str = "/zstack/v1/ipsec";

/// The parameter by which all connections that share a key get another one.
pub const TOGETHER: &str = "together=true";

/// A write of a connection that is stored.
pub struct Write<'a> {
    /// 32 digits, without dashes.
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
    let confirm = how.confirm.as_deref().map(|time| format!("confirm={}", encoded(&up::with_unit(time))));
    let immediate = how.immediate.then(|| "immediate=true".to_owned());
    let rehearse = how.rehearse.then(|| "rehearse=true".to_owned());
    let together = how.together.then(|| TOGETHER.to_owned());
    for parameter in [confirm, immediate, rehearse, together].into_iter().flatten() {
        path.push(if path.contains('?') { '&' } else { '?' });
        path.push_str(&parameter);
    }
    path
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
                format!("not reconnected: {}", safe(&refusal::text(&item["error"])))
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

/// The body that enables or disables a connection.
pub fn state(event: &str) -> Value {
    json!({ "changeIPSecConnectionState": { "stateEvent": event } })
}

fn act(client: &Client, connection: &str, how: &WriteOptions, body: Value, (doing, done): (&str, &str)) -> Result<()> {
    let uuid = select::uuid(client, connection)?;
    let path = format!("/{uuid}/actions");
    Write { uuid: &uuid, method: Method::PUT, path, body: Some(body), doing, done }.run(client, how)
}

/// `cygnet add-cidr` and `cygnet attach`.
pub fn add(client: &Client, args: &NetworksArgs, what: &Networks) -> Result<()> {
    let uuid = select::uuid(client, &args.which.connection)?;
    let (path, body) = (format!("/{uuid}/{}", what.collection), json!({ "params": { what.member: args.networks } }));
    let (doing, done) = ("adding networks to", "networks added:");
    Write { uuid: &uuid, method: Method::POST, path, body: Some(body), doing, done }.run(client, &args.how)
}

/// On which side the networks are.
pub struct Networks {
    /// The path of such networks.
    pub collection: &'static str,
    /// The member that names them.
    pub member: &'static str,
    /// Whether they are behind this gateway.
    pub is_ours: bool,
}

/// Networks behind the peer.
pub const REMOTE: Networks = Networks { collection: "remote-cidrs", member: "peerCidrs", is_ours: false };
/// Networks behind this gateway.
pub const LOCAL: Networks = Networks { collection: "l3networks", member: "l3NetworkUuids", is_ours: true };

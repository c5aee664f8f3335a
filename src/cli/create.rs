//! `cygnet create`. A terminal is asked for what is missing.

use super::{
    ask,
    client::Client,
    input,
    stop::{Result, Stop, print},
    up,
    values::{random_hex, vip},
    write::{PATH, with_query},
    write_args::CreateArgs,
};
use cygnet::settings::Gateway;
use hyper::Method;
use serde_json::{Map, Value, json};
use std::io::IsTerminal;
use zeroize::Zeroizing;

/// The option that joins the gateways themselves, without networks.
const TRANSPORT: &str = "policyMode=transport";

/// `cygnet create`.
pub fn create(client: &Client, args: &CreateArgs) -> Result<()> {
    let wait = args.how.wait.as_deref().map(up::time).transpose()?;
    let mut wanted = Wanted::new(args);
    if std::io::stdin().is_terminal() {
        wanted.ask(&client.gateway, args)?;
    }
    wanted.complete(args)?;
    if args.generate_key {
        wanted.generated = Some(random_hex()?);
    }
    let body = json!({ "params": wanted.params(client, args)? });
    let (path, doing) = (with_query(PATH.to_owned(), &args.how), format!("creating {}", wanted.name));
    let mut answer = client.write(Method::POST, &path, Some(&body), &doing)?;
    // Before the tunnel is waited for: the peer needs it.
    match &wanted.generated {
        Some(key) if args.how.json.json => answer["generatedKey"] = key.as_str().into(),
        Some(key) => drop(print(&format!("key for the peer, shown once: {}\n", key.as_str()))?),
        None => {}
    }
    up::finish(client, answer, "created", wait, args.how.json.json)
}

/// What is known of the connection.
struct Wanted {
    name: String,
    peer: String,
    vip: Option<String>,
    network: Option<String>,
    peer_cidrs: Vec<String>,
    /// A key that was typed.
    typed: Option<Zeroizing<String>>,
    /// A key that was made, and is shown.
    generated: Option<Zeroizing<String>>,
}

impl Wanted {
    fn new(args: &CreateArgs) -> Self {
        Self {
            name: args.name.clone().unwrap_or_default(),
            peer: args.peer.clone().unwrap_or_default(),
            vip: args.vip.clone(),
            network: args.network.clone(),
            peer_cidrs: args.peer_cidr.clone(),
            typed: None,
            generated: None,
        }
    }

    /// Whether the connection may have no networks.
    fn needs_none(args: &CreateArgs) -> bool {
        args.no_networks || args.values.set.iter().any(|set| set == TRANSPORT)
    }

    /// Asks for what is missing.
    fn ask(&mut self, gateway: &Gateway, args: &CreateArgs) -> Result<()> {
        if self.name.is_empty() {
            self.name = ask::line("Name of the connection", "")?;
        }
        if self.peer.is_empty() {
            self.peer = ask::line("Address or name of the peer", "")?;
        }
        if self.vip.is_none() && gateway.vips.len() > 1 && vip(gateway, &self.peer).is_err() {
            let all: Vec<_> = gateway.vips.iter().map(cygnet::settings::Vip::described).collect();
            let first = gateway.vips.first().map(|vip| vip.name.as_deref().unwrap_or(&vip.uuid));
            self.vip = Some(ask::line(&format!("VIP, of {}", all.join(", ")), first.unwrap_or_default())?);
        }
        if self.network.is_none() && !Self::needs_none(args) {
            let all: Vec<_> = gateway.l3_networks.iter().map(cygnet::settings::L3Network::described).collect();
            let first = gateway.l3_networks.first().map(|network| network.name.as_deref().unwrap_or(&network.uuid));
            let answer =
                ask::line(&format!("Network behind this gateway, of {}", all.join(", ")), first.unwrap_or_default())?;
            self.network = Some(answer).filter(|answer| !answer.is_empty());
        }
        if self.peer_cidrs.is_empty() && !Self::needs_none(args) {
            let answer = ask::line("Networks behind the peer, such as 10.2.0.0/24", "")?;
            self.peer_cidrs = answer.split([' ', ',']).filter(|cidr| !cidr.is_empty()).map(str::to_owned).collect();
        }
        if args.values.auth_key_file.is_none() && !args.generate_key {
            let key = input::key().map_err(|e| Stop::failed(format!("{e:#}")))?;
            if key.is_empty() {
                self.generated = Some(random_hex()?);
            } else {
                self.typed = Some(key);
            }
        }
        Ok(())
    }

    /// Refuses what cannot be created, or never comes up.
    fn complete(&self, args: &CreateArgs) -> Result<()> {
        let has_key = args.values.auth_key_file.is_some()
            || args.generate_key
            || self.typed.is_some()
            || self.generated.is_some();
        let needs_networks = !Self::needs_none(args);
        let missing = [
            (!has_key, "a key", "--auth-key-file FILE or --generate-key"),
            (self.name.is_empty(), "a name", "NAME"),
            (self.peer.is_empty(), "the peer's address or name", "--peer PEER"),
            (needs_networks && self.network.is_none(), "a network behind this gateway", "--network NETWORK"),
            (needs_networks && self.peer_cidrs.is_empty(), "networks behind the peer", "--peer-cidr CIDR"),
        ];
        let missing: Vec<_> = missing.iter().filter(|(is_missing, ..)| *is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let list = |part: fn(&(bool, &'static str, &'static str)) -> &'static str| {
            missing.iter().map(|missing| part(missing)).collect::<Vec<_>>().join(", ")
        };
        let lacks_networks = needs_networks && (self.network.is_none() || self.peer_cidrs.is_empty());
        let without = "; without networks it never comes up: --no-networks creates it all the same";
        let hint = format!("add {}{}", list(|missing| missing.2), if lacks_networks { without } else { "" });
        Err(Stop::usage(format!("a connection needs {}", list(|missing| missing.1))).hint(hint))
    }

    /// The parameters of the call.
    fn params(&self, client: &Client, args: &CreateArgs) -> Result<Map<String, Value>> {
        let mut params = args.values.members(&[])?;
        if let Some(key) = self.typed.as_ref().or(self.generated.as_ref()) {
            params.insert("authKey".into(), key.as_str().into());
        }
        params.insert("name".into(), self.name.as_str().into());
        params.insert("peerAddress".into(), self.peer.as_str().into());
        let vip = self.vip.clone().map_or_else(|| vip(&client.gateway, &self.peer), Ok)?;
        params.insert("vipUuid".into(), vip.into());
        if !self.peer_cidrs.is_empty() {
            params.insert("peerCidrs".into(), json!(self.peer_cidrs));
        }
        let texts =
            [("l3NetworkUuid", &self.network), ("description", &args.description), ("resourceUuid", &args.uuid)];
        for (name, value) in texts {
            if let Some(value) = value {
                params.insert(name.into(), value.as_str().into());
            }
        }
        Ok(params)
    }
}

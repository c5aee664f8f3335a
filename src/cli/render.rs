//! `cygnet render`: from a request body to swanctl.conf, asking nobody.

use super::{file_args::RenderArgs, input};
use cygnet::{
    agent::{Warning, said},
    disk::open::Kind,
    error::Error,
    http::{
        Envelope, MAX_BODY,
        error::{Failure, object},
        parse, unknown, warned,
    },
    ipsec::{host_name::choose, refuse_everything},
    settings::{Gateway, Settings, Vip},
    store::{Network, Record, RemoteCidr, format},
    strongswan::{conf::Traps, requests::Loadable},
    visible::{visible, visible_json},
};
use jiff::Timestamp;
use serde_json::json;
use std::{io::Write, path::Path, process::ExitCode};

/// The uuid of a connection whose body names none: rendering the same body gives the same text.
const NAMELESS: &str = "00000000000040008000000000000000";
/// The time of offline records, for the same reason.
const TIME: Timestamp = Timestamp::UNIX_EPOCH;

pub fn run(config: &Path, args: &RenderArgs) -> ExitCode {
    let outcome = render(config, args).and_then(|loadable| {
        let written = std::io::stdout().write_all(loadable.conf.expose().as_bytes());
        written.map_err(|e| Error::storage("write", "standard output", e).into())
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let error = match failure {
                Failure::Api(error) | Failure::Wrong(error) => error,
                Failure::Text(_, text) => Error::Argument(text),
            };
            // Nothing is left to do if standard error is closed.
            let text = json!({ "error": object(&error) }).to_string();
            let _ = writeln!(std::io::stderr(), "{}", visible_json(&text));
            ExitCode::FAILURE
        }
    }
}

fn render(config: &Path, args: &RenderArgs) -> Result<Loadable, Failure> {
    let record = record(config, args)?;
    if record.connection.children.is_empty() {
        let text =
            "the connection has nothing to carry: give --local-cidr and --peer-cidr, or l3NetworkUuid and peerCidrs";
        return Err(Error::argument(text).into());
    }
    refuse_everything(&record.connection).map_err(Error::from)?;
    let traps = if args.no_traps { Traps::Unsupported } else { Traps::Supported };
    Ok(Loadable::new(&record.accepting(), traps).map_err(|e| Error::Internal(e.to_string()))?)
}

fn record(config: &Path, args: &RenderArgs) -> Result<Record, Failure> {
    let envelope = Envelope::parse(&read(&args.body, MAX_BODY as u64)?)?;
    if envelope.has("changeIPsecConnection") {
        let given = match &args.given {
            Some(path) => format::from_bytes(&read(path, Kind::State.limit())?)
                .map_err(|e| Error::Argument(format!("{}: {e}", path.display())))?,
            None => made_up(args)?,
        };
        let params = envelope.params("changeIPsecConnection")?;
        // What the record keeps, the agent takes from its settings: here the record is all that is asked.
        let none = std::sync::Arc::default();
        let record = parse::change(&params, parse::MissingFields::Defaults, none, Timestamp::now())?(&given, TIME)?;
        let record = located(Some(&given), record, args)?;
        warn(&unknown::members(&params, &parse::change_names()));
        warn(&said(&record));
        return Ok(record);
    }
    let mut params = envelope.params("params")?;
    let unknown = unknown::members(&params, &parse::create_names());
    params.members.entry("resourceUuid").or_insert_with(|| NAMELESS.into());
    params.members.entry("name").or_insert_with(|| "offline".into());
    let created = located(None, parse::create(&params, &gateway(config, args, &params)?, Timestamp::now())?, args)?;
    let record = with_networks(&created, args)?;
    warn(&unknown);
    warn(&said(&record));
    Ok(record)
}

/// The record with the address of its peer's name.
fn located(before: Option<&Record>, record: Record, args: &RenderArgs) -> Result<Record, Failure> {
    let refused = |text: String| Err(Error::Argument(text).into());
    match (record.spec.peer.name(), args.peer_address) {
        (None, None) => Ok(record),
        (None, Some(_)) => refused("--peer-address is for a peer that has a name; this one has none".into()),
        (Some(_), Some(address)) => {
            let address = choose(&[address], record.connection.local_addr, None);
            let address = address.map_err(|why| Error::Argument(format!("--peer-address {why}")))?;
            Ok(record.located(before, address).map_err(Error::from)?)
        }
        (Some(_), None) if !record.is_unresolved() => Ok(record),
        (Some(name), None) => refused(format!("the peer has the name {name}: give its address with --peer-address")),
    }
}

/// Says what nobody read, beside the rendered text.
fn warn(warnings: &[Warning]) {
    for warning in warnings {
        // Nothing is left to do if standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}: {}", warning.code, visible(&warned(warning)));
    }
}

fn read(path: &Path, limit: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    input::bytes(path, limit).map_err(|e| Error::storage("read", path, e))
}

/// The gateway of the settings, if there are any, with the `--vip` under the name that the body asks for.
fn gateway(config: &Path, args: &RenderArgs, params: &cygnet::http::Params) -> Result<Gateway, Error> {
    let settings = if config.try_exists().unwrap_or(true) {
        Some(Settings::read(config).map_err(|faults| Error::Argument(faults.to_string()))?)
    } else {
        None
    };
    let mut gateway = settings.map(|settings| settings.gateway).unwrap_or_default();
    let asked = params.members.get("vipUuid").and_then(|v| v.as_str());
    if let (Some(address), Some(uuid)) = (args.vip, asked) {
        gateway.vips.retain(|vip| vip.uuid != uuid);
        gateway.vips.push(Vip { uuid: uuid.into(), name: None, address });
    }
    Ok(gateway)
}

/// `record` with the networks of the command line, where there are any.
fn with_networks(record: &Record, args: &RenderArgs) -> Result<Record, Failure> {
    let mut spec = record.spec.clone();
    if !args.local_cidr.is_empty() {
        let cidrs = cidrs("--local-cidr", &args.local_cidr)?;
        spec.local = vec![Network { uuid: record.id, network: "offline".into(), cidrs, created: TIME }];
    }
    if !args.peer_cidr.is_empty() {
        let entry = |cidr| RemoteCidr { uuid: record.id, cidr, created: TIME };
        spec.remote = cidrs("--peer-cidr", &args.peer_cidr)?.into_iter().map(entry).collect();
    }
    record.rewritten(spec, TIME).map_err(|conflict| Error::from(conflict).into())
}

fn cidrs<T: std::str::FromStr<Err: std::fmt::Display>>(option: &str, texts: &[String]) -> Result<Vec<T>, Error> {
    texts.iter().map(|text| text.parse().map_err(|e| Error::Argument(format!("{option}: {e}")))).collect()
}

/// The record that a Change starts from if none is given: all defaults, on `--vip`.
fn made_up(args: &RenderArgs) -> Result<Record, Failure> {
    let vip =
        args.vip.ok_or_else(|| Error::argument("a Change needs --given RECORD.json, or --vip with the networks"))?;
    let gateway =
        Gateway { vips: vec![Vip { uuid: "offline".into(), name: None, address: vip }], l3_networks: Vec::new() };
    // Any other address of the same family: the Change brings its own.
    let peer = if vip.is_ipv4() { "198.51.100.255" } else { "2001:db8:ffff::ffff" };
    let body = json!({ "params": { "name": "offline", "vipUuid": "offline", "peerAddress": peer, "authKey": "offline", "resourceUuid": NAMELESS } });
    let params = Envelope::parse(body.to_string().as_bytes())?.params("params")?;
    let record = parse::create(&params, &gateway, TIME)?;
    with_networks(&record, args)
}

/// The uuid that [`NAMELESS`] spells is one that Create takes.
#[cfg(test)]
#[test]
fn the_nameless_uuid_is_valid() {
    assert!(NAMELESS.parse::<cygnet::ipsec::ConnectionId>().is_ok());
}

//! This gateway and another one, beside each other: what each says of itself, and digests of the keys.
//!
//! A digest depends on a random number of the one comparison and on the connection, so it tells nothing about another
//! connection or another day. It can still be held against guesses, so it goes only to the gateway that is compared with.

use super::{
    comparison::{Comparison, FORM},
    other_gateway::{Door, Fault, OtherGateway},
    parse::exported,
};
use crate::{
    agent::{Agent, Presence},
    doctor::Paired,
    error::Result,
    ipsec::{Auth, ConnectionId},
    settings::Ha,
    store::Record,
};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

/// The path of the calls.
pub const PATH: &str = "/cygnet/v1/compare";
/// The path of the call for digests.
pub const DIGESTS: &str = "/cygnet/v1/compare/digests";
/// The bytes of the random number of a comparison.
pub(super) const NONCE: usize = 32;
/// Two blocks of SHA-256: the hash leaves the last ones on the stack.
const ZEROS: [u8; 128] = [0; 128];
/// How long the doctor lets the other gateway take, for each of two calls.
const PATIENCE: Duration = Duration::from_secs(3);

/// What this gateway says of itself.
pub(super) fn described(agent: &Agent) -> Value {
    let connections: Vec<_> = agent.store().all().iter().map(|record| connection(record)).collect();
    let is_here = |vip: &IpAddr| agent.presence(*vip).0 == Presence::Here;
    let active: Vec<_> = agent.vips().into_iter().filter(is_here).map(|vip| vip.to_string()).collect();
    json!({ "form": FORM, "version": env!("CARGO_PKG_VERSION"), "active": active, "connections": connections })
}

/// A connection as an export has it, with what the settings of this gateway made of its VIP and networks.
fn connection(record: &Record) -> Value {
    let mut members = exported(record);
    let cidrs = record.spec.local.iter().flat_map(|network| &network.cidrs).map(ToString::to_string);
    members.insert("vipAddress".into(), record.connection.local_addr.to_string().into());
    members.insert("localCidrs".into(), cidrs.collect());
    if record.aside.is_some() {
        members.insert("setAside".into(), true.into());
    }
    if let Some(transition) = record.open_transition() {
        members.insert("transition".into(), format!("until {}", transition.until).into());
    }
    members.into()
}

pub(super) fn record(agent: &Agent, uuid: &str) -> Option<Arc<Record>> {
    agent.store().get(uuid.parse::<ConnectionId>().ok()?)
}

pub(super) fn digests_of(
    agent: &Agent,
    nonce: &[u8],
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Map<String, Value> {
    let digest = |(ours, theirs): (String, String)| {
        let digest = digest_of(nonce, &theirs, &record(agent, &ours)?.connection.auth);
        Some((theirs, digest.into()))
    };
    pairs.into_iter().filter_map(digest).collect()
}

/// The digest of the key of the connection that is `uuid` on the gateway that compares it.
pub(super) fn digest_of(nonce: &[u8], uuid: &str, auth: &Auth) -> String {
    let mac = |kind: &[u8], key: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(nonce).ok()?;
        let mac = mac.chain_update(uuid).chain_update(kind).chain_update(key.len().to_be_bytes());
        Some(HEXLOWER.encode(&mac.chain_update(key).chain_update(ZEROS).finalize().into_bytes()))
    };
    let digest = match auth {
        Auth::Psk(psk) => mac(b" psk ", psk.expose()),
        Auth::Certs(certs) => mac(b" certs ", certs.expose_pem().as_bytes()),
    };
    // HMAC takes keys of any length.
    digest.unwrap_or_default()
}

/// A random number for one comparison, as hexadecimal digits.
///
/// # Errors
/// When the kernel has no random bytes.
pub fn nonce() -> Result<String, String> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes).map_err(|error| format!("the kernel has no random bytes: {error}"))?;
    Ok(HEXLOWER.encode(&bytes))
}

/// What the other gateway says of itself.
///
/// # Errors
/// When it cannot be asked, or knows no such call.
pub async fn ask(other: &OtherGateway, patience: Duration) -> Result<Value, Fault> {
    other.call(Method::GET, PATH, None, patience).await.map_err(|fault| match fault {
        Fault::Refused(status @ (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), _) => {
            let text = "it runs a cygnet that cannot be compared with: install the same version on both";
            Fault::Refused(status, text.into())
        }
        Fault::Refused(status @ (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN), text) => {
            Fault::Refused(status, format!("{text}; give a token of that gateway (`cygnet token NAME` there)"))
        }
        fault => fault,
    })
}

/// Which keys differ, as the other gateway says it.
///
/// # Errors
/// Why it does not say so.
pub async fn ask_keys(other: &OtherGateway, nonce: &str, digests: &Value, patience: Duration) -> Result<Value, String> {
    let body = json!({ "nonce": nonce, "digests": digests });
    let mut answer = other.call(Method::POST, PATH, Some(&body), patience).await.map_err(|fault| fault.to_string())?;
    Ok(answer["keys"].take())
}

/// What the settings say of the other gateway, if they name one.
#[must_use]
pub fn door(ha: &Ha) -> Option<Door> {
    let own = ha.peer_cert.clone().zip(ha.peer_key.clone());
    Some(Door { url: ha.peer.clone()?, token_file: ha.peer_token_file.clone(), ca: ha.peer_ca.clone(), own })
}

/// The other gateway of the settings, whose files systemd may have handed over.
///
/// # Errors
/// What is wrong with them.
pub fn peer(ha: &Ha) -> Result<Option<OtherGateway>, String> {
    let place = |path: PathBuf| super::credential(&path);
    let Some(mut door) = door(ha) else { return Ok(None) };
    door.token_file = door.token_file.map(place).transpose()?;
    door.ca = door.ca.map(place).transpose()?;
    door.own = door.own.map(|(cert, key)| Ok::<_, String>((place(cert)?, place(key)?))).transpose()?;
    OtherGateway::new(&door).map(Some)
}

/// Compares this gateway with the other one of the settings, for the doctor.
pub(super) async fn paired(agent: &Agent, ha: &Ha) -> Option<Paired> {
    let with = ha.peer.clone()?;
    let outcome = match peer(ha) {
        Ok(Some(other)) => compared(agent, &other).await,
        Ok(None) => return None,
        Err(why) => Err(why),
    };
    Some(Paired { with, outcome })
}

async fn compared(agent: &Agent, other: &OtherGateway) -> Result<Value, String> {
    let there = ask(other, PATIENCE).await.map_err(|fault| fault.to_string())?;
    let mut found = Comparison::of(&described(agent), &there)?;
    let nonce = nonce()?;
    let bytes = HEXLOWER.decode(nonce.as_bytes()).unwrap_or_default();
    let digests = digests_of(agent, &bytes, found.pairs());
    let keys = ask_keys(other, &nonce, &digests.into(), PATIENCE).await;
    found.learn_keys(keys.as_ref().map_err(Clone::clone));
    Ok(found.json(&other.url))
}

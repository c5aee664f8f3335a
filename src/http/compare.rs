//! The calls by which another gateway compares its connections with those of this one. The gateway that asks sends digests
//! of its keys; this one says which differ, and shows none.

use super::{
    auth::{Caller, Who},
    envelope::Envelope,
    error::{Failure, json_response},
    pair::{NONCE, described, digest_of, digests_of, record},
    state::{Answer, Shared},
};
use crate::{
    error::{Error, Result},
    visible::visible,
};
use axum::{Extension, body::Body, extract::State, http::StatusCode};
use data_encoding::HEXLOWER_PERMISSIVE;
use nix::unistd::Uid;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

/// A text for each uuid.
type Texts = Vec<(String, String)>;

/// `GET /cygnet/v1/compare`: the connections as they are compared, without keys.
pub(super) async fn show(State(api): Shared) -> Answer {
    Ok(json_response(StatusCode::OK, &described(&api.agent)))
}

/// `POST /cygnet/v1/compare`: which of these keys differ from those that are stored. Nothing is done, but who may not
/// write may not compare keys.
pub(super) async fn keys(State(api): Shared, Extension(caller): Extension<Caller>, body: Body) -> Answer {
    let (nonce, given) = read(Envelope::read_set(body).await?, "digests")?;
    let (mut verdicts, mut differing) = (Map::new(), Vec::new());
    for (uuid, digest) in given {
        let Some(record) = record(&api.agent, &uuid) else { continue };
        let own = digest_of(&nonce, &uuid, &record.connection.auth);
        // Time must not tell how near a digest is.
        let is_same = own.as_bytes().ct_eq(digest.as_bytes()).into();
        verdicts.insert(uuid, if is_same { "same" } else { "differs" }.into());
        if !is_same {
            differing.push(record.spec.names.name.clone());
        }
    }
    if !differing.is_empty() {
        // Keys cannot be tried unseen.
        tracing::info!(
            target: "cygnet::audit", action = "CompareKeys", caller = %caller,
            "a comparison by {caller} has other keys than are stored for {} connections: {}",
            differing.len(), differing.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(json_response(StatusCode::OK, &json!({ "keys": verdicts })))
}

/// `POST /cygnet/v1/compare/digests`: the digests of the keys of these connections, each for the uuid that the other
/// gateway has. Only for who may read the keys themselves.
pub(super) async fn digests(State(api): Shared, Extension(caller): Extension<Caller>, body: Body) -> Answer {
    let may = match caller.who {
        Who::User(uid) => uid == 0 || uid == Uid::effective().as_raw() || !api.mask_auth_key,
        _ => false,
    };
    if !may {
        let text = "digests of keys are for root of this host, and without mask_auth_key for the group cygnet";
        return Err(Failure::Text(StatusCode::FORBIDDEN, text.into()));
    }
    let (nonce, pairs) = read(Envelope::read_set(body).await?, "connections")?;
    Ok(json_response(StatusCode::OK, &json!({ "digests": digests_of(&api.agent, &nonce, pairs) })))
}

/// The random number in a body, and the texts under `name`.
fn read(envelope: Envelope, name: &'static str) -> Result<(Vec<u8>, Texts), Failure> {
    let mut members = envelope.into_members();
    let nonce = members.remove("nonce").and_then(|nonce| HEXLOWER_PERMISSIVE.decode(nonce.as_str()?.as_bytes()).ok());
    let nonce = nonce.filter(|nonce| nonce.len() == NONCE);
    let nonce = nonce.ok_or_else(|| Error::rule("nonce", format!("must be {} hexadecimal digits", NONCE * 2)))?;
    let Some(Value::Object(given)) = members.remove(name) else {
        return Err(Error::rule(name, "must be an object").into());
    };
    if let Some(name) = members.keys().next() {
        return Err(Error::rule(&visible(name), "is no member of a comparison").into());
    }
    let texts = given.into_iter().filter_map(|(uuid, value)| Some((uuid, value.as_str()?.to_owned())));
    Ok((nonce, texts.collect()))
}

//! The actions that change a part of a connection: its name, its state, its networks, its SAs.

use super::{
    Answer, Envelope, Shared, asked,
    audit::Told,
    auth::Caller,
    error::{json_response, object},
    id_of, no_method, parse,
    wire::Tags,
};
use crate::{
    agent::{WriteOptions, reconnected},
    error::{Error, Result},
    ipsec::TrafficSelector,
    store::{Record, Spec},
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

type Pairs = UrlQuery<Vec<(String, String)>>;

/// `PUT /ipsec/{uuid}`: `UpdateIPsecConnection`. Members that are left out keep what is stored.
pub(super) async fn update(state: Shared, uuid: &str, pairs: &[(String, String)], body: Body, uri: &Uri) -> Answer {
    parse::no_trial(pairs, "UpdateIPsecConnection changes no tunnel")?;
    let envelope = Envelope::read(body).await?;
    if !envelope.has("updateIPsecConnection") {
        return Err(no_method(&Method::PUT, uri));
    }
    let names = parse::update(&envelope.params("updateIPsecConnection")?)?;
    edit(&state, uuid, WriteOptions::default(), move |old| {
        let mut spec = old.spec.clone();
        names.clone().apply(&mut spec.names)?;
        with_wish(old, spec)
    })
    .await
}

/// `PUT /ipsec/{uuid}/actions`: `ChangeIPSecConnectionState` and `ReconnectIPsecConnection`.
pub async fn act(
    state: Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    method: Method,
    body: Body,
) -> Answer {
    if method != Method::PUT {
        return Err(no_method(&method, &uri));
    }
    let how = asked(&pairs, &caller)?;
    let envelope = Envelope::read(body).await?;
    if envelope.has("changeIPSecConnectionState") {
        let params = envelope.params("changeIPSecConnectionState")?;
        let wanted = parse::state_event(&params)?;
        let done = edit(&state, &uuid, how, move |old| {
            let new = Record { state: wanted, changed: when(old.state == wanted, old), ..old.clone() };
            tagged(&new, params.tags.clone())
        })
        .await;
        return Ok(named("ChangeIPSecConnectionState", done));
    }
    if envelope.has("reconnectIPsecConnection") {
        // The tunnel is made anew, whatever runs: this is what the caller wants it for.
        let how = WriteOptions { immediate: true, ..how };
        let tags = envelope.params("reconnectIPsecConnection")?.tags;
        let gateway = state.agent.gateway();
        let done = edit(&state, &uuid, how, move |old| {
            tagged(&reconnected(old, &gateway, Timestamp::now()).map_err(parse::conflict)?, tags.clone())
        })
        .await;
        return Ok(named("ReconnectIPsecConnection", done));
    }
    Err(no_method(&method, &uri))
}

/// `POST /cygnet/v1/reconnect-all-changed`: takes over what the settings say now in all connections that they have moved
/// away from. Answers what came of each; waits for no tunnel.
pub async fn reconnect_all_changed(State(api): Shared) -> Answer {
    let outcomes = api.agent.reconnect_all_changed().await;
    let item = |(record, outcome): &(Arc<Record>, Result<()>)| {
        let mut item = json!({ "uuid": record.id.to_string(), "name": record.spec.names.name });
        if let Err(error) = outcome {
            item["error"] = object(error);
        }
        item
    };
    let list: Vec<_> = outcomes.iter().map(item).collect();
    Ok(named("ReconnectAllChanged", Ok(json_response(StatusCode::OK, &json!({ "reconnected": list })))))
}

/// The answer with the action's name, which the audit trail cannot read off the path.
fn named(action: &'static str, answer: Answer) -> Response {
    let mut response = answer.unwrap_or_else(IntoResponse::into_response);
    let told = response.extensions().get::<Told>().cloned().unwrap_or_default();
    response.extensions_mut().insert(Told { action: Some(action), ..told });
    response
}

/// The time of a change; of none, the time that is stored.
fn when(is_none: bool, old: &Record) -> Timestamp {
    if is_none { old.changed } else { Timestamp::now() }
}

/// `POST` and `DELETE /ipsec/{uuid}/remote-cidrs`: networks behind the peer are added and removed.
pub async fn remote_cidrs(
    state: Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    method: Method,
    body: Body,
) -> Answer {
    let how = asked(&pairs, &caller)?;
    match method {
        Method::POST => {
            let params = Envelope::read(body).await?.params("params")?;
            let added = parse::peer_cidrs(&params, Timestamp::now())?;
            edit(&state, &uuid, how, move |old| {
                let mut spec = old.spec.clone();
                if let Some(entry) = added.iter().find(|entry| has_cidr(old, entry.cidr)) {
                    let text = format!("Cidr [{}] is already in the Cidrs of ipsec [uuid :{}]", entry.cidr, old.id);
                    return Err(Error::Argument(text));
                }
                spec.remote.extend(added.iter().cloned());
                parse::room("peerCidrs", spec.remote.len())?;
                params.tags.clone().apply(&mut spec.names)?;
                with_wish(old, spec)
            })
            .await
        }
        Method::DELETE => {
            let (gone, tags) = (parse::cidr_list("peerCidrs", &pairs)?, parse::tags(&pairs));
            edit(&state, &uuid, how, move |old| {
                let mut spec = old.spec.clone();
                if let Some(cidr) = gone.iter().find(|cidr| !has_cidr(old, **cidr)) {
                    return Err(Error::Argument(format!("Cidr [{cidr}] is not in Cidrs of ipsec [uuid :{}]", old.id)));
                }
                spec.remote.retain(|entry| !gone.contains(&entry.cidr));
                tags.clone().apply(&mut spec.names)?;
                with_wish(old, spec)
            })
            .await
        }
        _ => Err(no_method(&method, &uri)),
    }
}

fn has_cidr(record: &Record, cidr: TrafficSelector) -> bool {
    record.spec.remote.iter().any(|entry| entry.cidr == cidr)
}

/// `POST` and `DELETE /ipsec/{uuid}/l3networks`: local networks are attached and detached.
pub async fn l3_networks(
    state: Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    method: Method,
    body: Body,
) -> Answer {
    let how = asked(&pairs, &caller)?;
    match method {
        Method::POST => {
            let params = Envelope::read(body).await?.params("params")?;
            let added = parse::l3_networks(&params, &state.agent.gateway(), Timestamp::now())?;
            edit(&state, &uuid, how, move |old| {
                let mut spec = old.spec.clone();
                for network in &added {
                    if spec.local.iter().any(|other| other.network == network.network) {
                        let text = format!(
                            "L3 network [{}] can not be attached to ipsec [uuid :{}]twice",
                            network.network, old.id
                        );
                        return Err(Error::Argument(text));
                    }
                    spec.local.push(network.clone());
                }
                parse::room("l3NetworkUuids", spec.local.len())?;
                params.tags.clone().apply(&mut spec.names)?;
                with_wish(old, spec)
            })
            .await
        }
        Method::DELETE => {
            let (gone, tags) = (parse::text_list("l3NetworkUuids", &pairs)?, parse::tags(&pairs));
            edit(&state, &uuid, how, move |old| {
                let mut spec = old.spec.clone();
                if let Some(uuid) = gone.iter().find(|uuid| !spec.local.iter().any(|network| network.network == **uuid))
                {
                    return Err(Error::Argument(format!(
                        "L3 network [{uuid}] is not be attached to ipsec [uuid :{}]",
                        old.id
                    )));
                }
                spec.local.retain(|network| !gone.contains(&network.network));
                tags.clone().apply(&mut spec.names)?;
                with_wish(old, spec)
            })
            .await
        }
        _ => Err(no_method(&method, &uri)),
    }
}

/// `record` with the tags that came with an action.
fn tagged(record: &Record, tags: Tags) -> Result<Record> {
    let mut spec = record.spec.clone();
    tags.apply(&mut spec.names)?;
    with_wish(record, spec)
}

fn with_wish(old: &Record, spec: Spec) -> Result<Record> {
    let changed = when(spec == old.spec, old);
    old.changed(spec, changed).map_err(parse::conflict)
}

/// Changes the connection that the path names.
async fn edit(
    State(api): &Shared,
    uuid: &str,
    how: WriteOptions,
    change: impl Fn(&Record) -> Result<Record> + Send + 'static,
) -> Answer {
    let written = api.agent.change(id_of(uuid)?, how, change).await?;
    Ok(api.written(&written))
}

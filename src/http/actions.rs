//! The actions that change a part of a connection: its name, its state, its networks, its SAs.

use super::{
    auth::Caller,
    envelope::Envelope,
    error::{json_response, object},
    message::Message,
    parse,
    paths::no_method,
    request::{Pairs, id_of, write_options},
    route::Route,
    state::{Answer, Shared},
    unknown::unread,
    wire::Tags,
    written::{named, written},
};
use crate::{
    agent::{Warning, WriteOptions, reconnected},
    error::{Error, Problem, Result},
    ipsec::TrafficSelector,
    settings::Gateway,
    store::{Record, Spec},
};
use axum::{
    Extension,
    body::Body,
    extract::{Path, Query as UrlQuery, State},
    http::{Method, StatusCode, Uri},
    response::IntoResponse,
};
use jiff::Timestamp;
use serde_json::json;
use std::sync::Arc;

/// `PUT /ipsec/{uuid}`: `UpdateIPsecConnection`. Members that are left out keep what is stored.
pub async fn update(
    state: Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    parse::no_trial(&pairs, "UpdateIPsecConnection changes no tunnel")?;
    let envelope = Envelope::read(body).await?;
    if !envelope.has(Message::Update.key()) {
        return Err(no_method(&Method::PUT, &uri));
    }
    rename(&state, &uuid, &caller, envelope, &pairs).await
}

async fn rename(state: &Shared, uuid: &str, caller: &Caller, envelope: Envelope, pairs: &[(String, String)]) -> Answer {
    let params = Message::Update.params(envelope)?;
    let names = parse::update(&params)?;
    let unknown = unread(Message::Update, Some(&params), pairs);
    let how = WriteOptions { caller: Some(caller.to_string().into()), ..WriteOptions::default() };
    edit(state, uuid, how, unknown, move |old| {
        let mut spec = old.spec.clone();
        names.clone().apply(&mut spec.names)?;
        with_spec(old, spec)
    })
    .await
}

/// `PUT /ipsec/{uuid}/actions`: the message whose member is in the body.
pub async fn act(
    state: Shared,
    uri: Uri,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    Extension(route): Extension<&'static Route>,
    body: Body,
) -> Answer {
    let how = write_options(&pairs, &caller)?;
    let envelope = Envelope::read(body).await?;
    let message = route.call(&Method::PUT).and_then(|call| call.message(&envelope));
    let answer = match message {
        Some(Message::ChangeState) => change_state(&state, &uuid, how, envelope, &pairs).await,
        Some(Message::Reconnect) => reconnect(&state, &uuid, how, envelope, &pairs).await,
        Some(Message::Update) => {
            parse::no_trial(&pairs, "UpdateIPsecConnection changes no tunnel")?;
            rename(&state, &uuid, &caller, envelope, &pairs).await
        }
        _ => Err(no_method(&Method::PUT, &uri)),
    };
    Ok(match message {
        Some(message) => named(message, answer.into_response()),
        None => answer.into_response(),
    })
}

/// `ChangeIPSecConnectionState`.
async fn change_state(
    state: &Shared,
    uuid: &str,
    how: WriteOptions,
    envelope: Envelope,
    pairs: &[(String, String)],
) -> Answer {
    let params = Message::ChangeState.params(envelope)?;
    let wanted = parse::state_event(&params)?;
    let unknown = unread(Message::ChangeState, Some(&params), pairs);
    edit(state, uuid, how, unknown, move |old| {
        let new = Record { state: wanted, changed: when(old.state == wanted, old), ..old.clone() };
        tagged(&new, params.tags.clone())
    })
    .await
}

/// `ReconnectIPsecConnection`: the tunnel is made anew, whatever runs; this is what the caller wants it for.
async fn reconnect(
    state: &Shared,
    uuid: &str,
    how: WriteOptions,
    envelope: Envelope,
    pairs: &[(String, String)],
) -> Answer {
    let how = WriteOptions { immediate: true, ..how };
    let params = Message::Reconnect.params(envelope)?;
    let unknown = unread(Message::Reconnect, Some(&params), pairs);
    let gateway = state.agent.gateway();
    edit(state, uuid, how, unknown, move |old| {
        tagged(&reconnected(old, &gateway, Timestamp::now()).map_err(Error::from)?, params.tags.clone())
    })
    .await
}

/// `POST /cygnet/v1/reconnect-all-changed`: takes over what the settings say now in all connections that they have moved
/// away from. Answers what came of each; waits for no tunnel.
pub async fn reconnect_all_changed(State(api): Shared, Extension(caller): Extension<Caller>) -> Answer {
    let outcomes = api.agent.reconnect_all_changed(&caller.to_string().into()).await;
    let item = |(record, outcome): &(Arc<Record>, Result<()>)| {
        let mut item = json!({ "uuid": record.id.to_string(), "name": record.spec.names.name });
        if let Err(error) = outcome {
            item["error"] = object(error);
        }
        item
    };
    let list: Vec<_> = outcomes.iter().map(item).collect();
    Ok(json_response(StatusCode::OK, &json!({ "reconnected": list })))
}

/// The time of a change; of none, the time that is stored.
fn when(is_none: bool, old: &Record) -> Timestamp {
    if is_none { old.changed } else { Timestamp::now() }
}

/// `POST /ipsec/{uuid}/remote-cidrs`: networks behind the peer are added.
pub async fn add_remote_cidrs(
    state: Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let how = write_options(&pairs, &caller)?;
    let params = Message::AddRemoteCidrs.params(Envelope::read(body).await?)?;
    let added = parse::peer_cidrs(&params, Timestamp::now())?;
    let unknown = unread(Message::AddRemoteCidrs, Some(&params), &pairs);
    edit(&state, &uuid, how, unknown, move |old| {
        let mut spec = old.spec.clone();
        if let Some(entry) = added.iter().find(|entry| has_cidr(old, entry.cidr)) {
            let problem = Problem::Attached { found: entry.cidr.to_string(), id: old.id };
            return Err(Error::member("peerCidrs", problem));
        }
        spec.remote.extend(added.iter().cloned());
        parse::list_length("peerCidrs", spec.remote.len())?;
        params.tags.clone().apply(&mut spec.names)?;
        with_spec(old, spec)
    })
    .await
}

/// `DELETE /ipsec/{uuid}/remote-cidrs`: networks behind the peer are removed.
pub async fn remove_remote_cidrs(
    state: Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let how = write_options(&pairs, &caller)?;
    let (gone, tags) = (parse::cidr_list("peerCidrs", &pairs)?, parse::tags(&pairs));
    let unknown = unread(Message::RemoveRemoteCidrs, None, &pairs);
    edit(&state, &uuid, how, unknown, move |old| {
        let mut spec = old.spec.clone();
        if let Some(cidr) = gone.iter().find(|cidr| !has_cidr(old, **cidr)) {
            let known = spec.remote.iter().map(|entry| entry.cidr.to_string()).collect();
            let problem = Problem::NotAttached { found: cidr.to_string(), id: old.id, known };
            return Err(Error::member("peerCidrs", problem));
        }
        spec.remote.retain(|entry| !gone.contains(&entry.cidr));
        tags.clone().apply(&mut spec.names)?;
        with_spec(old, spec)
    })
    .await
}

fn has_cidr(record: &Record, cidr: TrafficSelector) -> bool {
    record.spec.remote.iter().any(|entry| entry.cidr == cidr)
}

/// The uuid of the attached network that `text` names: by its uuid, as the settings name it, or by a prefix that it has.
fn attached(record: &Record, text: &str, gateway: &Gateway) -> Result<String> {
    let local = &record.spec.local;
    let named = gateway.find_l3_network(text).map_or(text, |network| network.uuid.as_str());
    let has = |uuid: &str| local.iter().find(|network| network.network == uuid);
    let cidr: Option<TrafficSelector> = text.parse().ok();
    let by_cidr = || local.iter().find(|network| cidr.is_some_and(|cidr| network.cidrs.contains(&cidr)));
    if let Some(network) = has(text).or_else(|| has(named)).or_else(by_cidr) {
        return Ok(network.network.clone());
    }
    let all = local.iter().map(|network| {
        let cidrs: Vec<_> = network.cidrs.iter().map(ToString::to_string).collect();
        format!("{} ({})", cidrs.join(" "), network.network)
    });
    let problem = Problem::NotAttached { found: text.to_owned(), id: record.id, known: all.collect() };
    Err(Error::member("l3NetworkUuids", problem))
}

/// `POST /ipsec/{uuid}/l3networks`: local networks are attached.
pub async fn attach_l3_networks(
    state: Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Answer {
    let how = write_options(&pairs, &caller)?;
    let params = Message::AttachL3Networks.params(Envelope::read(body).await?)?;
    let added = parse::l3_networks(&params, &state.agent.gateway(), Timestamp::now())?;
    let unknown = unread(Message::AttachL3Networks, Some(&params), &pairs);
    edit(&state, &uuid, how, unknown, move |old| {
        let mut spec = old.spec.clone();
        for network in &added {
            if spec.local.iter().any(|other| other.network == network.network) {
                let problem = Problem::Attached { found: network.network.clone(), id: old.id };
                return Err(Error::member("l3NetworkUuids", problem));
            }
            spec.local.push(network.clone());
        }
        parse::list_length("l3NetworkUuids", spec.local.len())?;
        params.tags.clone().apply(&mut spec.names)?;
        with_spec(old, spec)
    })
    .await
}

/// `DELETE /ipsec/{uuid}/l3networks`: local networks are detached.
pub async fn detach_l3_networks(
    state: Shared,
    Path(uuid): Path<String>,
    UrlQuery(pairs): Pairs,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let how = write_options(&pairs, &caller)?;
    let (gone, tags) = (parse::text_list("l3NetworkUuids", &pairs)?, parse::tags(&pairs));
    let gateway = state.agent.gateway();
    let unknown = unread(Message::DetachL3Networks, None, &pairs);
    edit(&state, &uuid, how, unknown, move |old| {
        let mut spec = old.spec.clone();
        let gone = gone.iter().map(|text| attached(old, text, &gateway)).collect::<Result<Vec<_>>>()?;
        spec.local.retain(|network| !gone.contains(&network.network));
        tags.clone().apply(&mut spec.names)?;
        with_spec(old, spec)
    })
    .await
}

/// `record` with the tags that came with an action.
fn tagged(record: &Record, tags: Tags) -> Result<Record> {
    let mut spec = record.spec.clone();
    tags.apply(&mut spec.names)?;
    with_spec(record, spec)
}

fn with_spec(old: &Record, spec: Spec) -> Result<Record> {
    let changed = when(spec == old.spec, old);
    Ok(old.changed(spec, changed)?)
}

/// Changes the connection that the path names.
async fn edit(
    State(api): &Shared,
    uuid: &str,
    how: WriteOptions,
    unknown: Vec<Warning>,
    change: impl Fn(&Record) -> Result<Record> + Send + 'static,
) -> Answer {
    let done = api.agent.change(id_of(uuid)?, how, change).await?;
    Ok(written(api, &done, unknown))
}

//! The message API: `/zstack/api`, a second door to the calls of the table of routes. A message becomes the request that
//! the other door takes, with its session as the `Authorization`, and goes through the same router: who may call, what
//! is valid, what is logged and what becomes a job is decided there. Here stand the names of messages, and the answers.

mod classes;
mod conditions;
mod reply;
mod request;
mod room;

pub use classes::CLASSES;
use classes::Class;
pub use room::Messages;

use super::{
    auth::Origin,
    envelope::Envelope,
    error::{Failure, json_response},
    jobs::{self, Accepted},
    paths::signed_path,
    route::Route,
    state::{Answer, Shared},
};
use axum::{
    Extension, Router,
    body::{Body, HttpBody},
    extract::{Path, Request, State},
    http::{HeaderMap, Method, Response, StatusCode, Uri},
};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;

/// The other door.
#[derive(Clone)]
pub struct Door {
    calls: Router,
    routes: &'static [Route],
}

impl Door {
    /// The door to `routes`, which `calls` serves.
    pub fn new(calls: Router, routes: &'static [Route]) -> Self {
        Self { calls, routes }
    }

    async fn call(self, request: Request) -> Response<Body> {
        let Ok(response) = TowerToHyperService::new(self.calls).call(request).await;
        response
    }
}

/// `POST` and `PUT /zstack/api`: a message.
pub async fn send(State(api): Shared, Extension(door): Extension<Door>, mut request: Request) -> Answer {
    let began = Timestamp::now();
    let _reserved = api.messages.reserve(&mut request).await?;
    let (parts, body) = request.into_parts();
    let (name, params) = Envelope::read(body).await.map_err(bad_request)?.only()?;
    let class = Class::named(&name)?;
    let asked = match request::translated(class, door.routes, params, &parts) {
        Ok(request) => request,
        Err(Failure::Api(error)) => return Ok(reply::done(began, &reply::failed(class.reply(), &error))),
        Err(failure) => return Err(failure),
    };
    let response = door.call(asked).await;
    if let Some(Accepted(id)) = response.extensions().get() {
        return Ok(reply::processing(id, began));
    }
    let size = response.body().size_hint().exact();
    let _turn = api.messages.turn(size).await?;
    Ok(reply::done(began, &reply::of_response(class, response).await))
}

/// What is no JSON is the client's fault. The contract's 500 for it is the other door's.
fn bad_request(failure: Failure) -> Failure {
    match failure {
        Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, text) => Failure::bad_request(text),
        other => other,
    }
}

/// `GET` and `PUT /zstack/api/result/{uuid}`: what came of a message that writes. As for jobs of the other door, whoever
/// knows the uuid may ask.
pub async fn result(
    State(api): Shared,
    Extension(origin): Extension<Origin>,
    Path(uuid): Path<String>,
    uri: Uri,
    method: Method,
    headers: HeaderMap,
) -> Answer {
    let caller = || api.auth.check(origin, &headers, &method, &signed_path(&uri)).ok();
    let found = api.jobs.look(&uuid, || caller().map(|caller| caller.to_string())).ok_or_else(jobs::expired)?;
    Ok(match found.outcome {
        None => reply::processing(&uuid, found.about.began),
        Some(outcome) => {
            let event = Class::event_of(found.about.action.as_deref());
            let text = reply::wrapped(&event, &outcome.body, outcome.status == 200)?;
            json_response(StatusCode::OK, &reply::envelope(Some(&uuid), found.about.began, Some((outcome.at, &text))))
        }
    })
}

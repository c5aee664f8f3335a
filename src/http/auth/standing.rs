//! Whether what a caller showed still counts. A call is checked when it comes; an answer that goes on for ever (events,
//! a log that is followed) ends when its caller's session, token, account or access key goes.

use super::{
    Auth,
    caller::{Caller, Who},
    claim::{Claim, claim},
    tokens::digest,
};
use crate::http::state::Api;
use axum::{
    body::Body,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::Response,
};
use futures_util::StreamExt;
use std::{sync::Arc, time::Instant};

/// Who showed what: of a session or token its digest.
pub struct Standing {
    caller: Caller,
    digest: Option<[u8; 32]>,
}

impl Standing {
    /// That of `caller`, whose request had these headers.
    #[must_use]
    pub fn of(caller: &Caller, headers: &HeaderMap) -> Self {
        let digest = match claim(headers) {
            Ok(Claim::Session(token)) => Some(digest(token)),
            _ => None,
        };
        Self { caller: caller.clone(), digest }
    }

    fn counts(&self, auth: &Auth) -> bool {
        let credentials = auth.credentials();
        match (&self.caller.who, &self.digest) {
            (Who::Account(_), Some(session)) => auth.sessions.lives(session, Instant::now()),
            (Who::Token(name), Some(token)) => credentials.tokens.has(name, token),
            (Who::AccessKey(id), _) => credentials.accounts.key(id).is_some(),
            (Who::User(_), _) => true,
            (_, None) => false,
        }
    }

    /// `response`, which ends when this counts no more if it is a stream without an end.
    #[must_use]
    pub fn bound(self, api: &Arc<Api>, response: Response) -> Response {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return response;
        }
        let (mut changes, api) = (api.auth.changes.subscribe(), Arc::clone(api));
        let gone = async move {
            // The credentials may have been replaced since they were looked at.
            while self.counts(&api.auth) && changes.changed().await.is_ok() {}
        };
        response.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(gone))))
    }
}

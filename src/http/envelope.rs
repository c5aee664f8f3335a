//! The body around the parameters: `{"<key>": {..}, "systemTags": [..], "userTags": [..]}`.

use super::{
    error::Failure,
    wire::{self, Strict, Tags},
};
use axum::{
    body::{Body, Bytes, HttpBody},
    http::StatusCode,
};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest body in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(20);

/// A body as it came: an object.
pub struct Envelope(Map<String, Value>);

/// The parameters of a call, with its tags.
pub struct Params {
    /// The members of the object under the call's key.
    pub members: Map<String, Value>,
    /// The tags, from beside the parameters or else from among them.
    pub tags: Tags,
}

/// Reads the bytes of a body, within bounds of length and time.
///
/// # Errors
/// 413, 408 or 400.
pub async fn read_bytes(body: Body) -> Result<Bytes, Failure> {
    // A length that is announced need not be waited for.
    if usize::try_from(body.size_hint().lower()).map_or(true, |length| length > MAX_BODY) {
        return Err(too_long());
    }
    let limited = axum::body::to_bytes(body, MAX_BODY);
    match tokio::time::timeout(BODY_TIME, limited).await {
        Err(_) => Err(Failure::Text(StatusCode::REQUEST_TIMEOUT, "the body did not come in time".into())),
        Ok(Err(e)) if is_limit(&e) => Err(too_long()),
        Ok(Err(_)) => Err(Failure::bad_request("the body broke off")),
        Ok(Ok(bytes)) => Ok(bytes),
    }
}

impl Envelope {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 413, 408, 400 or, for text that is no JSON, 500 as the contract says (1.1).
    pub async fn read(body: Body) -> Result<Self, Failure> {
        // A body may hold a key: the buffer is wiped if nobody else holds it.
        Self::parse(&Zeroizing::new(Vec::from(read_bytes(body).await?)))
    }

    /// Reads the bytes of a body; an empty one counts as an empty object.
    ///
    /// # Errors
    /// As [`Envelope::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        match serde_json::from_str(text) {
            Ok(Strict(Value::Object(members))) => Ok(Self(members)),
            Ok(_) => Err(Failure::bad_request("the body is not a JSON object")),
            Err(e) if e.is_data() => Err(Failure::bad_request(format!("the body is ambiguous: {e}"))),
            // JSON that is beyond us: nested too deep, a number too large, half a surrogate pair.
            Err(e) if serde_json::from_str::<IgnoredAny>(text).is_ok() => Err(Failure::bad_request(e.to_string())),
            Err(e) => Err(Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, format!("the body is not JSON: {e}"))),
        }
    }

    /// Whether a member is called `key`, in any letter case.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.keys().any(|name| name.eq_ignore_ascii_case(key))
    }

    /// The parameters under `key`: exactly so, else in another letter case, else under `params`.
    /// Without any, there are no parameters, and the mandatory ones will be missed by name.
    ///
    /// # Errors
    /// When what stands there is no object, or the tags are no lists of strings.
    pub fn params(mut self, key: &str) -> Result<Params, Failure> {
        let any_case = || self.0.keys().find(|name| name.eq_ignore_ascii_case(key)).cloned();
        let name = if self.0.contains_key(key) { Some(key.to_owned()) } else { any_case() };
        let members = match self.0.remove(name.as_deref().unwrap_or("params")) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(Failure::bad_request(format!("the member {key} of the body is not an object"))),
        };
        let (outer, inner): (Tags, Tags) = (wire::read(&self.0)?, wire::read(&members)?);
        let tags = Tags {
            system_tags: outer.system_tags.or(inner.system_tags),
            user_tags: outer.user_tags.or(inner.user_tags),
        };
        Ok(Params { members, tags })
    }
}

fn too_long() -> Failure {
    Failure::Text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {MAX_BODY} bytes"))
}

fn is_limit(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.downcast_ref::<http_body_util::LengthLimitError>().is_some())
}

//! The body around the parameters: `{"<key>": {..}, "systemTags": [..], "userTags": [..]}`.

use super::{
    error::Failure,
    wire::{self, MAX_VALUES, Tags},
};
use crate::visible::visible;
use axum::{
    body::{Body, Bytes, HttpBody},
    http::StatusCode,
};
use http_body_util::BodyExt;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// The longest body in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// The longest body of a set of connections in bytes, where its length is announced.
pub const MAX_SET: usize = 8 * MAX_BODY;
/// The most values in such a body: a few thousand connections.
const MAX_SET_VALUES: usize = 200_000;
/// The longest body of a login in bytes, and of other calls for everybody: who calls is a stranger yet.
const MAX_LOGIN: usize = 16 * 1024;
/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(20);
/// How long nothing of a body may come.
const STALL: Duration = Duration::from_secs(5);
/// The members that are tags.
pub const TAGS: [&str; 2] = ["systemTags", "userTags"];
/// What a client is told that took longer.
const LATE: &str = "the body did not come in time";
/// How much of a member's name is shown, in characters.
const SHOWN: usize = 128;
/// How much of a body that is too long is still read, in bytes.
const SWALLOWED: usize = 256 * MAX_BODY;

/// A body as it came: an object.
pub struct Envelope(Map<String, Value>);

/// The parameters of a call, with its tags.
pub struct Params {
    /// The members of the object under the call's key.
    pub members: Map<String, Value>,
    /// The tags, from beside the parameters or else from among them.
    pub tags: Tags,
    /// The key under which they stand.
    pub key: String,
    /// The names of what stands beside them, but for null and the tags.
    pub beside: Vec<String>,
}

/// Reads the bytes of a body, within bounds of length and time. The caller's credentials were looked at before, and
/// [`super::budget::Bodies`] has room for it.
///
/// # Errors
/// 413, 408 or 400.
pub async fn read_bytes(body: Body) -> Result<Bytes, Failure> {
    read_within(body, MAX_BODY).await
}

async fn read_within(mut body: Body, longest: usize) -> Result<Bytes, Failure> {
    let read = timeout(BODY_TIME, collect(&mut body, longest)).await;
    if let Some(bytes) = read.unwrap_or_else(|_| Err(late()))? {
        return Ok(bytes);
    }
    drop_rest(body);
    Err(Failure::Text(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {longest} bytes")))
}

fn late() -> Failure {
    Failure::Text(StatusCode::REQUEST_TIMEOUT, LATE.into())
}

/// Lets what comes of a stranger's body pass, and keeps none of it.
pub fn drop_rest(body: Body) {
    if !body.is_end_stream() {
        tokio::spawn(timeout(BODY_TIME, swallow(body)));
    }
}

/// The bytes of a body; none if it is too long.
async fn collect(body: &mut Body, longest: usize) -> Result<Option<Bytes>, Failure> {
    // A length that is announced need not be waited for.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > longest {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = timeout(STALL, body.frame()).await.map_err(|_| late())? {
        let frame = frame.map_err(|_| Failure::bad_request("the body broke off"))?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > longest {
            return Ok(None);
        }
        bytes.extend_from_slice(data);
    }
    Ok(Some(bytes.into()))
}

/// Reads what still comes of a body that is refused, and keeps nothing: a client that is cut off while
/// it sends would see a broken connection instead of the answer.
async fn swallow(mut body: Body) {
    let mut left = SWALLOWED;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
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

    /// Reads the body of a login, or of another call for everybody, which is short.
    ///
    /// # Errors
    /// As [`Envelope::read`].
    pub async fn read_login(body: Body) -> Result<Self, Failure> {
        Self::parse(&Zeroizing::new(Vec::from(read_within(body, MAX_LOGIN).await?)))
    }

    /// Reads the body of a request about many connections. Memory was taken for the length that was announced, and
    /// without one for [`MAX_BODY`].
    ///
    /// # Errors
    /// As [`Envelope::read`].
    pub async fn read_set(body: Body) -> Result<Self, Failure> {
        let longest = if body.size_hint().exact().is_some() { MAX_SET } else { MAX_BODY };
        Self::parse_within(&Zeroizing::new(Vec::from(read_within(body, longest).await?)), MAX_SET_VALUES)
    }

    /// Reads the bytes of a body; an empty one counts as an empty object.
    ///
    /// # Errors
    /// As [`Envelope::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        Self::parse_within(bytes, MAX_VALUES)
    }

    fn parse_within(bytes: &[u8], values: usize) -> Result<Self, Failure> {
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::bad_request("the body is not UTF-8"))?;
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        match wire::strict(text, values) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Failure::bad_request("the body is not a JSON object")),
            Err(e) if e.is_data() => Err(Failure::bad_request(e.to_string())),
            // JSON that is beyond us: nested too deep, a number too large, half a surrogate pair.
            Err(e) if serde_json::from_str::<IgnoredAny>(text).is_ok() => Err(Failure::bad_request(e.to_string())),
            Err(e) => Err(Failure::Text(StatusCode::INTERNAL_SERVER_ERROR, format!("the body is not JSON: {e}"))),
        }
    }

    /// The one member that the body must have, which must be an object.
    ///
    /// # Errors
    /// 400 when there is none, or another one beside it, or it is no object.
    pub fn only(self) -> Result<(String, Map<String, Value>), Failure> {
        let count = self.0.len();
        let mut members = self.0.into_iter();
        match (members.next(), count) {
            (Some((name, Value::Object(value))), 1) => Ok((name, value)),
            (Some((name, _)), 1) => {
                let shown: String = name.chars().take(SHOWN).collect();
                Err(Failure::bad_request(format!("the member {} of the body is not an object", visible(&shown))))
            }
            _ => Err(Failure::bad_request(format!(
                "the body must have one member, named as the class of the message, and has {count}"
            ))),
        }
    }

    /// All members.
    #[must_use]
    pub fn into_members(self) -> Map<String, Value> {
        self.0
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
        let beside = self.0.into_iter().filter(|(name, value)| !value.is_null() && !TAGS.contains(&name.as_str()));
        let beside = beside.map(|(name, _)| name).collect();
        Ok(Params { members, tags, key: key.to_owned(), beside })
    }
}

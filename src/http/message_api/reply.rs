//! The answers of the door: an envelope with a state and, when it is done, the result as a text of JSON.

use super::classes::Class;
use crate::{
    error::Error,
    http::{
        error::{Failure, json_response, object},
        inventory::date,
        jobs::as_error,
        zone,
    },
};
use axum::{
    body::{Body, Bytes, to_bytes},
    http::{Response, StatusCode},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// The longest answer of a call that fits into an envelope, in bytes.
const MAX_ANSWER: usize = 4 << 20;

/// The envelope of a message that began then; when it is done, with the time and the result.
pub fn envelope(uuid: Option<&str>, began: Timestamp, done: Option<(Timestamp, &str)>) -> Value {
    let zone = zone::local();
    let state = if done.is_some() { "Done" } else { "Processing" };
    let mut envelope = json!({ "state": state, "createdDate": date(began, &zone) });
    if let Some(uuid) = uuid {
        envelope["uuid"] = uuid.into();
    }
    if let Some((at, result)) = done {
        envelope["finishedDate"] = date(at, &zone).into();
        envelope["result"] = result.into();
    }
    envelope
}

/// The answer while a write is under way: its uuid, to ask again.
pub fn processing(uuid: &str, began: Timestamp) -> Response<Body> {
    json_response(StatusCode::OK, &envelope(Some(uuid), began, None))
}

/// The answer with the result of a call.
pub fn done(began: Timestamp, result: &str) -> Response<Body> {
    json_response(StatusCode::OK, &envelope(None, began, Some((Timestamp::now(), result))))
}

/// The result of a call that failed.
pub fn failed(class: String, error: &Error) -> String {
    json!({ class: { "error": object(error), "success": false } }).to_string()
}

/// The result that the answer of the call for a message of `class` means.
pub async fn of_response(class: &Class, response: Response<Body>) -> String {
    let (class, alias, status) = (class.reply(), class.alias, response.status());
    let Ok(bytes) = to_bytes(response.into_body(), MAX_ANSWER).await else {
        let text = format!(
            "the answer is longer than {MAX_ANSWER} bytes: ask for less, with limit and start, conditions or fields"
        );
        return failed(class, &Error::Argument(text));
    };
    let bytes = alias.and_then(|names| doubled(&bytes, names)).unwrap_or(bytes);
    let result = wrapped(&class, &bytes, status == StatusCode::OK);
    result.unwrap_or_else(|_| failed(class, &as_error(status, &bytes)))
}

/// A short answer with one of its members under another name too.
fn doubled(answer: &Bytes, (name, alias): (&str, &str)) -> Option<Bytes> {
    let mut answer: Value = serde_json::from_slice(answer).ok()?;
    answer[alias] = answer.get(name)?.clone();
    Some(answer.to_string().into())
}

/// The result with the members of an answer, whose text is put in as it is: it may be long.
///
/// # Errors
/// When the answer is no JSON object.
pub fn wrapped(class: &str, answer: &Bytes, success: bool) -> Result<String, Failure> {
    let members = std::str::from_utf8(answer).ok().and_then(|text| text.trim().strip_prefix('{')?.strip_suffix('}'));
    let members = members.ok_or_else(|| Error::Internal("the answer is no JSON object".into()))?.trim();
    let comma = if members.is_empty() { "" } else { "," };
    Ok(format!("{{\"{class}\":{{{members}{comma}\"success\":{success}}}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_refused_with_what_to_do() {
        let class = Class::named("org.zstack.ipsec.APIQueryIPSecConnectionMsg").expect("a class");
        let answer = |length: usize| format!("{{\"inventories\":[\"{}\"]}}", "x".repeat(length));
        let result = async |length| of_response(class, Response::new(Body::from(answer(length)))).await;
        assert!(result(MAX_ANSWER - 100).await.ends_with("\"success\":true}}"));
        let refused = result(MAX_ANSWER).await;
        assert!(refused.contains("SYS.1007") && refused.contains("limit and start"), "{refused}");
    }

    #[tokio::test]
    async fn a_text_is_an_error() {
        let class = Class::named("org.zstack.header.identity.APIValidateSessionMsg").expect("a class");
        let answer = |status, text: &'static str| {
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = status;
            response
        };
        for (status, code) in [(StatusCode::BAD_REQUEST, "SYS.1007"), (StatusCode::INTERNAL_SERVER_ERROR, "SYS.1000")] {
            let result = of_response(class, answer(status, "no \"such\" thing")).await;
            assert!(result.contains(code) && result.contains("no \\\"such\\\" thing"), "{result}");
            assert!(result.ends_with("\"success\":false}}"), "{result}");
        }
        let both = of_response(class, answer(StatusCode::OK, "{\"valid\":true}")).await;
        assert!(both.contains("\"valid\":true,\"validSession\":true"), "{both}");
    }

    #[test]
    fn members_are_wrapped_as_they_are() {
        let result = |answer: &'static str| wrapped("x.APIReply", &Bytes::from_static(answer.as_bytes()), true);
        assert_eq!(result("{}").expect("an object"), r#"{"x.APIReply":{"success":true}}"#);
        assert_eq!(result("{\"a\":\"}\"}\n").expect("an object"), r#"{"x.APIReply":{"a":"}","success":true}}"#);
        for wrong in ["", "null", "[]", "no such path", "{"] {
            assert!(result(wrong).is_err(), "{wrong}");
        }
    }
}

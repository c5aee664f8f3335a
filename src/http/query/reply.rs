//! The answer to a query. An answer with many connections is made while it is sent, a piece at a time: whoever reads
//! slowly, or asks for everything at once, holds what is stored and one piece of text.

use super::Lens;
use crate::{
    agent::View,
    http::{error::json_type, inventory},
};
use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::Value;
use std::{convert::Infallible, iter};

/// How much is made at once, in bytes.
const PIECE: usize = 64 * 1024;

/// `views` as a reply with their `schema`, and with `total` if there is one.
#[must_use]
pub fn reply(views: Vec<View>, shown: &[&'static str], lens: Lens, total: Option<usize>) -> Response {
    let shown = shown.to_vec();
    let counts: Vec<_> = views.iter().map(|view| inventory::counts(view, &shown)).collect();
    let classes = counts.into_iter().enumerate().map(|(index, counts)| {
        let classes = inventory::classes(&format!("inventories[{index}]"), counts)
            .map(|(place, class)| format!("\"{place}\":\"{class}\""))
            .collect::<Vec<_>>();
        comma(index) + &classes.join(",")
    });
    let total = total.map_or_else(String::new, |total| format!(",\"total\":{total}"));
    let end = iter::once(format!("]{total},\"schema\":{{")).chain(classes).chain(iter::once("}}".into()));
    list("{\"inventories\":[".into(), views, move |view| lens.inventory(view, &shown), end)
}

/// An answer of `head`, an item for each of `views`, and `end`.
pub fn list(
    head: String,
    views: Vec<View>,
    item: impl Fn(&View) -> Value + Send + 'static,
    end: impl Iterator<Item = String> + Send + 'static,
) -> Response {
    let items = views.into_iter().enumerate().map(move |(index, view)| comma(index) + &item(&view).to_string());
    let mut texts = iter::once(head).chain(items).chain(end);
    let first = piece(&mut texts);
    if first.len() < PIECE {
        return (json_type(), first).into_response();
    }
    let rest = iter::from_fn(move || Some(piece(&mut texts)).filter(|piece| !piece.is_empty()));
    let pieces = iter::once(first).chain(rest).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    (json_type(), Body::from_stream(stream::iter(pieces))).into_response()
}

/// What stands before the element number `index`.
fn comma(index: usize) -> String {
    if index == 0 { String::new() } else { ",".into() }
}

/// The next piece; one that is shorter than [`PIECE`] is the last.
fn piece(texts: &mut impl Iterator<Item = String>) -> String {
    let mut piece = String::new();
    while piece.len() < PIECE {
        let Some(text) = texts.next() else { break };
        piece.push_str(&text);
    }
    piece
}

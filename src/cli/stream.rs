//! A stream of server-sent events, read event by event.

use super::stop::Result;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// The body of an answer that goes on, read line by line.
pub struct Stream {
    body: Incoming,
    /// Whether the answer has no length: one that has is over at its end, and no agent is awaited.
    pub goes_on: bool,
    /// What came and is not read yet.
    text: Vec<u8>,
    /// The cursor and the data of the event that is being read.
    event: (Option<String>, Option<String>),
}

impl Stream {
    /// The stream in the body of an answer.
    pub fn new(body: Incoming) -> Self {
        let goes_on = body.size_hint().exact().is_none();
        Self { body, goes_on, text: Vec::new(), event: (None, None) }
    }

    /// Reads until `each` returns `false` (true) or the stream ends (false). `cursor` is behind the last event that `each`
    /// had.
    pub async fn read(
        &mut self,
        cursor: &mut Option<String>,
        each: &mut impl FnMut(&str) -> Result<bool>,
    ) -> Result<bool> {
        // A stream that breaks has ended, too.
        while let Some(Ok(frame)) = self.body.frame().await {
            self.text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            while let Some(end) = self.text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).collect();
                if self.line(String::from_utf8_lossy(&line).trim_end(), cursor, each)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reads a line; true if `each` has enough.
    fn line(
        &mut self,
        line: &str,
        cursor: &mut Option<String>,
        each: &mut impl FnMut(&str) -> Result<bool>,
    ) -> Result<bool> {
        let value = |name: &str| line.strip_prefix(name).map(|value| value.trim_start().to_owned());
        if let Some(id) = value("id:") {
            self.event.0 = Some(id);
        } else if let Some(data) = value("data:") {
            self.event.1 = Some(data);
        } else if line.is_empty() {
            let (id, data) = std::mem::take(&mut self.event);
            let wants_more = data.map_or(Ok(true), |data| each(&data))?;
            *cursor = id.or(cursor.take());
            return Ok(!wants_more);
        }
        Ok(false)
    }
}

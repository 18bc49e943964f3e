//! Streamed responses: each event's `data` is a document of its own, its fields continue the response's counter.
//!
//! `data: [DONE]`, `event` lines, comments and blank lines pass byte for byte. Works on any chunking; output depends on the
//! bytes alone.
//!
//! **Ends.** A whole stream has an end marker: `message_stop` for messages, `response.completed`, `.failed` or
//! `.incomplete` for responses, `[DONE]` for all others, each after at least one sealed field. A marker can be forged by the
//! gateway (protocol.md, section 10), except for responses, where the `type` is sealed; so `[DONE]`, which some engines
//! add there too, ends nothing.
//!
//! **Errors.** An error that the engine reports within the stream is sealed like any event, and ends the stream in good order.
//! An error from outside the sealed path (the gateway lost the worker) is an event named `error` whose document holds nothing
//! but a plain `error` object (and `type`, `request_id`): it is passed on as it is and also counts as an end, since the
//! caller learns that the answer failed. Any other plain field is [`OpenError::NotSealed`], so nobody can slip in content.

use rand_core::CryptoRng;

use super::client::ResponseOpener;
use super::error::{OpenError, SealError};
use super::layout::Layout;
use super::server::ResponseSealer;
use crate::field::SealedField;
use crate::json::{Document, Object};
use crate::profile::Endpoint;
use crate::sse::{DEFAULT_MAX_EVENT, Event, Framer, SseError};

/// Sealing writes each byte as two digits and adds a frame to each of a few members; what is sealed must still be an
/// event that the other side, and the gateway, accept.
pub(super) const MAX_SEALED_EVENT: usize = DEFAULT_MAX_EVENT / 2 - (64 << 10);

/// Opens the events of one streamed response.
pub struct StreamOpener {
    framer: Framer,
    state: OpenerState,
    failed: bool,
}

struct OpenerState {
    response: ResponseOpener,
    endpoint: Endpoint,
    ended: bool,
}

impl StreamOpener {
    pub(super) fn new(response: ResponseOpener, endpoint: Endpoint) -> StreamOpener {
        let state = OpenerState { response, endpoint, ended: false };
        StreamOpener { framer: Framer::new(), state, failed: false }
    }

    /// Takes the next bytes and appends the opened events that are complete to `out`. After an error, `out` holds the events
    /// before it, and nothing more will be opened.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), OpenError> {
        if self.failed {
            return Err(OpenError::AfterError);
        }
        let StreamOpener { framer, state, failed } = self;
        let result = framer.push(chunk, |event| state.event(event, out));
        *failed = result.is_err();
        result
    }

    /// The stream has ended. [`OpenError::Truncated`] unless its end marker was there and nothing is left over.
    pub fn finish(mut self) -> Result<(), OpenError> {
        if self.failed {
            return Err(OpenError::AfterError);
        }
        // A last `[DONE]` without its blank line is still the marker; anything else that is unfinished was cut off.
        let whole = match self.framer.finish() {
            None => self.state.ended,
            Some(rest) if self.state.is_end_mark(&rest) => true,
            Some(rest) => self.state.ended && (rest.is_done() || rest.raw().trim_ascii().is_empty()),
        };
        if whole { Ok(()) } else { Err(OpenError::Truncated) }
    }
}

impl OpenerState {
    /// `[DONE]`, where it counts. Before anything was opened it would make an empty answer out of any.
    fn is_end_mark(&self, event: &Event<'_>) -> bool {
        let typed = matches!(self.endpoint, Endpoint::Messages | Endpoint::Responses);
        !typed && self.response.has_opened() && event.is_done()
    }

    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) -> Result<(), OpenError> {
        if !event.has_plain_lines() {
            return Err(OpenError::Sse(SseError::OddLineBreak));
        }
        let data = event.data().unwrap_or_default();
        if data.trim_ascii().is_empty() {
            out.extend_from_slice(event.raw());
            return Ok(());
        }
        if event.is_done() {
            self.ended |= self.is_end_mark(&event);
            out.extend_from_slice(event.raw());
            return Ok(());
        }
        let document = Document::parse(&data).map_err(OpenError::Json)?;
        if is_plain_error(&event, &document) {
            self.ended = true;
            out.extend_from_slice(event.raw());
            return Ok(());
        }
        let layout = Layout::of_document(&data, &document, self.endpoint.response_plain());
        let opened = self.response.open_layout(&layout)?;
        self.ended |= self.response.has_opened() && ends_stream(self.endpoint, &opened);
        event.write_with_data(&opened, out);
        Ok(())
    }
}

/// An error event from outside the sealed path, and nothing but that.
fn is_plain_error(event: &Event<'_>, document: &Document<'_>) -> bool {
    let Document::Object(object) = document else { return false };
    let harmless = |name: &str| matches!(name, "error" | "type" | "request_id");
    event.name().as_deref() == Some("error")
        && object
            .members()
            .iter()
            .all(|member| harmless(&member.name) && SealedField::parse(member.raw).is_err())
        && object.get("error").is_some_and(|error| error.raw.starts_with(b"{"))
}

/// Whether an opened event is the last one of its stream.
fn ends_stream(endpoint: Endpoint, opened: &[u8]) -> bool {
    // Cheap look first: the name must occur before it is worth parsing again.
    let may_end = match endpoint {
        Endpoint::Messages | Endpoint::Responses => true,
        _ => memchr::memmem::find(opened, b"\"error\"").is_some(),
    };
    if !may_end {
        return false;
    }
    let Ok(object) = Object::parse(opened) else { return false };
    if object.get("error").is_some_and(|error| error.raw != b"null") {
        return true;
    }
    let kind = object.string("type").unwrap_or_default();
    match endpoint {
        Endpoint::Messages => matches!(&*kind, "message_stop" | "error"),
        Endpoint::Responses => {
            matches!(&*kind, "response.completed" | "response.failed" | "response.incomplete" | "error")
        }
        _ => false,
    }
}

/// Seals the events of one streamed response.
pub struct StreamSealer {
    framer: Framer,
    response: ResponseSealer,
    endpoint: Endpoint,
}

impl StreamSealer {
    pub(super) fn new(response: ResponseSealer, endpoint: Endpoint) -> StreamSealer {
        StreamSealer { framer: Framer::with_limit(MAX_SEALED_EVENT), response, endpoint }
    }

    /// Takes the next bytes of the engine's stream and appends the sealed events that are complete to `out`. After an error the
    /// stream must be ended; the client notices by the missing end marker.
    pub fn push(
        &mut self,
        chunk: &[u8],
        out: &mut Vec<u8>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), SealError> {
        let StreamSealer { framer, response, endpoint } = self;
        framer.push(chunk, |event| seal_event(response, *endpoint, event, out, rng))
    }

    /// The engine's stream has ended: a last event without its blank line is sealed and completed. Adds no end marker: a
    /// stream that the engine cut short stays recognisable as such.
    pub fn finish(mut self, out: &mut Vec<u8>, rng: &mut dyn CryptoRng) -> Result<(), SealError> {
        let Some(rest) = self.framer.finish() else { return Ok(()) };
        let start = out.len();
        seal_event(&mut self.response, self.endpoint, rest, out, rng)?;
        let written = out.get(start..).unwrap_or_default();
        if !written.ends_with(b"\n") && !written.ends_with(b"\r") {
            out.push(b'\n');
        }
        out.push(b'\n');
        Ok(())
    }
}

fn seal_event(
    response: &mut ResponseSealer,
    endpoint: Endpoint,
    event: Event<'_>,
    out: &mut Vec<u8>,
    rng: &mut dyn CryptoRng,
) -> Result<(), SealError> {
    let data = event.data().unwrap_or_default();
    if data.trim_ascii().is_empty() || event.is_done() {
        out.extend_from_slice(event.raw());
        return Ok(());
    }
    let sealed = response.seal(endpoint, &data, rng)?;
    event.write_with_data(&sealed, out);
    Ok(())
}

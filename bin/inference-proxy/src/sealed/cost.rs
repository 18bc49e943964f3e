//! What an answer costs, read from its plaintext as it passes. Keeps none of it.

use privatemode_wire::usage::{DocumentUsage, StreamUsage, Usage};

use super::{answer::is_kind, work::Known};

/// Reads the cost from the plaintext as it passes.
pub(super) struct Count {
    known: Known,
    found: Found,
}

enum Found {
    Events(StreamUsage),
    Document(DocumentUsage),
    /// Nothing to count.
    Nothing,
    /// Nothing to count any more: what was found before still counts, at the end and for an answer that is given up.
    Before(Option<Usage>, Usage),
}

impl Count {
    /// Of an answer of that content type.
    pub(super) fn of(content_type: &str, known: Known) -> Self {
        let found = if is_kind(content_type, "text/event-stream") {
            Found::Events(StreamUsage::counting())
        } else if is_kind(content_type, "application/json") {
            Found::Document(DocumentUsage::default())
        } else {
            Found::Nothing
        };
        Self { known, found }
    }

    /// Takes the next bytes of the answer.
    pub(super) fn push(&mut self, chunk: &[u8]) {
        match &mut self.found {
            Found::Events(events) => {
                if events.push(chunk).is_err() {
                    tracing::warn!("an event of a stream is too large to be metered");
                    self.found = Found::Before(events.usage(), events.so_far(self.known.prompt_tokens));
                }
            }
            Found::Document(document) => document.push(chunk),
            Found::Nothing | Found::Before(..) => {}
        }
    }

    /// Whether all the work is done when the answer begins.
    pub(super) fn is_document(&self) -> bool {
        matches!(self.found, Found::Document(_))
    }

    /// What the engine reported, and what is known without it.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.with_audio(match &self.found {
            Found::Events(events) => events.usage(),
            Found::Document(document) => document.usage(),
            Found::Nothing => None,
            Found::Before(usage, _) => *usage,
        })
    }

    /// The same of an answer that is given up here.
    pub(super) fn so_far(&self) -> Option<Usage> {
        match &self.found {
            Found::Events(events) => self.with_audio(Some(events.so_far(self.known.prompt_tokens))),
            Found::Before(_, so_far) => self.with_audio(Some(*so_far)),
            Found::Document(_) | Found::Nothing => self.usage(),
        }
    }

    /// Text and subtitles say nothing of their cost: audio is billed by its size.
    fn with_audio(&self, usage: Option<Usage>) -> Option<Usage> {
        let audio = Usage { audio_bytes: self.known.audio_bytes, ..Usage::default() };
        let audio = (audio != Usage::default()).then_some(audio);
        match (usage, audio) {
            (Some(usage), Some(audio)) => Some(usage.merge(audio)),
            (usage, audio) => usage.or(audio),
        }
    }
}

//! Server-sent events: cuts a byte stream into events that can be passed on byte for byte, or with another `data`.
//!
//! Follows the event-stream grammar of the HTML standard (§9.2.5): LF, CR and CRLF line ends, a leading byte-order mark,
//! comments, several `data` lines. Does not interpret `id` and `retry`. The events that come out, and their bytes, do not
//! depend on how the stream was cut into chunks. An event that ends in a bare CR is held until the next byte shows
//! whether a LF belongs to it.

mod ends;

use std::borrow::Cow;

pub use ends::EventEnds;

/// Default limit for one event: a whole answer may come as one event (`response.completed`), sealed in hex.
pub const DEFAULT_MAX_EVENT: usize = 16 << 20;

/// Why a stream cannot be cut into events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// One event is longer than the limit.
    #[error("an event of the stream is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// Bytes that some readers take for a line break, and others do not ([`Event::has_plain_lines`]).
    #[error("an event holds characters that some readers take for a line break")]
    OddLineBreak,
}

/// Cuts a stream into events.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Offset of the line that is being scanned.
    line: usize,
    /// Up to here no line end was found in that line.
    scanned: usize,
    /// No event was taken from the stream yet.
    first: bool,
    limit: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Framer::new()
    }
}

impl Framer {
    /// A framer with [`DEFAULT_MAX_EVENT`].
    pub fn new() -> Framer {
        Framer::with_limit(DEFAULT_MAX_EVENT)
    }

    /// A framer that refuses events longer than `limit` bytes.
    pub fn with_limit(limit: usize) -> Framer {
        Framer { buffer: Vec::new(), line: 0, scanned: 0, first: true, limit }
    }

    /// Takes the next bytes and calls `on_event` for each event that is now complete. The first error of either side ends it;
    /// the framer must not be used after that.
    pub fn push<E: From<SseError>>(
        &mut self,
        chunk: &[u8],
        mut on_event: impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buffer.extend_from_slice(chunk);
        let mut start = 0;
        while let Some(end) = self.event_end() {
            self.check_length(end - start)?;
            let raw = self.buffer.get(start..end).unwrap_or_default();
            on_event(Event::new(raw, std::mem::take(&mut self.first)))?;
            start = end;
        }
        self.buffer.drain(..start);
        self.line -= start;
        self.scanned -= start;
        Ok(self.check_length(self.buffer.len())?)
    }

    /// What is left when the stream has ended: an event without its blank line, or `None`.
    pub fn finish(&mut self) -> Option<Event<'_>> {
        if self.buffer.is_empty() { None } else { Some(Event::new(&self.buffer, self.first)) }
    }

    fn check_length(&self, length: usize) -> Result<(), SseError> {
        if length > self.limit { Err(SseError::TooLong { limit: self.limit }) } else { Ok(()) }
    }

    /// Scans on from where the last call stopped; `Some` is the offset behind the next blank line.
    fn event_end(&mut self) -> Option<usize> {
        loop {
            let rest = self.buffer.get(self.scanned..)?;
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.scanned = self.buffer.len();
                return None;
            };
            let end = self.scanned + at;
            let after = match (self.buffer.get(end), self.buffer.get(end + 1)) {
                (Some(b'\r'), Some(b'\n')) => end + 2,
                (Some(b'\r'), None) => {
                    self.scanned = end;
                    return None;
                }
                _ => end + 1,
            };
            // The byte-order mark is not part of the first line.
            let begin = if self.first && self.line == 0 && self.buffer.starts_with(BOM) {
                BOM.len()
            } else {
                self.line
            };
            let blank = end == begin;
            (self.line, self.scanned) = (after, after);
            if blank {
                return Some(after);
            }
        }
    }
}

const BOM: &[u8] = b"\xef\xbb\xbf";

/// One event with its bytes: lines up to and including the blank line. A lone comment or blank line is an event without data.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    raw: &'a [u8],
    first: bool,
}

impl<'a> Event<'a> {
    fn new(raw: &'a [u8], first: bool) -> Event<'a> {
        Event { raw, first }
    }

    /// All bytes of the event, for passing it on unchanged.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The value of the last `event` line.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        self.lines().filter_map(|line| line.field("event")).last().map(String::from_utf8_lossy)
    }

    /// The payload: the values of all `data` lines, joined by line feeds. `None` without any.
    pub fn data(&self) -> Option<Cow<'a, [u8]>> {
        let mut lines = self.lines().filter_map(|line| line.field("data"));
        let first = lines.next()?;
        let mut joined = Cow::Borrowed(first);
        for line in lines {
            let joined = joined.to_mut();
            joined.push(b'\n');
            joined.extend_from_slice(line);
        }
        Some(joined)
    }

    /// Whether the payload is OpenAI's end marker `[DONE]`.
    pub fn is_done(&self) -> bool {
        self.data().is_some_and(|data| data.trim_ascii() == b"[DONE]")
    }

    /// Whether every reader sees the same lines. Much used clients also break lines at the other separators of Unicode: in
    /// a comment or an identifier, `…U+2028 data: {forged}` is an event of its own to them.
    pub fn has_plain_lines(&self) -> bool {
        // No early exit: this way the loop over a long sealed field is vectorised.
        let odd = self.raw.iter().fold(false, |odd, b| odd | matches!(b, 0x0b | 0x0c | 0x1c..=0x1e));
        let unicode = || {
            std::str::from_utf8(self.raw).is_ok_and(|text| !text.contains(['\u{85}', '\u{2028}', '\u{2029}']))
        };
        !odd && (self.raw.is_ascii() || unicode())
    }

    /// Writes the event with another payload: the first `data` line is replaced (by several where the payload has line
    /// breaks), further ones are left out, all other bytes stay.
    pub fn write_with_data(&self, data: &[u8], out: &mut Vec<u8>) {
        if self.first && self.raw.starts_with(BOM) {
            out.extend_from_slice(BOM);
        }
        let mut written = false;
        for line in self.lines() {
            let Some(old) = line.field("data") else {
                out.extend_from_slice(line.content);
                out.extend_from_slice(line.end);
                continue;
            };
            if std::mem::replace(&mut written, true) {
                continue;
            }
            let prefix = line.content.get(..line.content.len() - old.len()).unwrap_or_default();
            let prefix =
                if prefix.ends_with(b":") || prefix.ends_with(b" ") { prefix } else { b"data: ".as_slice() };
            let end = if line.end.is_empty() { b"\n".as_slice() } else { line.end };
            for part in split_lines(data) {
                out.extend_from_slice(prefix);
                out.extend_from_slice(part.content);
                out.extend_from_slice(end);
            }
        }
    }

    fn lines(&self) -> Lines<'a> {
        let text = if self.first { self.raw.strip_prefix(BOM).unwrap_or(self.raw) } else { self.raw };
        Lines { rest: Some(text), trailing: false }
    }
}

fn split_lines(data: &[u8]) -> Lines<'_> {
    Lines { rest: Some(data), trailing: true }
}

struct Line<'a> {
    content: &'a [u8],
    end: &'a [u8],
}

impl<'a> Line<'a> {
    /// The value if this line sets that field.
    fn field(&self, name: &str) -> Option<&'a [u8]> {
        let value = self.content.strip_prefix(name.as_bytes())?;
        match value.split_first() {
            None => Some(value),
            Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
            Some(_) => None,
        }
    }
}

struct Lines<'a> {
    rest: Option<&'a [u8]>,
    /// Whether an empty text, and the empty text behind a last line end, count as a line.
    trailing: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let text = self.rest?;
        if text.is_empty() && !self.trailing {
            return None;
        }
        let Some(at) = memchr::memchr2(b'\n', b'\r', text) else {
            self.rest = None;
            return Some(Line { content: text, end: b"" });
        };
        let length = if text.get(at..at + 2) == Some(b"\r\n") { 2 } else { 1 };
        self.rest = text.get(at + length..);
        Some(Line { content: text.get(..at)?, end: text.get(at..at + length)? })
    }
}

#[cfg(test)]
mod tests;

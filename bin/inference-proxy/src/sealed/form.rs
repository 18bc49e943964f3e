//! An audio form that passes through: as strict as [`privatemode_wire::multipart`], and holding one boundary.
//!
//! Notes `model` and `stream`, which the head repeats. Where the answer is streamed, the switches that make the engine report
//! usage stand in front, and parts of the same names are left out. Changes nothing else. The two dashes that close the form
//! come last, when all of it was checked: an engine that parses while it reads would otherwise run what is then refused.

use memchr::memmem;
use privatemode_wire::{
    admit::{AdmitError, Stated},
    multipart::{self, MultipartError},
    stream::BodyFields,
};

/// As in [`privatemode_wire::multipart`].
const MAX_PARTS: usize = 1024;
const MAX_HEAD: usize = 8192;
/// No model has a longer name, no switch a longer value.
const MAX_FIELD: usize = 1024;
const USAGE_OPTIONS: [&str; 2] = ["stream_include_usage", "stream_continuous_usage_stats"];

/// One form on its way.
pub(super) struct Form {
    content_type: String,
    /// CRLF, two dashes, the boundary.
    delimiter: Vec<u8>,
    streamed: bool,
    state: State,
    buffer: Vec<u8>,
    /// Bytes that were taken from the buffer: for the place in an error.
    done: usize,
    parts: usize,
    model: Option<Vec<u8>>,
    stream: Option<Vec<u8>>,
    /// Content of files.
    file_bytes: u64,
}

enum State {
    Start,
    AfterDelimiter,
    Head,
    /// In a part's content; `true` until its first bytes were seen.
    Content(Part, bool),
    Epilogue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Passed,
    File,
    Dropped,
    Model,
    Stream,
}

impl Form {
    /// A form with the boundary of `content_type`. `streamed`: what the head says of `stream`.
    pub(super) fn new(content_type: &str, streamed: bool) -> Result<Self, AdmitError> {
        let boundary = multipart::boundary(content_type).map_err(AdmitError::Multipart)?;
        Ok(Self {
            content_type: content_type.to_owned(),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            streamed,
            state: State::Start,
            buffer: Vec::new(),
            done: 0,
            parts: 0,
            model: None,
            stream: None,
            file_bytes: 0,
        })
    }

    /// Takes the next bytes and gives those that go on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<u8>, AdmitError> {
        self.buffer.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.buffer.len());
        while self.step(&mut out)? {}
        Ok(out)
    }

    /// Bytes of the files that have passed so far.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The form has ended; what it says of itself, and its last bytes, which close it.
    pub(super) fn finish(&self) -> Result<(BodyFields<'_>, &[u8]), AdmitError> {
        let error = match self.state {
            State::Epilogue if matches!(&self.buffer[..], b"--" | b"--\r\n") => {
                let model = self.model.as_deref().and_then(|model| std::str::from_utf8(model).ok());
                // Anything else than true and false might be streamed and not metered.
                let stream = Stated::form_stream(self.stream.as_deref()).map_err(AdmitError::Stated)?;
                let fields = BodyFields { model, stream, ..BodyFields::default() };
                return Ok((fields, &self.buffer));
            }
            State::Epilogue => MultipartError::TrailingText,
            State::Start => MultipartError::NoStart,
            State::AfterDelimiter | State::Head | State::Content(..) => MultipartError::NoEnd,
        };
        Err(AdmitError::Multipart(error))
    }

    /// One step; `false` when more bytes are needed.
    fn step(&mut self, out: &mut Vec<u8>) -> Result<bool, AdmitError> {
        match self.state {
            State::Start => self.start(out),
            State::AfterDelimiter => self.after_delimiter(),
            State::Head => self.head(out),
            State::Content(part, first) => self.content(part, first, out),
            State::Epilogue if self.buffer.len() > 4 => {
                Err(AdmitError::Multipart(MultipartError::TrailingText))
            }
            State::Epilogue => Ok(false),
        }
    }

    fn start(&mut self, out: &mut Vec<u8>) -> Result<bool, AdmitError> {
        let opening = self.delimiter.get(2..).unwrap_or_default();
        if self.buffer.len() < opening.len() {
            return Ok(false);
        }
        if !self.buffer.starts_with(opening) {
            return Err(AdmitError::Multipart(MultipartError::NoStart));
        }
        if self.streamed {
            for name in USAGE_OPTIONS {
                out.extend_from_slice(opening);
                out.extend_from_slice(
                    format!("\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\ntrue\r\n").as_bytes(),
                );
            }
        }
        let length = opening.len();
        self.take(length, Some(out));
        self.state = State::AfterDelimiter;
        Ok(true)
    }

    fn after_delimiter(&mut self) -> Result<bool, AdmitError> {
        let Some(next) = self.buffer.first_chunk::<2>() else { return Ok(false) };
        match next {
            b"--" => {
                // They stay in the buffer.
                self.state = State::Epilogue;
                Ok(true)
            }
            b"\r\n" if self.parts < MAX_PARTS => {
                self.parts += 1;
                self.state = State::Head;
                Ok(true)
            }
            b"\r\n" => Err(AdmitError::Multipart(MultipartError::TooManyParts)),
            _ => Err(AdmitError::Multipart(MultipartError::BoundaryInPart { offset: self.done })),
        }
    }

    /// The CRLF of the delimiter's line still stands before the head: a part that is left out takes it along.
    fn head(&mut self, out: &mut Vec<u8>) -> Result<bool, AdmitError> {
        let text = self.buffer.get(2..).unwrap_or_default();
        let window = text.get(..MAX_HEAD).unwrap_or(text);
        let Some(length) = memmem::find(window, b"\r\n\r\n") else {
            return if window.len() < MAX_HEAD { Ok(false) } else { Err(self.bad_head()) };
        };
        let part = self.part(text.get(..length + 4).unwrap_or_default())?;
        self.take(length + 6, (part != Part::Dropped).then_some(out));
        self.state = State::Content(part, true);
        Ok(true)
    }

    /// What to do with the part of that head, which `multipart` reads.
    fn part(&self, head: &[u8]) -> Result<Part, AdmitError> {
        let opening = self.delimiter.get(2..).unwrap_or_default();
        let small = [opening, b"\r\n", head, &self.delimiter, b"--"].concat();
        let form = multipart::Form::parse(&self.content_type, &small).map_err(|error| match error {
            MultipartError::Head { .. } => self.bad_head(),
            error => AdmitError::Multipart(error),
        })?;
        let part = form.parts().first().ok_or_else(|| self.bad_head())?;
        Ok(match part.name.as_str() {
            _ if part.is_file() => Part::File,
            "model" if self.model.is_none() => Part::Model,
            "stream" if self.stream.is_none() => Part::Stream,
            // Two readers could take different ones.
            "model" | "stream" => return Err(self.bad_head()),
            name if self.streamed && USAGE_OPTIONS.contains(&name) => Part::Dropped,
            _ => Part::Passed,
        })
    }

    fn content(&mut self, part: Part, first: bool, out: &mut Vec<u8>) -> Result<bool, AdmitError> {
        if first {
            if self.buffer.len() < self.delimiter.len() {
                return Ok(false);
            }
            if self.buffer.starts_with(self.delimiter.get(2..).unwrap_or_default()) {
                return Err(AdmitError::Multipart(MultipartError::BoundaryInPart { offset: self.done }));
            }
            self.state = State::Content(part, false);
        }
        let found = memmem::find(&self.buffer, &self.delimiter);
        // What could be the beginning of a delimiter stays.
        let content = found.unwrap_or_else(|| (self.buffer.len() + 1).saturating_sub(self.delimiter.len()));
        self.note(part, content)?;
        self.take(content, (part != Part::Dropped).then_some(&mut *out));
        if found.is_none() {
            return Ok(false);
        }
        self.take(self.delimiter.len(), (part != Part::Dropped).then_some(out));
        self.state = State::AfterDelimiter;
        Ok(true)
    }

    /// Keeps content of the two fields that matter, and counts that of files.
    fn note(&mut self, part: Part, length: usize) -> Result<(), AdmitError> {
        let field = match part {
            Part::Passed | Part::Dropped => return Ok(()),
            Part::File => {
                self.file_bytes = self.file_bytes.saturating_add(length as u64);
                return Ok(());
            }
            Part::Model => &mut self.model,
            Part::Stream => &mut self.stream,
        };
        let value = field.get_or_insert_default();
        value.extend_from_slice(self.buffer.get(..length).unwrap_or_default());
        if value.len() > MAX_FIELD { Err(self.bad_head()) } else { Ok(()) }
    }

    fn take(&mut self, length: usize, out: Option<&mut Vec<u8>>) {
        let taken = self.buffer.drain(..length);
        match out {
            Some(out) => out.extend(taken),
            None => drop(taken),
        }
        self.done += length;
    }

    fn bad_head(&self) -> AdmitError {
        AdmitError::Multipart(MultipartError::Head { offset: self.done })
    }
}

#[cfg(test)]
mod tests;

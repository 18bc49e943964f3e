//! Multipart forms (RFC 7578), read strictly and written canonically, on a whole body.
//!
//! The whole body is needed: parts are counted in the order of their names, so the last one may come first. What is limited on
//! purpose, because two readers of one form must never disagree: the body begins with the delimiter (no preamble) and ends
//! with the closing one (no epilogue); line ends are CRLF; every part is `form-data` with a plain `name` (no `name*` of
//! RFC 5987, no `name*0` of RFC 2231); names are UTF-8, and no parameter of the content type says otherwise; no transfer encodings; no nested multipart; the boundary occurs nowhere else. Of a part's headers only name, and
//! whether it is a file, survive: on the wire a file is named after its part (its real name is private) and typed
//! `application/octet-stream`. Repeated names keep their order; old peers keep only the first of them. protocol.md, section 3.

use memchr::memmem;

const MAX_PARTS: usize = 1024;
const MAX_HEAD: usize = 8192;
const MAX_BOUNDARY: usize = 70;

/// Why a body is not a form that we accept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// The content type is not `multipart/form-data`.
    #[error("the content type is not multipart/form-data")]
    NotMultipart,
    /// No `boundary`, or not one of 1 to 70 allowed characters, or a parameter that lets two readers see two forms.
    #[error("the content type has no valid boundary, or parameters beside it other than charset=utf-8")]
    Boundary,
    /// The body does not begin with the delimiter.
    #[error("the form does not begin with its boundary")]
    NoStart,
    /// The closing delimiter is missing.
    #[error("the form has no closing boundary")]
    NoEnd,
    /// The boundary occurs within a part.
    #[error("the boundary occurs within a part (byte {offset})")]
    BoundaryInPart {
        /// Where.
        offset: usize,
    },
    /// Something follows the closing delimiter.
    #[error("unexpected text after the closing boundary")]
    TrailingText,
    /// A part's headers are malformed, or not those of a form field.
    #[error("the headers of a part are invalid (byte {offset})")]
    Head {
        /// Where the part begins.
        offset: usize,
    },
    /// More than 1024 parts.
    #[error("the form has more than {MAX_PARTS} parts")]
    TooManyParts,
}

/// A form as a list of its parts.
#[derive(Debug)]
pub struct Form<'a> {
    boundary: String,
    parts: Vec<Part<'a>>,
}

/// One part of a form.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// The form field's name.
    pub name: String,
    /// The file's name; `None` for a text part.
    pub file_name: Option<String>,
    /// The content.
    pub body: &'a [u8],
}

impl Part<'_> {
    /// Whether this part is a file.
    pub fn is_file(&self) -> bool {
        self.file_name.is_some()
    }

    /// The canonical headers with the blank line behind them. The file's own name is not in them.
    pub fn head(&self) -> String {
        let name = self.name.replace('\\', "\\\\").replace('"', "\\\"");
        if self.is_file() {
            format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
            )
        } else {
            format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n")
        }
    }
}

impl<'a> Form<'a> {
    /// Parses a body by the boundary of its content type.
    pub fn parse(content_type: &str, body: &'a [u8]) -> Result<Form<'a>, MultipartError> {
        let boundary = boundary(content_type)?;
        let delimiter = format!("\r\n--{boundary}");
        let mut offset = delimiter.len() - 2;
        if !body.starts_with(delimiter.as_bytes().get(2..).unwrap_or_default()) {
            return Err(MultipartError::NoStart);
        }
        let finder = memmem::Finder::new(&delimiter);
        let mut parts = Vec::new();
        loop {
            let rest = body.get(offset..).unwrap_or_default();
            if let Some(epilogue) = rest.strip_prefix(b"--") {
                let clean = matches!(epilogue, b"" | b"\r\n");
                return if clean { Ok(Form { boundary, parts }) } else { Err(MultipartError::TrailingText) };
            }
            if !rest.starts_with(b"\r\n") {
                let cut = rest.len() < 2;
                return Err(if cut {
                    MultipartError::NoEnd
                } else {
                    MultipartError::BoundaryInPart { offset }
                });
            }
            if parts.len() == MAX_PARTS {
                return Err(MultipartError::TooManyParts);
            }
            let (name, file_name, start) = head(body, offset + 2)?;
            let content = body.get(start..).unwrap_or_default();
            let length = finder.find(content).ok_or(MultipartError::NoEnd)?;
            let content = content.get(..length).unwrap_or_default();
            if content.starts_with(delimiter.as_bytes().get(2..).unwrap_or_default()) {
                return Err(MultipartError::BoundaryInPart { offset: start });
            }
            parts.push(Part { name, file_name, body: content });
            offset = start + length + delimiter.len();
        }
    }

    /// The parts in document order.
    pub fn parts(&self) -> &[Part<'a>] {
        &self.parts
    }

    /// The first text part of that name.
    pub fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.parts.iter().find(|part| part.name == name && !part.is_file()).map(|part| part.body)
    }

    /// Sets text parts: the first of each name gets the new content, further ones of it are dropped, missing ones are appended.
    pub fn set(&mut self, fields: &[(&str, &'a [u8])]) {
        for (name, content) in fields {
            let mut found = false;
            self.parts.retain_mut(|part| {
                if part.name != *name {
                    return true;
                }
                (part.file_name, part.body) = (None, *content);
                !std::mem::replace(&mut found, true)
            });
            if !found {
                self.parts.push(Part { name: (*name).to_owned(), file_name: None, body: content });
            }
        }
    }

    /// The form as bytes, with the boundary it came with.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size: usize = self.parts.iter().map(|part| part.body.len() + 256).sum();
        let mut out = Vec::with_capacity(size + 128);
        for part in &self.parts {
            out.extend_from_slice(&self.delimiter_line());
            out.extend_from_slice(part.head().as_bytes());
            out.extend_from_slice(part.body);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(&self.closing_line());
        out
    }

    /// What separates parts, as it stands behind a part's content: CRLF, two dashes, the boundary.
    pub fn delimiter(&self) -> Vec<u8> {
        format!("\r\n--{}", self.boundary).into_bytes()
    }

    /// The line before a part, for a writer that ends each part's content with CRLF.
    pub fn delimiter_line(&self) -> Vec<u8> {
        format!("--{}\r\n", self.boundary).into_bytes()
    }

    /// The line behind the last part.
    pub fn closing_line(&self) -> Vec<u8> {
        format!("--{}--\r\n", self.boundary).into_bytes()
    }
}

/// The boundary of a `multipart/form-data` content type.
pub fn boundary(content_type: &str) -> Result<String, MultipartError> {
    let (media, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !media.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::NotMultipart);
    }
    let parameters = parse_parameters(parameters).ok_or(MultipartError::Boundary)?;
    let mut found = None;
    for (name, value) in parameters {
        match name.as_str() {
            "boundary" if found.is_none() => found = Some(value),
            "charset" if value.eq_ignore_ascii_case("utf-8") => {}
            // Engines decode the names of fields by `charset`: in UTF-7, `+AHM-tream` is `stream`. And they join RFC 2231's
            // pieces: `boundary*0=x` replaces `boundary`.
            _ => return Err(MultipartError::Boundary),
        }
    }
    let boundary = found.ok_or(MultipartError::Boundary)?;
    // RFC 2046 §5.1.1: 1 to 70 characters from a set, not ending with white space.
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    let valid = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(allowed)
        && !boundary.ends_with(' ');
    if valid { Ok(boundary) } else { Err(MultipartError::Boundary) }
}

/// Name, file name and offset of the content of the part whose headers begin at `start`.
fn head(body: &[u8], start: usize) -> Result<(String, Option<String>, usize), MultipartError> {
    let fault = || MultipartError::Head { offset: start };
    let window = body.get(start..).unwrap_or_default();
    let window = window.get(..MAX_HEAD).unwrap_or(window);
    let length = memmem::find(window, b"\r\n\r\n").ok_or_else(fault)?;
    let text = window.get(..length).and_then(|head| std::str::from_utf8(head).ok()).ok_or_else(fault)?;
    let mut disposition = None;
    for line in text.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(fault)?;
        if line.contains(['\r', '\n', '\0']) || name.trim() != name {
            return Err(fault());
        }
        match name.to_ascii_lowercase().as_str() {
            "content-disposition" if disposition.is_none() => disposition = Some(value),
            "content-disposition" => return Err(fault()),
            // RFC 7578 §4.7: deprecated. A decoded and an undecoded reading would differ.
            "content-transfer-encoding" if !is_identity(value) => return Err(fault()),
            _ => {}
        }
    }
    let (name, file_name) = disposition.and_then(parse_disposition).ok_or_else(fault)?;
    Ok((name, file_name, start + length + 4))
}

fn is_identity(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|identity| encoding.trim().eq_ignore_ascii_case(identity))
}

fn parse_disposition(value: &str) -> Option<(String, Option<String>)> {
    let (kind, parameters) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    let (mut name, mut file_name) = (None, None);
    for (parameter, value) in parse_parameters(parameters)? {
        let slot = match parameter.as_str() {
            "name" => &mut name,
            "filename" => &mut file_name,
            // RFC 2231 in all its forms: whoever joins `name*0` and `name*1` reads another name than `name`.
            other if other.starts_with("name*") || other.starts_with("filename*") && other != "filename*" => {
                return None;
            }
            // RFC 7578 §4.2: must not be used, but some do next to `filename`. Either says that this is a file.
            "filename*" => {
                file_name = file_name.or(Some(value));
                continue;
            }
            _ => continue,
        };
        if parameter == "name" && slot.is_some() {
            return None;
        }
        *slot = Some(value);
    }
    let name = name.filter(|name| !name.is_empty())?;
    // As in browsers and Go: an empty file name makes no file.
    Some((name, file_name.filter(|file_name| !file_name.is_empty())))
}

/// `; name=value; name="quoted value"`, names in lower case. `None` if malformed.
fn parse_parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*.".contains(&b)) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let (value, after) = after.split_at(after.find(';').unwrap_or(after.len()));
                let value = value.trim();
                if value.is_empty() || value.contains(['"', ' ', '\t']) {
                    return None;
                }
                (value.to_owned(), after)
            }
        };
        parameters.push((name, value));
        let after = after.trim_start();
        rest = if after.is_empty() { after } else { after.strip_prefix(';')?.trim() };
    }
    Some(parameters)
}

/// The text up to the closing quote, and what follows it. Only `\"` and `\\` are escapes: some browsers send the
/// backslashes of Windows paths as they are.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match text.get(at + 1..)?.chars().next()? {
                escaped @ ('"' | '\\') => {
                    characters.next();
                    value.push(escaped);
                }
                _ => value.push('\\'),
            },
            c if c.is_control() => return None,
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests;

//! Where the fields of a body stand and in which order they are counted.
//!
//! A body is cut into pieces in document order: text that stays and fields that are sealed or opened, each with its rank in
//! the order of protocol.md, section 3.

use std::borrow::Cow;

use crate::json::{Document, JsonError};
use crate::multipart::{Form, MultipartError};
use crate::profile::Endpoint;

/// A stretch of a body.
pub(super) enum Piece<'a> {
    /// Stays as it is.
    Text(Cow<'a, [u8]>),
    /// Is sealed or opened.
    Field(Field<'a>),
}

pub(super) struct Field<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: &'a [u8],
    /// Place in the counting order, from 0.
    pub(super) rank: usize,
}

/// What the plaintext of a field must be, so that it cannot break out of its place.
pub(super) enum Content {
    /// One JSON value.
    Json,
    /// Bytes that do not hold the form's delimiter.
    Part { delimiter: Vec<u8> },
    /// Anything.
    Whole,
}

pub(super) struct Layout<'a> {
    pub(super) pieces: Vec<Piece<'a>>,
    pub(super) fields: usize,
    pub(super) content: Content,
}

/// Why a body has no layout.
pub(super) enum LayoutError {
    Json(JsonError),
    Multipart(MultipartError),
    PlainFile { name: String },
}

impl<'a> Layout<'a> {
    pub(super) fn of_request(
        endpoint: Endpoint,
        content_type: Option<&str>,
        body: &'a [u8],
    ) -> Result<Layout<'a>, LayoutError> {
        if endpoint == Endpoint::Unstructured {
            let field = Field { name: Cow::Borrowed("body"), value: body, rank: 0 };
            return Ok(Layout { pieces: vec![Piece::Field(field)], fields: 1, content: Content::Whole });
        }
        if endpoint.is_multipart() {
            let form = Form::parse(content_type.unwrap_or_default(), body).map_err(LayoutError::Multipart)?;
            return Layout::of_form(&form, endpoint.request_plain());
        }
        Layout::of_json(body, endpoint.request_plain())
    }

    pub(super) fn of_response(endpoint: Endpoint, body: &'a [u8]) -> Result<Layout<'a>, LayoutError> {
        Layout::of_json(body, endpoint.response_plain())
    }

    fn of_json(body: &'a [u8], plain: &[&str]) -> Result<Layout<'a>, LayoutError> {
        let document = Document::parse(body).map_err(LayoutError::Json)?;
        Ok(Layout::of_document(body, &document, plain))
    }

    pub(super) fn of_document(body: &'a [u8], document: &Document<'a>, plain: &[&str]) -> Layout<'a> {
        let mut pieces = Vec::new();
        let mut done = 0;
        let mut push = |name: Cow<'a, str>, span: &std::ops::Range<usize>, value| {
            pieces.push(Piece::Text(Cow::Borrowed(body.get(done..span.start).unwrap_or_default())));
            pieces.push(Piece::Field(Field { name, value, rank: 0 }));
            done = span.end;
        };
        match document {
            Document::Object(object) => {
                for member in object.members().iter().filter(|member| !plain.contains(&&*member.name)) {
                    push(member.name.clone(), &member.span, member.raw);
                }
            }
            Document::Array(array) => {
                for (index, element) in array.elements().iter().enumerate() {
                    push(Cow::Owned(index.to_string()), &element.span, element.raw);
                }
            }
        }
        pieces.push(Piece::Text(Cow::Borrowed(body.get(done..).unwrap_or_default())));
        // For array elements the names are their decimal indexes, which hold nothing to escape.
        let fields = rank(&mut pieces, |a, b| escaped(&a.name).cmp(escaped(&b.name)));
        Layout { pieces, fields, content: Content::Json }
    }

    fn of_form(form: &Form<'a>, plain: &[&str]) -> Result<Layout<'a>, LayoutError> {
        let mut pieces = Vec::new();
        let mut files = Vec::new();
        for part in form.parts() {
            let is_plain = plain.contains(&part.name.as_str());
            if is_plain && part.is_file() {
                return Err(LayoutError::PlainFile { name: part.name.clone() });
            }
            let mut head = form.delimiter_line();
            head.extend_from_slice(part.head().as_bytes());
            pieces.push(Piece::Text(Cow::Owned(head)));
            if is_plain {
                pieces.push(Piece::Text(Cow::Borrowed(part.body)));
            } else {
                let name = Cow::Owned(part.name.clone());
                pieces.push(Piece::Field(Field {
                    name,
                    value: part.body,
                    rank: usize::from(part.is_file()),
                }));
                files.push(part.is_file());
            }
            pieces.push(Piece::Text(Cow::Borrowed(b"\r\n")));
        }
        pieces.push(Piece::Text(Cow::Owned(form.closing_line())));
        // Text parts first, then files (marked by the provisional rank above); the sort is stable for repeated names.
        let fields = rank(&mut pieces, |a, b| (a.rank, a.name.as_bytes()).cmp(&(b.rank, b.name.as_bytes())));
        Ok(Layout { pieces, fields, content: Content::Part { delimiter: form.delimiter() } })
    }
}

/// Numbers the fields in the given order and returns how many there are.
fn rank(pieces: &mut [Piece<'_>], order: impl Fn(&Field<'_>, &Field<'_>) -> std::cmp::Ordering) -> usize {
    let mut fields: Vec<&mut Field<'_>> = pieces
        .iter_mut()
        .filter_map(|piece| match piece {
            Piece::Field(field) => Some(field),
            Piece::Text(_) => None,
        })
        .collect();
    fields.sort_by(|a, b| order(a, b));
    for (rank, field) in fields.iter_mut().enumerate() {
        field.rank = rank;
    }
    fields.len()
}

/// A name as it is sorted: `.`, `?` and `*` behind a backslash each.
fn escaped(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().flat_map(|b| {
        let escape = matches!(b, b'.' | b'?' | b'*').then_some(b'\\');
        escape.into_iter().chain(std::iter::once(b))
    })
}

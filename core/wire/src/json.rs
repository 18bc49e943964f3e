//! JSON by spans: finds the top-level members of a document and edits them in place, keeping every other byte.
//!
//! Nothing is converted: number formats, escapes and white space inside values survive. Validates the whole grammar
//! (RFC 8259) without recursion, so nesting cannot overflow the stack; the work is linear in the text, plus sorting the
//! names. Does not build a tree and does not look at duplicate names below the top level.

mod edit;
mod error;
mod scan;
mod string;

use std::borrow::Cow;
use std::ops::Range;

pub use edit::Editor;
pub use error::{JsonError, JsonErrorKind};
pub use string::{quote, string_value};

/// Deepest nesting that is accepted.
pub const MAX_DEPTH: usize = 512;
/// Most members of one object. Each costs many times its bytes in memory, so a hostile text of tiny ones could exhaust it.
pub const MAX_MEMBERS: usize = 1 << 16;
/// Most elements of one array.
pub const MAX_ELEMENTS: usize = 1 << 20;

/// One member of a top-level object.
#[derive(Debug)]
pub struct Member<'a> {
    /// The name with escapes undone. Lone surrogates become U+FFFD.
    pub name: Cow<'a, str>,
    /// Where the name stands, with its quotes.
    pub name_span: Range<usize>,
    /// Where the value stands.
    pub span: Range<usize>,
    /// The value as it stands in the document.
    pub raw: &'a [u8],
}

/// A document whose top level is an object, as a list of spans.
#[derive(Debug)]
pub struct Object<'a> {
    text: &'a [u8],
    members: Vec<Member<'a>>,
    /// Offset of the closing brace.
    close: usize,
}

impl<'a> Object<'a> {
    /// Finds the members. Refuses anything but one valid JSON object, and refuses equal names, however they are escaped: two
    /// readers of the same document must never disagree about which of two values counts.
    pub fn parse(text: &'a [u8]) -> Result<Object<'a>, JsonError> {
        match Document::parse(text)? {
            Document::Object(object) => Ok(object),
            Document::Array(_) => Err(JsonError::new(text, first_byte(text), JsonErrorKind::NotAnObject)),
        }
    }

    /// All members in document order.
    pub fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// The member of that (unescaped) name.
    pub fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The unescaped text of a string member.
    pub fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        string_value(self.get(name)?.raw)
    }

    /// Whether a member is literally `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|member| member.raw == b"true")
    }

    /// The document.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// One element of a top-level array.
#[derive(Debug)]
pub struct Element<'a> {
    /// Where the value stands.
    pub span: Range<usize>,
    /// The value as it stands in the document.
    pub raw: &'a [u8],
}

/// A document whose top level is an array, as a list of spans.
#[derive(Debug)]
pub struct Array<'a> {
    text: &'a [u8],
    elements: Vec<Element<'a>>,
}

impl<'a> Array<'a> {
    /// Finds the elements. Refuses anything but one valid JSON array.
    pub fn parse(text: &'a [u8]) -> Result<Array<'a>, JsonError> {
        match Document::parse(text)? {
            Document::Array(array) => Ok(array),
            Document::Object(_) => Err(JsonError::new(text, first_byte(text), JsonErrorKind::NotAnArray)),
        }
    }

    /// All elements in document order.
    pub fn elements(&self) -> &[Element<'a>] {
        &self.elements
    }

    /// The document.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }
}

/// A document of either shape.
#[derive(Debug)]
pub enum Document<'a> {
    /// `{…}`
    Object(Object<'a>),
    /// `[…]`
    Array(Array<'a>),
}

impl<'a> Document<'a> {
    /// Parses an object or an array; a bare string, number or literal is refused.
    pub fn parse(text: &'a [u8]) -> Result<Document<'a>, JsonError> {
        scan::document(text)
    }
}

/// Checks that the bytes are exactly one JSON value of any kind, without white space around it.
pub fn validate_value(text: &[u8]) -> Result<(), JsonError> {
    scan::single_value(text)
}

fn first_byte(text: &[u8]) -> usize {
    text.iter().position(|b| !scan::is_space(*b)).unwrap_or(0)
}

#[cfg(test)]
mod tests;

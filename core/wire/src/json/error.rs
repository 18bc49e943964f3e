//! Why a text is not the JSON we accept, and where.

/// A fault in a JSON text. `Display` names line and column; never the content around it, which may be a prompt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line}, column {column} (byte {offset})")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Offset in bytes from the beginning of the text.
    pub offset: usize,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
}

/// What can be wrong with a JSON text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// The text ends within a value.
    #[error("unexpected end of JSON")]
    UnexpectedEnd,
    /// A byte that the grammar does not allow here.
    #[error("expected {expected}")]
    Expected {
        /// What the grammar allows here.
        expected: &'static str,
    },
    /// Something follows the document.
    #[error("unexpected text after the JSON document")]
    TrailingText,
    /// A control character that must be escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// An unknown escape, or `\u` without four hexadecimal digits.
    #[error("invalid escape in a string")]
    BadEscape,
    /// Not a number as JSON writes them.
    #[error("invalid number")]
    BadNumber,
    /// Nested deeper than [`super::MAX_DEPTH`].
    #[error("nested deeper than {} levels", super::MAX_DEPTH)]
    TooDeep,
    /// More than [`super::MAX_MEMBERS`] members or [`super::MAX_ELEMENTS`] elements.
    #[error("more than {most} members or elements")]
    TooMany {
        /// The limit.
        most: usize,
    },
    /// Two members of one name.
    #[error("duplicate member name")]
    DuplicateName,
    /// Not UTF-8.
    #[error("invalid UTF-8")]
    NotUtf8,
    /// The top level is something else.
    #[error("expected a JSON object")]
    NotAnObject,
    /// The top level is something else.
    #[error("expected a JSON array")]
    NotAnArray,
    /// The top level is a bare string, number or literal.
    #[error("expected a JSON object or array")]
    NotADocument,
}

impl JsonError {
    pub(crate) fn new(text: &[u8], offset: usize, kind: JsonErrorKind) -> JsonError {
        let offset = offset.min(text.len());
        let before = text.get(..offset).unwrap_or_default();
        let line = memchr::memchr_iter(b'\n', before).count() + 1;
        let column = offset - memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1) + 1;
        JsonError { kind, offset, line, column }
    }
}

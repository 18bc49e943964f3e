//! Why a body cannot be sealed or opened.

use crate::json::JsonError;
use crate::multipart::MultipartError;
use crate::sse::SseError;

/// Why a body cannot be sealed. `Json` and `Multipart` are faults of whoever wrote the body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a JSON document that we accept.
    #[error("the body is not valid JSON")]
    Json(#[source] JsonError),
    /// Not a multipart form that we accept.
    #[error("the body is not a valid multipart form")]
    Multipart(#[source] MultipartError),
    /// Not an event stream that we accept.
    #[error("the stream cannot be split into events")]
    Sse(#[source] SseError),
    /// A file under a name that is kept readable would travel in the clear.
    #[error("the form field `{name}` must not be a file")]
    PlainFile {
        /// The form field.
        name: String,
    },
    /// The 32-bit counter of this direction is used up.
    #[error("more fields than one exchange can hold")]
    TooManyFields,
    /// A value beyond the limit of AES-GCM (64 GiB).
    #[error("a value is too long to be encrypted")]
    TooLong,
}

/// Why a body cannot be opened. Everything but `Json`, `Multipart` and `Sse` means that it was not sealed for this place in
/// this exchange: by a fault or by an attack.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not a JSON document that we accept.
    #[error("the body is not valid JSON")]
    Json(#[source] JsonError),
    /// Not a multipart form that we accept.
    #[error("the body is not a valid multipart form")]
    Multipart(#[source] MultipartError),
    /// Not an event stream that we accept.
    #[error("the stream cannot be split into events")]
    Sse(#[source] SseError),
    /// A field arrives in the clear that must be sealed.
    #[error("the field `{name}` is not encrypted")]
    NotSealed {
        /// The field.
        name: String,
    },
    /// A response without a single sealed field: nothing says that it is the worker's.
    #[error("nothing in the body is encrypted")]
    NothingSealed,
    /// It looks like a sealed field, but its parts have the wrong form or length.
    #[error("the encrypted field `{name}` is malformed")]
    Malformed {
        /// The field.
        name: String,
    },
    /// Sealed under another secret than the rest of the exchange.
    #[error("the encrypted field `{name}` names another secret")]
    WrongSecretId {
        /// The field.
        name: String,
    },
    /// From another exchange.
    #[error("the encrypted field `{name}` belongs to another exchange")]
    WrongNonce {
        /// The field.
        name: String,
    },
    /// A field of the request comes back as part of the response.
    #[error("the encrypted field `{name}` was copied from the request")]
    Reflected {
        /// The field.
        name: String,
    },
    /// Changed, moved, renamed out of order, repeated, or behind a dropped field; or sealed with another secret.
    #[error("the encrypted field `{name}` was changed or moved")]
    Tampered {
        /// The field.
        name: String,
    },
    /// The plaintext would break out of its place in the document.
    #[error("the content of the encrypted field `{name}` does not fit the document")]
    BadContent {
        /// The field.
        name: String,
    },
    /// The 32-bit counter of this direction is used up.
    #[error("more fields than one exchange can hold")]
    TooManyFields,
    /// The stream ended without its end marker: the answer is not whole.
    #[error("the stream was cut off before its end")]
    Truncated,
    /// The stream has failed before; what follows cannot be trusted.
    #[error("the stream has failed already")]
    AfterError,
}

impl From<SseError> for SealError {
    fn from(error: SseError) -> SealError {
        SealError::Sse(error)
    }
}

impl From<SseError> for OpenError {
    fn from(error: SseError) -> OpenError {
        OpenError::Sse(error)
    }
}

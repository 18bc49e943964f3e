//! What can go wrong with a sealed body.

use super::head::HeadError;
use super::trailer::TrailerError;

/// Why nothing (more) can be sealed. Nothing of these is the peer's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// 2^32 segments were sealed.
    #[error("this direction of the exchange has used up its 2^32 segments; begin a new exchange")]
    TooManySegments,
    /// Data and padding of one segment exceed its capacity.
    #[error("a segment would be longer than 64 KiB")]
    SegmentTooLong,
    /// The head does not fit or says what a peer would refuse.
    #[error("the head cannot be sent")]
    Head(#[source] HeadError),
    /// The trailer does not fit.
    #[error("the trailer cannot be sent")]
    Trailer(#[source] TrailerError),
    /// A request that did not arrive whole may only be refused.
    #[error(
        "the request did not arrive whole and may only be answered with an error, not with status {status}"
    )]
    RequestIncomplete {
        /// The status that was to be sent.
        status: u16,
    },
    /// The answer names another request.
    #[error("the response's head names another request than the one that was read")]
    RequestId,
    /// This cannot happen.
    #[error("internal error: {0}")]
    Bug(&'static str),
}

/// Why a sealed body is refused. After any of these nothing more is given out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Longer or shorter than any segment is.
    #[error("a segment claims {length} bytes; segments have 31 to 65565")]
    SegmentLength {
        /// The length claimed.
        length: u32,
    },
    /// Neither "more" nor "last".
    #[error("segment {segment} has the unknown flag {flag}")]
    Flag {
        /// Its number.
        segment: u32,
        /// The flag.
        flag: u8,
    },
    /// The tag does not fit: changed, moved, repeated, left out, or sealed under another key.
    #[error("segment {segment} was tampered with, or belongs elsewhere")]
    Tampered {
        /// The number at which it stood.
        segment: u32,
    },
    /// More padding than the segment has bytes.
    #[error("segment {segment} claims more padding than it has bytes")]
    Padding {
        /// Its number.
        segment: u32,
    },
    /// There is something behind the end.
    #[error("there are bytes behind the last segment")]
    AfterLast,
    /// More than 2^32 segments.
    #[error("there are more than 2^32 segments")]
    TooManySegments,
    /// The last segment is missing.
    #[error("the body was cut off: its last segment is missing")]
    Truncated,
    /// The head is not whole within the first segment.
    #[error("the head is not within the first segment")]
    HeadCut,
    /// The head is longer than any head is.
    #[error("the head claims {length} bytes, more than a head may have")]
    HeadTooLong {
        /// The length claimed.
        length: u32,
    },
    /// The head is not what it must be.
    #[error("the head is malformed")]
    Head(#[source] HeadError),
    /// The response answers another request.
    #[error("the response answers another request")]
    RequestId,
    /// The last segment of a response holds no trailer.
    #[error("the response's trailer is malformed")]
    Trailer(#[source] TrailerError),
}

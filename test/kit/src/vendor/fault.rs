//! How a vendor, or what stands between, misbehaves.

use std::{
    future::pending,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};

use super::{publish::Published, status};
use crate::connection::{Failure, FakeBody};

/// One kind of misbehaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The connection is closed without an answer.
    Reset,
    /// No answer, ever.
    Stalled,
    /// The answer's first half, then nothing, ever.
    StalledWithin,
    /// The right answer, but only after [`super::VendorServer::release`].
    HeldBack,
    /// 429, with `Retry-After` where given.
    TooManyRequests {
        /// Value of the header.
        retry_after: Option<String>,
    },
    /// This status and no document.
    Status(u16),
    /// The connection breaks in the middle of the document.
    Truncated,
    /// Half of the document as if it were the whole.
    Halved,
    /// Another document in its place, with the same headers: stale, wrongly signed, or a page.
    Instead(Vec<u8>),
    /// As many bytes are announced, and none sent: who waits for them waits for ever.
    Oversized(usize),
    /// As many bytes and more, unannounced; then the connection breaks: who reads on sees that.
    OversizedChunks(usize),
    /// 302 to there.
    Redirect(String),
    /// The right document under another media type.
    ContentType(String),
    /// The right document without the headers beside it.
    WithoutIssuers,
}

impl Fault {
    pub(super) async fn answer(self, document: Option<Published>) -> Result<Response<FakeBody>, Failure> {
        let mut document = document.unwrap_or_default();
        match self {
            Self::Reset => Err("told to hang up".into()),
            Self::Stalled => pending().await,
            Self::HeldBack => document.into_response(), // the caller has waited
            Self::TooManyRequests { retry_after } => {
                let mut response = status(StatusCode::TOO_MANY_REQUESTS)?;
                if let Some(value) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, value.parse()?);
                }
                Ok(response)
            }
            Self::Status(code) => status(StatusCode::from_u16(code)?),
            Self::StalledWithin => cut(document, End::Silence),
            Self::Truncated => cut(document, End::Breaks),
            Self::Halved => {
                document.body.truncate(document.body.len() / 2);
                document.into_response()
            }
            Self::Instead(body) => {
                document.body = body;
                document.into_response()
            }
            Self::Oversized(length) => {
                let mut response = Response::new(Partial::body(Vec::new(), End::Silence));
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
                Ok(response)
            }
            Self::OversizedChunks(length) => Ok(Response::new(chunks(length))),
            Self::Redirect(location) => {
                let mut response = status(StatusCode::FOUND)?;
                response.headers_mut().insert(header::LOCATION, location.parse()?);
                Ok(response)
            }
            Self::ContentType(content_type) => {
                document.content_type = content_type;
                document.into_response()
            }
            Self::WithoutIssuers => {
                document.headers.clear();
                document.into_response()
            }
        }
    }
}

/// Announces the whole document and sends half of it; then the connection breaks, or goes silent.
fn cut(document: Published, end: End) -> Result<Response<FakeBody>, Failure> {
    let length = document.body.len();
    let half = Bytes::copy_from_slice(document.body.get(..length / 2).unwrap_or_default());
    let (mut parts, _) = document.into_response()?.into_parts();
    parts.headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(Response::from_parts(parts, Partial::body(vec![half], end)))
}

const PIECE: usize = 64 << 10;

fn chunks(length: usize) -> FakeBody {
    let piece = Bytes::from(vec![b' '; PIECE]);
    Partial::body(vec![piece; length.div_ceil(PIECE)], End::Breaks)
}

/// How a body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Silence,
    Breaks,
    /// One turn after the last piece, so that hyper has written what came before.
    Broken,
}

struct Partial {
    pieces: Vec<Bytes>,
    end: End,
}

impl Partial {
    fn body(pieces: Vec<Bytes>, end: End) -> FakeBody {
        Self { pieces, end }.boxed_unsync()
    }
}

impl Body for Partial {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match self.end {
            End::Silence => Poll::Pending, // until the caller hangs up
            End::Breaks => {
                self.end = End::Broken;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err("told to break".into()))),
        }
    }
}

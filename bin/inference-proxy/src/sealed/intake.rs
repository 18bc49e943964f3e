//! A sealed request as it arrives: its head, then its body piece by piece. Holds one frame of HTTP and one segment.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::Body;
use privatemode_service::{BodyError, BoxError};
use privatemode_wire::stream::{ReadError, RequestHead, RequestPart, RequestReader, Responder};

use crate::{arrival::Arrival, budget::Buffer};

/// Why a sealed request could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntakeError {
    /// What arrived is not what was sealed.
    #[error("the request cannot be opened")]
    Read(#[source] ReadError),
    /// It did not arrive, or is too large.
    #[error("the request's body did not arrive")]
    Body(#[source] BodyError),
}

/// One request being read. In the end it gives what seals the answer.
pub(super) struct Intake<B> {
    body: Arrival<B>,
    /// What is left of the last frame.
    frame: Bytes,
    state: State,
    taken: usize,
}

enum State {
    Reading(Box<RequestReader>),
    Whole(Box<Responder>),
    Gone,
}

impl<B> Intake<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(body: Arrival<B>, reader: RequestReader) -> Self {
        Self { body, frame: Bytes::new(), state: State::Reading(Box::new(reader)), taken: 0 }
    }

    /// How much time is left for all of it.
    pub(super) fn remaining(&self) -> Duration {
        self.body.remaining()
    }

    /// The head. Of the body behind it nothing is given out.
    pub(super) async fn head(&mut self) -> Result<RequestHead, IntakeError> {
        loop {
            if let State::Reading(reader) = &mut self.state {
                let mut input: &[u8] = &self.frame;
                let part = reader.next(&mut input).map_err(IntakeError::Read)?;
                let head = match part {
                    Some(RequestPart::Head(head)) => Some(head.clone()),
                    Some(RequestPart::Body(_)) | None => None,
                };
                let used = self.frame.len() - input.len();
                self.frame.advance(used);
                if let Some(head) = head {
                    return Ok(head);
                }
            }
            if !self.more().await? {
                return Err(IntakeError::Read(ReadError::Truncated));
            }
        }
    }

    /// Opens what has arrived and gives it to `take`; at most `max` bytes in all calls together.
    pub(super) fn open(
        &mut self,
        max: usize,
        take: &mut dyn FnMut(&[u8]) -> Result<(), BodyError>,
    ) -> Result<(), IntakeError> {
        let State::Reading(reader) = &mut self.state else { return Ok(()) };
        let mut input: &[u8] = &self.frame;
        while let Some(part) = reader.next(&mut input).map_err(IntakeError::Read)? {
            let RequestPart::Body(data) = part else { continue };
            self.taken = self.taken.saturating_add(data.len());
            if self.taken > max {
                return Err(IntakeError::Body(BodyError::TooLarge { max }));
            }
            take(data).map_err(IntakeError::Body)?;
        }
        self.frame = Bytes::new();
        Ok(())
    }

    /// Waits for the next frame; `false` at the end.
    pub(super) async fn more(&mut self) -> Result<bool, IntakeError> {
        let next = self.body.next().await.map_err(IntakeError::Body)?;
        let more = next.is_some();
        self.frame = next.unwrap_or_default();
        Ok(more)
    }

    /// The whole body, into `buffer`.
    pub(super) async fn whole(&mut self, max: usize, buffer: &mut Buffer) -> Result<(), IntakeError> {
        loop {
            self.open(max, &mut |data| buffer.extend(data))?;
            if !self.more().await? {
                return Ok(());
            }
        }
    }

    /// The input has ended: the request is whole, or it was cut off.
    pub(super) fn finish(&mut self) -> Result<&Responder, IntakeError> {
        let cut = || IntakeError::Read(ReadError::Truncated);
        if let State::Reading(reader) = &self.state {
            // First: a request that was cut off can still be refused, under seal.
            reader.check_end().map_err(IntakeError::Read)?;
        }
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Reading(reader) => State::Whole(Box::new(reader.finish().map_err(IntakeError::Read)?)),
            state => state,
        };
        match &self.state {
            State::Whole(responder) => Ok(responder),
            State::Reading(_) | State::Gone => Err(cut()),
        }
    }

    /// Seals the answer: any if the request was whole, an error otherwise. `None` before the head.
    pub(super) fn into_responder(self) -> Option<Responder> {
        match self.state {
            State::Reading(reader) => reader.refuse(),
            State::Whole(responder) => Some(*responder),
            State::Gone => None,
        }
    }
}

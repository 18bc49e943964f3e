//! A refusal or a failure that travels sealed.

use http::header;
use privatemode_service::ApiError;
use privatemode_wire::{
    replay::Refusal,
    stream::{Outcome, Responder, ResponseHead},
};

use super::{Exchange, intake::IntakeError, work::Asked};
use crate::{ClaimError, failure};

/// Why a request gets no answer of the engine.
pub(super) struct Denial {
    pub(super) error: ApiError,
    /// The replay memory's word, for the head.
    pub(super) refusal: Option<Box<Refusal>>,
}

impl From<ApiError> for Denial {
    fn from(error: ApiError) -> Self {
        Self { error, refusal: None }
    }
}

impl From<IntakeError> for Denial {
    fn from(error: IntakeError) -> Self {
        failure::intake(error).into()
    }
}

impl Denial {
    pub(super) fn claim(error: &ClaimError) -> Self {
        let refusal = match error {
            ClaimError::Refused(refusal) => Some(Box::new(*refusal)),
            ClaimError::Unreachable(_) | ClaimError::Answer { .. } => None,
        };
        Self { error: failure::claim(error), refusal }
    }
}

impl Exchange<'_> {
    /// An error that only the client can read, padded like any answer.
    pub(super) fn deny(
        &self,
        responder: Responder,
        Denial { error, refusal }: Denial,
    ) -> http::Response<privatemode_service::BoxBody> {
        const JSON: &str = "application/json";
        failure::log(&error);
        let mut head = match refusal {
            Some(refusal) => ResponseHead::refused(*refusal, JSON, self.head.request_id),
            None => ResponseHead::new(error.status.as_u16(), Some(JSON), self.head.request_id),
        };
        let retry = error.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        head.headers.extend(retry.map(|value| (header::RETRY_AFTER.to_string(), value.to_owned())));
        let json = failure::sealable_json(self.endpoint, &error);
        self.respond(responder, &head, Asked::own(json), Outcome::Complete)
    }
}

//! A caller that leaves in the middle of an answer: where receipts are kept, the worker is asked to end the answer, and what
//! it signs of that is awaited. Where none is kept, the connection is dropped, which ends the answer just as well.
//! Specification: protocol.md §9 (receipt).

use std::{sync::Arc, time::Duration};

use http::Method;
use privatemode_service::Chain;
use privatemode_wire::stream::outer::{EXCHANGES, ExchangeId};

use super::{
    answer::AnswerError,
    segments::{End, Part, Segments},
};
use crate::{
    key::ApiKey,
    upstream::{Upstream, identity},
};

/// How long an answer that nobody reads is awaited. The worker ends it at once; the rest is the network's.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// Ends one answer before its time.
pub(super) struct Ending {
    pub(super) upstream: Arc<Upstream>,
    /// The key that began it: no other one may end it.
    pub(super) key: Arc<ApiKey>,
    pub(super) exchange: ExchangeId,
}

impl Ending {
    /// Asks for the end, and reads on into nothing until it is there. `None` if it does not come.
    pub(super) async fn wind_up(self, segments: Segments) -> Option<Box<End>> {
        let both = async { tokio::join!(self.ask(), rest(segments)).1 };
        match tokio::time::timeout(LEFT_BEHIND, both).await {
            Ok(Ok(end)) => return Some(end),
            Ok(Err(error)) => {
                tracing::warn!(reason = %Chain(&error), "an answer whose caller left has no receipt");
            }
            Err(_) => tracing::warn!("an answer whose caller left did not end in time: it has no receipt"),
        }
        None
    }

    async fn ask(&self) {
        let path = format!("{EXCHANGES}{}", self.exchange);
        let headers = identity(Some(&self.key));
        match self.upstream.send(Method::DELETE, &path, headers, reqwest::Body::default()).await {
            // Not there: it has ended by itself, or the gateway does not know of this and the answer goes on.
            Ok(answer) => {
                tracing::debug!(status = answer.status().as_u16(), "asked for the end of an answer");
            }
            Err(error) => {
                let error = error.without_url();
                tracing::warn!(error = %Chain(&error), "cannot ask for the end of an answer");
            }
        }
    }
}

async fn rest(mut segments: Segments) -> Result<Box<End>, AnswerError> {
    loop {
        if let Part::End(end) = segments.next().await? {
            return Ok(end);
        }
    }
}

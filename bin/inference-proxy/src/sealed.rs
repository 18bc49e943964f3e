//! One request whose whole body is sealed (protocol.md §9), from its head to the trailer of its answer. The order of the
//! checks, after path and content type (`crate::handler`, steps 1 and 2):
//!
//! 3. the outer headers, each once — they say what opens the body
//! 4. the secret — clients without a live one must renew it
//! 5. the OCSP policy, under the secret's MAC — before anything is decrypted on a machine that the client refuses
//! 6. the sealed head opens — errors up to here travel plain, all later ones sealed
//! 7. the head says what the outer headers say — the gateway routed and will bill by those
//! 8. the request is claimed, once over all workers — begins here and overlaps 9 to 13 (after a restart it comes before them);
//!    nothing is answered before it
//! 9. the body, whole and authentic: JSON is held, within its cap and the budget; forms and documents pass through
//! 10. the salt and the media URLs — the engine would share a cache, or fetch what it is told to
//! 11. the body says what the head says — nobody is billed for one model and served another
//! 12. usage options — so that the engine reports what is billed
//! 13. the engine
//!
//! Of what passes through, the engine has seen the beginning when 9 or 11 fails: its connection is broken then, so that it never
//! has the whole.

mod answer;
mod cost;
mod denial;
mod fields;
mod form;
mod intake;
mod outer;
mod receipts;
mod upload;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, request::Parts};
use http_body::Body;
use privatemode_service::{ApiError, BoxBody, BoxError};
use privatemode_store::claims::Now;
use privatemode_wire::{
    Endpoint,
    replay::ReplayKey,
    stream::{Padding, RequestHead, RequestReader, UnixMillis},
};

use crate::{Claims, Worker, arrival::Arrival, failure, request::engine_path};

use denial::Denial;
use intake::Intake;
pub(crate) use intake::IntakeError;
use outer::OuterHeaders;
pub use receipts::ReceiptSigner;
use work::Asked;

/// What sealed bodies need beyond what the compatible protocol does.
#[derive(Clone)]
pub struct Sealing {
    /// Remembers which requests have run.
    pub claims: Arc<dyn Claims>,
    /// Signs receipts.
    pub signer: Arc<dyn ReceiptSigner>,
    /// The wall clock, for receipts.
    pub now: Now,
}

/// One request, from the moment on from which its answer is sealed.
struct Exchange<'a> {
    worker: &'a Worker,
    endpoint: Endpoint,
    /// As the engine knows it.
    path: &'a str,
    parts: &'a Parts,
    outer: OuterHeaders<'a>,
    head: RequestHead,
    received: UnixMillis,
}

impl Worker {
    /// Steps 3 to 13. An error is for the caller in plain; what comes later is sealed in the response.
    pub(crate) async fn sealed_body<B>(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        body: B,
    ) -> Result<Response<BoxBody>, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let path = engine_path(endpoint, parts.uri.path()).ok_or_else(failure::unsupported_endpoint)?;
        let outer = OuterHeaders::parse(parts)?; // step 3
        let secret = self.secret(&outer.secret_id).await?; // step 4
        self.check_gpus(&parts.headers, &secret)?; // step 5
        let reader = RequestReader::new(&secret, &outer.salt);
        let limits = self.limits();
        let arrival = Arrival::new(body, max_wire(limits.body / 2), limits.upload);
        let mut intake = Intake::new(arrival, reader);
        let head = intake.head().await.map_err(failure::intake)?; // step 6
        let received = (self.sealing().now)();
        let exchange = Exchange { worker: self, endpoint, path: &path, parts, outer, head, received };
        let asked = exchange.ask(&mut intake).await;
        let responder = intake.into_responder().ok_or_else(|| ApiError::internal("a head without reader"))?;
        Ok(match asked {
            Ok(asked) => exchange.answer(responder, asked),
            Err(denial) => exchange.deny(responder, denial),
        })
    }
}

impl Exchange<'_> {
    async fn ask<B>(&self, intake: &mut Intake<B>) -> Result<Asked, Denial>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        self.head.check_outer(&self.outer.fields).map_err(|error| failure::head(&error))?; // step 7
        let claim = self.claim();
        let work = Box::pin(self.work(intake));
        if self.worker.caution().waits((self.worker.sealing().now)()) {
            claim.await?;
            return work.await;
        }
        // Polled in this order: what a memory in this process refuses never reaches the engine.
        let ((), asked) = futures_util::future::try_join(claim, work).await?;
        Ok(asked)
    }

    /// Step 8.
    async fn claim(&self) -> Result<(), Denial> {
        let key = ReplayKey::new(&self.outer.secret_id, &self.head.request_id);
        let claimed = self.worker.sealing().claims.claim(&key, self.head.sent).await;
        self.worker.metrics().claim(&claimed);
        self.worker.caution().learn(self.head.sent, &claimed);
        claimed.map_err(|error| Denial::claim(&error))
    }
}

/// The longest sealed request whose body has that many bytes, in any mode: segments of padding alone must not go on for ever.
fn max_wire(body: usize) -> u64 {
    const HEAD: u64 = RequestHead::MAX_LENGTH as u64 + 4;
    const RECORD: u64 = 64 * 1024;
    Padding::Bucket.wire_length((body as u64).saturating_add(HEAD)).saturating_add(2 * RECORD)
}

//! Sealed answers under way, by their exchange, so that whoever began one can have it ended before its time and still get the
//! worker's trailer and receipt. protocol.md, section 9.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, Response, StatusCode};
use privatemode_service::{ApiError, BoxBody, Chain, body};
use privatemode_wire::header::{CANCEL_PATH, REQUEST_ID};
use privatemode_wire::stream::outer::ExchangeId;

use crate::accounts::KeyId;
use crate::gateway::Parts;
use crate::headers::RequestId;
use crate::origin::{Origin, control_request};

/// A worker has nothing to say to this.
const MAX_ANSWER: usize = 16 * 1024;

/// All of them. As many as there are requests in flight.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Inner>);

#[derive(Default)]
struct Inner {
    answers: Mutex<HashMap<ExchangeId, Answer>>,
    number: AtomicU64,
}

struct Answer {
    key: KeyId,
    worker: Origin,
    id: RequestId,
    number: u64,
}

/// In the list until this is dropped.
pub(crate) struct Entered {
    running: Running,
    exchange: ExchangeId,
    number: u64,
}

impl Running {
    /// `worker` answers a request of `key`. Of two with the same salt, which no honest client sends, the later counts.
    pub(crate) fn enter(&self, exchange: ExchangeId, id: RequestId, key: KeyId, worker: Origin) -> Entered {
        let number = self.0.number.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(exchange, Answer { key, worker, id, number });
        Entered { running: self.clone(), exchange, number }
    }

    /// The worker that answers this exchange of this key, and of no other, and what it calls the request.
    fn worker(&self, exchange: &ExchangeId, key: &KeyId) -> Option<(Origin, RequestId)> {
        let answers = self.lock();
        let answer = answers.get(exchange).filter(|answer| answer.key == *key)?;
        Some((answer.worker.clone(), answer.id.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ExchangeId, Answer>> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut answers = self.running.lock();
        if answers.get(&self.exchange).is_some_and(|answer| answer.number == self.number) {
            answers.remove(&self.exchange);
        }
    }
}

/// `DELETE /privatemode/v1/exchanges/{exchange}`: the worker ends the answer, which goes on to its trailer where it was asked
/// for.
pub(crate) async fn end(
    parts: &Parts,
    key: Option<&KeyId>,
    exchange: &str,
) -> Result<Response<BoxBody>, ApiError> {
    let exchange = ExchangeId::parse(exchange).map_err(|_| not_there())?;
    let (worker, id) = key.and_then(|key| parts.running.worker(&exchange, key)).ok_or_else(not_there)?;
    let failed = |private: &dyn std::fmt::Display| {
        parts.metrics.upstream_error("control");
        ApiError::bad_gateway("worker_failed", "The worker that answers cannot be asked to end.")
            .with_private(private)
    };
    let mut request = control_request(&worker, Method::POST, CANCEL_PATH, body::empty());
    request.headers_mut().insert(REQUEST_ID, id.header());
    let answer = worker.control(request, MAX_ANSWER).await.map_err(|error| failed(&Chain(&error)))?;
    match answer.status() {
        StatusCode::NO_CONTENT => {
            let mut response = Response::new(body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
        StatusCode::NOT_FOUND => Err(not_there()),
        status => Err(failed(&status)),
    }
}

fn not_there() -> ApiError {
    ApiError::not_found(
        "unknown_exchange",
        "No answer of this exchange is under way: it has ended, or another API key began it.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_its_keys_and_ends() {
        let running = Running::default();
        let key = |text: &str| KeyId::from_database(text.to_owned());
        let worker = |port: u16| Origin::plain(([127, 0, 0, 1], port).into());
        let exchange = ExchangeId::from_bytes([1; 32]);
        let entered = running.enter(exchange, RequestId::new(), key("a"), worker(1));
        let port = |found: Option<(Origin, RequestId)>| found.map(|(origin, _)| origin.name().to_owned());
        assert_eq!(port(running.worker(&exchange, &key("a"))).as_deref(), Some("127.0.0.1:1"));
        assert_eq!(port(running.worker(&exchange, &key("b"))), None);
        assert_eq!(port(running.worker(&ExchangeId::from_bytes([2; 32]), &key("a"))), None);

        // The end of an earlier one under the same name takes nothing from the later.
        let later = running.enter(exchange, RequestId::new(), key("a"), worker(2));
        drop(entered);
        assert_eq!(port(running.worker(&exchange, &key("a"))).as_deref(), Some("127.0.0.1:2"));
        drop(later);
        assert_eq!(port(running.worker(&exchange, &key("a"))), None);
    }
}

//! Several servers that are as good as one another: the coordinators of a deployment, the secret services over one store.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use privatemode_service::body;

use crate::origin::{ControlError, Origin, control_request};

/// One of them answers for all.
pub(crate) struct Replicas {
    origins: Vec<Origin>,
    /// The one that answered last.
    preferred: AtomicUsize,
}

impl Replicas {
    /// At least one.
    pub(crate) fn new(origins: Vec<Origin>) -> Self {
        assert!(!origins.is_empty(), "the settings name at least one");
        Self { origins, preferred: AtomicUsize::new(0) }
    }

    /// Asks one after the other until one gives an answer that is its last word. None of the questions here does harm when it
    /// is asked twice: an attestation changes nothing, and a key exchange that one had begun is refused by the next.
    pub(crate) async fn ask(
        &self,
        path: &'static str,
        content: &Bytes,
        max: usize,
    ) -> Result<Response<Bytes>, ControlError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut order =
            self.origins.iter().enumerate().cycle().skip(first).take(self.origins.len()).peekable();
        loop {
            let (index, origin) = order.next().expect("the last one returns");
            let request = control_request(origin, Method::POST, path, body::full(content.clone()));
            let answer = origin.control(request, max).await;
            let good = answer.as_ref().is_ok_and(|answer| !is_for_a_moment(answer.status()));
            if good {
                self.preferred.store(index, Ordering::Relaxed);
            }
            if good || order.peek().is_none() {
                return answer;
            }
        }
    }
}

/// 412: a coordinator that has no manifest, or must be recovered.
fn is_for_a_moment(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::PRECONDITION_FAILED
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU16;

    use http::Request;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use privatemode_service::{BoxBody, Limits, Shutdown, listen, serve};

    use super::*;

    /// Answers with a status that the test changes, and counts.
    struct Stub {
        address: SocketAddr,
        status: Arc<AtomicU16>,
        asked: Arc<AtomicUsize>,
    }

    fn stub(status: u16, shutdown: &Shutdown) -> Stub {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (status, asked) = (Arc::new(AtomicU16::new(status)), Arc::new(AtomicUsize::new(0)));
        let service = service_fn({
            let (status, asked) = (Arc::clone(&status), Arc::clone(&asked));
            move |_: Request<Incoming>| {
                asked.fetch_add(1, Ordering::SeqCst);
                let mut answer: Response<BoxBody> = Response::new(body::full("{}"));
                *answer.status_mut() = StatusCode::from_u16(status.load(Ordering::SeqCst)).unwrap();
                async move { Ok::<_, Infallible>(answer) }
            }
        });
        tokio::spawn(Box::pin(serve(listener, None, service, Limits::default(), shutdown.clone())));
        Stub { address, status, asked }
    }

    #[tokio::test]
    async fn one_that_is_up_answers_for_all_and_is_asked_first_from_then_on() {
        let shutdown = Shutdown::new();
        let gone = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let (stale, good) = (stub(412, &shutdown), stub(200, &shutdown));
        let addresses = [gone, stale.address, good.address];
        let replicas = Replicas::new(addresses.into_iter().map(Origin::plain).collect());
        let content = Bytes::from_static(b"{}");
        for _ in 0..3 {
            assert_eq!(replicas.ask("/attest", &content, 100).await.unwrap().status(), 200);
        }
        assert_eq!((stale.asked.load(Ordering::SeqCst), good.asked.load(Ordering::SeqCst)), (1, 3));
        // a refusal for good is an answer, and is not asked for twice
        good.status.store(403, Ordering::SeqCst);
        assert_eq!(replicas.ask("/attest", &content, 100).await.unwrap().status(), 403);
        assert_eq!(stale.asked.load(Ordering::SeqCst), 1);
        // the answer of the last one when none is good
        good.status.store(503, Ordering::SeqCst);
        assert_eq!(replicas.ask("/attest", &content, 100).await.unwrap().status(), 412);
        shutdown.trigger();
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let gone = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let replicas = Replicas::new(vec![Origin::plain(gone), Origin::plain(gone)]);
        let refused = replicas.ask("/attest", &Bytes::new(), 100).await.unwrap_err();
        assert!(matches!(refused, ControlError::Unreachable(_)));
    }
}

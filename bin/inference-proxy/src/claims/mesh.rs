//! The secret service as the memory that all workers share, over mesh TLS.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use privatemode_mesh::MeshIdentity;
use privatemode_service::BoxFuture;
use privatemode_store::claims::{ClaimMessage, RefusalMessage};
use privatemode_wire::{replay::ReplayKey, stream::UnixMillis};

use super::{ClaimError, Claims};
use crate::mesh_client::{MeshClient, Services};

/// A caller waits for it before its first byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Claims at the secret service. Its identity is its mesh certificate; the URL's host only says where to connect.
pub struct MeshClaims {
    services: Services,
    client: MeshClient,
}

impl MeshClaims {
    /// Asks the services at `urls` (`https://HOST:PORT`), which share a store.
    #[must_use]
    pub fn new(urls: &[String], identity: Arc<MeshIdentity>) -> Self {
        let services = Services::new(urls, "/v1/claims");
        Self { services, client: MeshClient::new(identity, TIMEOUT) }
    }

    /// A service that was asked and not heard may have claimed the request: the next one knows our claim by its mark.
    async fn ask_any(&self, key: &ReplayKey, sent: UnixMillis) -> Result<(), ClaimError> {
        let mut attempt = [0; 16];
        getrandom::fill(&mut attempt).map_err(|error| ClaimError::Unreachable(error.into()))?;
        let message = ClaimMessage { key: *key, sent, attempt: Some(attempt) };
        let unreachable = |error: reqwest::Error| ClaimError::Unreachable(error.without_url().into());
        let client = self.client.get().map_err(unreachable)?;
        let mut failure = None;
        for url in self.services.in_order() {
            let outcome = match client.post(url).body(message.to_json()).send().await {
                Ok(response) => Self::outcome(response).await,
                Err(error) => Err(unreachable(error)),
            };
            match outcome {
                Err(error @ (ClaimError::Unreachable(_) | ClaimError::Answer { status: 500.. })) => {
                    self.services.leave(url);
                    failure = Some(error);
                }
                decided => return decided,
            }
        }
        Err(failure.expect("there is at least one service"))
    }

    async fn outcome(mut response: reqwest::Response) -> Result<(), ClaimError> {
        let unreachable = |error: reqwest::Error| ClaimError::Unreachable(error.without_url().into());
        let status = response.status();
        match status {
            // One status only: a success that somebody else's page answers with is none.
            StatusCode::NO_CONTENT => return Ok(()),
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {}
            _ => return Err(ClaimError::Answer { status: status.as_u16() }),
        }
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + chunk.len() > RefusalMessage::MAX {
                return Err(ClaimError::Answer { status: status.as_u16() });
            }
            answer.extend_from_slice(&chunk);
        }
        refusal(status, &answer)
    }
}

/// A refusal under the status that belongs to it, and nothing else.
fn refusal(status: StatusCode, answer: &[u8]) -> Result<(), ClaimError> {
    match RefusalMessage::parse(answer) {
        Ok(RefusalMessage(refusal)) if refusal.status() == status.as_u16() => {
            Err(ClaimError::Refused(refusal))
        }
        Ok(_) | Err(_) => Err(ClaimError::Answer { status: status.as_u16() }),
    }
}

impl Claims for MeshClaims {
    fn claim<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(self.ask_any(key, sent))
    }
}

#[cfg(test)]
mod tests {
    use privatemode_wire::replay::Refusal;

    use super::*;

    #[test]
    fn a_refusal_is_one_only_under_its_status() {
        let full = RefusalMessage(Refusal::Full).to_json(UnixMillis(1));
        let found = |status, answer: &str| refusal(status, answer.as_bytes()).unwrap_err();
        assert!(matches!(found(StatusCode::SERVICE_UNAVAILABLE, &full), ClaimError::Refused(Refusal::Full)));
        let share = RefusalMessage(Refusal::Share).to_json(UnixMillis(1));
        assert!(matches!(found(StatusCode::TOO_MANY_REQUESTS, &share), ClaimError::Refused(Refusal::Share)));
        assert!(matches!(found(StatusCode::CONFLICT, &full), ClaimError::Answer { status: 409 }));
        assert!(matches!(found(StatusCode::CONFLICT, "{}"), ClaimError::Answer { status: 409 }));
    }
}

//! The secret service as a source, over mesh TLS.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::StatusCode;
use privatemode_mesh::MeshIdentity;
use privatemode_service::BoxFuture;
use privatemode_wire::{Secret, SecretId};
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::{Found, LookupError, SecretSource};
use crate::mesh_client::{MeshClient, Services};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 4096;

/// Asks the secret service. Its identity is its mesh certificate; the URL's host only says where to connect.
pub struct MeshSource {
    services: Services,
    client: MeshClient,
}

impl MeshSource {
    /// Asks the services at `urls` (`https://HOST:PORT`), which share a store: one of them is enough.
    #[must_use]
    pub fn new(urls: &[String], identity: Arc<MeshIdentity>) -> Self {
        let services = Services::new(urls, "/mesh/v1/secrets/lookup");
        Self { services, client: MeshClient::new(identity, TIMEOUT) }
    }

    /// A lookup may be asked for any number of times.
    async fn ask_any(&self, id: &SecretId) -> Result<Option<Found>, LookupError> {
        let mut failure = None;
        for url in self.services.in_order() {
            match self.ask(url, id).await {
                Err(error @ (LookupError::Unreachable(_) | LookupError::Status { status: 500.. })) => {
                    self.services.leave(url);
                    failure = Some(error);
                }
                outcome => return outcome,
            }
        }
        Err(failure.unwrap_or(LookupError::Aborted))
    }

    async fn ask(&self, url: &str, id: &SecretId) -> Result<Option<Found>, LookupError> {
        let client = self.client.get().map_err(|error| LookupError::Unreachable(error.into()))?;
        let request = client.post(url).json(&serde_json::json!({"ID": id.as_str()}));
        let mut response =
            request.send().await.map_err(|error| LookupError::Unreachable(error.without_url().into()))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            other => return Err(LookupError::Status { status: other.as_u16() }),
        }
        let mut answer = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
        while let Some(chunk) =
            response.chunk().await.map_err(|error| LookupError::Unreachable(error.without_url().into()))?
        {
            if answer.len() + chunk.len() > MAX_ANSWER {
                return Err(LookupError::Answer);
            }
            answer.extend_from_slice(&chunk);
            wipe(chunk);
        }
        parse(&answer).map(Some)
    }
}

impl SecretSource for MeshSource {
    fn lookup<'a>(&'a self, id: &'a SecretId) -> BoxFuture<'a, Result<Option<Found>, LookupError>> {
        Box::pin(self.ask_any(id))
    }
}

/// Wipes what the HTTP client read, as far as nobody else holds it.
fn wipe(chunk: Bytes) {
    if let Ok(mut chunk) = chunk.try_into_mut() {
        chunk.as_mut().zeroize();
    }
}

/// `{"Secret": b64, "ExpiresIn": seconds}`.
fn parse(answer: &[u8]) -> Result<Found, LookupError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer<'a> {
        // borrowed, so that no copy stays behind; base64 needs no escapes
        secret: &'a str,
        expires_in: u64,
    }
    // a decoding error quotes its input: it must not become a source
    let Answer { secret, expires_in } = serde_json::from_slice(answer).map_err(|_| LookupError::Answer)?;
    let secret = Zeroizing::new(STANDARD.decode(secret).map_err(|_| LookupError::Answer)?);
    let secret = Secret::from_slice(&secret).map_err(|_| LookupError::Answer)?;
    Ok(Found { secret, expires_in: Duration::from_secs(expires_in) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_secret_or_refused() {
        let text = STANDARD.encode([5; 32]);
        let found = parse(format!(r#"{{"Secret":"{text}","ExpiresIn":90}}"#).as_bytes()).unwrap();
        assert_eq!((found.secret.expose(), found.expires_in), (&[5; 32][..], Duration::from_secs(90)));
        for wrong in [r#"{"Secret":"AA==","ExpiresIn":1}"#, r#"{"Secret":"%","ExpiresIn":1}"#, "{}", ""] {
            assert!(matches!(parse(wrong.as_bytes()), Err(LookupError::Answer)), "{wrong}");
        }
    }
}

//! The exchange and the lookup themselves, without HTTP.

use std::{sync::Arc, time::Duration};

use getrandom::{SysRng, rand_core::UnwrapErr};
use privatemode_store::{GetError, PutError, SecretStore, StoredSecret};
use privatemode_wire::{
    SecretId,
    exchange::{AcceptError, ExchangeMessageError, ExchangeReply, ServerExchange, parse_request},
};

/// Signs with the mesh key.
pub trait Signer: Send + Sync {
    /// The certificate of the key, and an ASN.1 ECDSA signature of `digest`. Both of one moment: the certificate may
    /// be replaced between two calls.
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError>;
}

/// The mesh key cannot sign.
#[derive(Debug, thiserror::Error)]
#[error("cannot sign with the mesh key")]
pub struct SignError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// Not the expected JSON, or a key of another length.
    #[error("the request is not `{{\"PublicKey\": …}}` with a base64 key of 1216 bytes")]
    Message(#[source] ExchangeMessageError),
    /// Not a key of the KEM.
    #[error("the public key is refused")]
    Accept(#[source] AcceptError),
    /// The signature failed.
    #[error("the exchange could not be signed")]
    Sign(#[source] SignError),
    /// The store refused the secret.
    #[error("the secret could not be stored")]
    Put(#[source] PutError),
}

/// Why a lookup failed. A secret that is not there is no failure.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Not the ID of any secret.
    #[error("not a secret's ID")]
    Id(#[source] privatemode_wire::secret::SecretIdError),
    /// The store does not answer.
    #[error("the secret could not be read")]
    Get(#[source] GetError),
}

/// Makes, signs, stores and finds secrets.
pub struct Secrets {
    store: Arc<dyn SecretStore>,
    signer: Arc<dyn Signer>,
    ttl: Duration,
}

impl Secrets {
    /// Secrets that live for `ttl`.
    #[must_use]
    pub fn new(store: Arc<dyn SecretStore>, signer: Arc<dyn Signer>, ttl: Duration) -> Self {
        Self { store, signer, ttl }
    }

    /// Takes the body of an exchange; the reply is for the client.
    ///
    /// # Errors
    /// [`ExchangeError`]; nothing was stored then.
    pub async fn exchange(&self, request: &[u8]) -> Result<ExchangeReply, ExchangeError> {
        let public_key = parse_request(request).map_err(ExchangeError::Message)?;
        let exchange = ServerExchange::accept(public_key.as_slice(), &mut UnwrapErr(SysRng))
            .map_err(ExchangeError::Accept)?;
        let ServerExchange { encapsulated_key, secret_id, secret, digest } = exchange;
        // sign first: a secret that nobody can learn of would only take room
        let (mesh_cert, signature) = self.signer.sign(&digest).map_err(ExchangeError::Sign)?;
        self.store.put(secret_id.as_str(), secret.expose(), self.ttl).await.map_err(ExchangeError::Put)?;
        Ok(ExchangeReply { encapsulated_key: encapsulated_key.to_vec(), signature, mesh_cert })
    }

    /// The live secret of that ID.
    ///
    /// # Errors
    /// [`LookupError`].
    pub async fn lookup(&self, id: &str) -> Result<Option<StoredSecret>, LookupError> {
        let id = SecretId::parse(id).map_err(LookupError::Id)?;
        self.store.get(id.as_str()).await.map_err(LookupError::Get)
    }
}

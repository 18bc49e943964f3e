//! The server's end. It attests itself to every client, and lets in anonymous clients or only attested ones.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    server::{Acceptor, NoServerSessionStorage},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{AtlsError, Clock, H2, NonceFault, Unverified, certificate, nonce::Nonce, peer_leaf::PeerLeaf};
use crate::{MeshKey, Quoter, tls};

/// Longest handshake: quotes of a busy platform take seconds, and clients wait for 30.
const LIMIT: Duration = Duration::from_secs(25);
/// Quotes that are asked for at a time: anybody may connect, and each waiting quote holds a thread.
const QUOTES: usize = 8;

/// Accepts attested connections.
pub struct Server {
    quoter: Arc<dyn Quoter>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    quotes: Arc<Semaphore>,
    limit: Duration,
}

impl Server {
    /// A server that attests itself with `quoter`.
    #[must_use]
    pub fn new(quoter: Arc<dyn Quoter>, clock: Clock) -> Self {
        let quotes = Arc::new(Semaphore::new(QUOTES));
        Self { quoter, clock, provider: tls::provider(), quotes, limit: LIMIT }
    }

    /// With another limit for the handshake than 25 seconds.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Attests this end, and asks the client for nothing: what comes in is anybody's.
    ///
    /// # Errors
    /// [`AtlsError`].
    pub async fn accept<IO>(&self, io: IO) -> Result<TlsStream<IO>, AtlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        self.limited(self.handshake(io, None)).await
    }

    /// Attests both ends. The client's certificate is looked at; what its evidence is worth has to be asked for.
    ///
    /// # Errors
    /// [`AtlsError`].
    pub async fn accept_mutual<IO>(&self, io: IO) -> Result<Unverified<TlsStream<IO>>, AtlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let nonce = Nonce::random()?;
        let algorithms = self.provider.signature_verification_algorithms;
        let peer = Arc::new(PeerLeaf::of_client(Arc::clone(&self.clock), algorithms, nonce));
        let stream = self.limited(self.handshake(io, Some(Arc::clone(&peer)))).await;
        // why the peer's certificate was refused says more than that TLS failed
        let leaf = peer.take()?;
        Ok(Unverified::new(stream?, leaf.ok_or(AtlsError::NoCertificate)?, nonce))
    }

    async fn limited<T>(
        &self,
        handshake: impl Future<Output = Result<T, AtlsError>>,
    ) -> Result<T, AtlsError> {
        let limit = self.limit;
        tokio::time::timeout(limit, handshake).await.map_err(|_| AtlsError::Timeout { limit })?
    }

    async fn handshake<IO>(&self, io: IO, client: Option<Arc<PeerLeaf>>) -> Result<TlsStream<IO>, AtlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(failed)?;
        let nonce = match start.client_hello().alpn() {
            Some(protocols) => Nonce::of_protocols(protocols),
            None => Err(NonceFault::None),
        };
        let nonce = nonce.map_err(|source| AtlsError::Nonce { source })?;
        let certified = self.certify(nonce).await?;
        let config = self.config(certified, client)?;
        start.into_stream(Arc::new(config)).await.map_err(failed)
    }

    /// A key of its own for each connection.
    async fn certify(&self, nonce: Nonce) -> Result<Arc<CertifiedKey>, AtlsError> {
        let slot = Arc::clone(&self.quotes).acquire_owned().await.map_err(|_| AtlsError::Internal)?;
        let (quoter, now) = (Arc::clone(&self.quoter), (self.clock)());
        let certified = tokio::task::spawn_blocking(move || {
            // given back when the quote is there, also if nobody waits for it any more
            let _slot = slot;
            let key = MeshKey::generate().map_err(|source| AtlsError::Key { source })?;
            certificate::certify(&*quoter, &key, nonce, now)
        });
        certified.await.map_err(|_| AtlsError::Internal)?
    }

    fn config(
        &self,
        certified: Arc<CertifiedKey>,
        client: Option<Arc<PeerLeaf>>,
    ) -> Result<ServerConfig, AtlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| failed(io::Error::other(error)))?;
        let builder = match client {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![H2.to_vec()];
        // a resumed session would be of a machine that was attested once
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

pub(super) fn failed(source: io::Error) -> AtlsError {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::NoCertificatesPresented) => AtlsError::NoCertificate,
        _ => AtlsError::Tls { source },
    }
}

//! The client's end. It has the server attest itself, and may attest itself to the server.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::CertifiedKey,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    AtlsError, Clock, H2, Unverified, certificate, nonce::Nonce, peer_leaf::PeerLeaf, server::failed,
};
use crate::{MeshKey, Quoter, tls};

/// Longest handshake: servers have 25 seconds.
const LIMIT: Duration = Duration::from_secs(30);

/// What a client proves itself with. The key is the caller's: a mesh certificate is issued for it.
#[derive(Clone)]
pub struct Identity {
    /// Makes the evidence.
    pub quoter: Arc<dyn Quoter>,
    /// The key of the certificate.
    pub key: Arc<MeshKey>,
}

/// Opens attested connections.
pub struct Client {
    identity: Option<Identity>,
    clock: Clock,
    provider: Arc<CryptoProvider>,
    limit: Duration,
}

impl Client {
    /// A client that proves nothing about itself: for people and their tools.
    #[must_use]
    pub fn anonymous(clock: Clock) -> Self {
        Self { identity: None, clock, provider: tls::provider(), limit: LIMIT }
    }

    /// A client that attests itself as well, and refuses servers that do not ask for it.
    #[must_use]
    pub fn attested(identity: Identity, clock: Clock) -> Self {
        Self { identity: Some(identity), ..Self::anonymous(clock) }
    }

    /// With another limit for the handshake than 30 seconds.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// Shakes hands over `io`. What the server's evidence is worth has to be asked for.
    ///
    /// # Errors
    /// [`AtlsError`].
    pub async fn connect<IO>(&self, io: IO) -> Result<Unverified<TlsStream<IO>>, AtlsError>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let nonce = Nonce::random()?;
        let algorithms = self.provider.signature_verification_algorithms;
        let server = Arc::new(PeerLeaf::of_server(Arc::clone(&self.clock), algorithms));
        let ours = self.identity.clone().map(|identity| {
            let clock = Arc::clone(&self.clock);
            Arc::new(OurCertificate { identity, clock, outcome: Mutex::default() })
        });
        let config = self.config(nonce, Arc::clone(&server), ours.clone())?;
        let name = ServerName::try_from("coordinator").expect("a host name");
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, io);
        let limit = self.limit;
        let limited = async move { tokio::time::timeout(limit, handshake).await };
        let stream = if ours.is_some() {
            // the platform is asked in the middle of it, and blocks
            let runtime = tokio::runtime::Handle::current();
            let handshake = tokio::task::spawn_blocking(move || runtime.block_on(limited));
            handshake.await.map_err(|_| AtlsError::Internal)?
        } else {
            limited.await
        };
        // why a certificate was refused, or not made, says more than that TLS failed
        let leaf = server.take()?;
        let asked = ours.map_or(Ok(true), |ours| ours.outcome())?;
        let stream = stream.map_err(|_| AtlsError::Timeout { limit })?.map_err(failed)?;
        if !asked {
            return Err(AtlsError::NotAsked);
        }
        if stream.get_ref().1.alpn_protocol() != Some(H2) {
            return Err(AtlsError::NotHttp2);
        }
        Ok(Unverified::new(stream, leaf.ok_or(AtlsError::NoCertificate)?, nonce))
    }

    fn config(
        &self,
        nonce: Nonce,
        server: Arc<PeerLeaf>,
        ours: Option<Arc<OurCertificate>>,
    ) -> Result<ClientConfig, AtlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| failed(io::Error::other(error)))?
            .dangerous()
            .with_custom_certificate_verifier(server);
        let mut config = match ours {
            Some(ours) => builder.with_client_cert_resolver(ours),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![nonce.to_protocol(), H2.to_vec()];
        config.resumption = Resumption::disabled();
        // the evidence says who the server is, not a name
        config.enable_sni = false;
        Ok(config)
    }
}

/// Makes our certificate when the server has said its nonce.
struct OurCertificate {
    identity: Identity,
    clock: Clock,
    /// None until the server asks.
    outcome: Mutex<Option<Result<(), AtlsError>>>,
}

impl fmt::Debug for OurCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OurCertificate(..)")
    }
}

impl OurCertificate {
    /// Whether the server asked, or why it got no answer.
    fn outcome(&self) -> Result<bool, AtlsError> {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        outcome.map_or(Ok(false), |made| made.map(|()| true))
    }

    fn certify(&self, authorities: &[&[u8]]) -> Result<Arc<CertifiedKey>, AtlsError> {
        let nonce = Nonce::of_authorities(authorities).map_err(|source| AtlsError::Nonce { source })?;
        let Identity { quoter, key } = &self.identity;
        certificate::certify(&**quoter, key, nonce, (self.clock)())
    }
}

impl ResolvesClientCert for OurCertificate {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let (certified, outcome) = match self.certify(authorities) {
            Ok(certified) => (Some(certified), Ok(())),
            Err(error) => (None, Err(error)),
        };
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        certified
    }

    fn has_certs(&self) -> bool {
        true
    }
}

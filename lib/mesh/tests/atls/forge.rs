//! Ends that do one thing wrong, out of plain `rustls`.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::{EvidenceKind, ReportData};
use rcgen::{
    CertificateParams, CustomExtension, DnType, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    date_time_ymd,
};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime as TlsTime},
    server::Acceptor,
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};

use crate::stand::{Stand, WORKLOAD};

/// The one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    /// Evidence for another connection's nonce: the machine's own certificate again.
    Nonce,
    /// Evidence for another key.
    Key,
    /// Another connection's certificate, whose key this end does not have.
    Captured,
    None,
    Two,
    SameTwice,
    ForeignKind,
    /// Evidence that is called another vendor's.
    OtherKind,
    /// A byte of the evidence is another one, and nobody signed that.
    Tampered,
    /// As well, and signed anew with the certificate's key.
    TamperedAndSigned,
    /// Another key signed it.
    SelfSignature,
    OtherIssuer,
    Chain,
    Expired,
    NotYetValid,
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// The certificate, as this end shows it.
pub(crate) fn certified(stand: &Stand, wrong: &Wrong, nonce: &[u8; 32]) -> CertifiedKey {
    let (own, other) = (key(), key());
    let spki = if *wrong == Wrong::Key { &other } else { &own }.subject_public_key_info();
    let mut bound = *nonce;
    bound[31] ^= u8::from(*wrong == Wrong::Nonce);
    let quoter = stand.quoter(WORKLOAD);
    let mut evidence = quoter.quote(&ReportData::of_public_key(&spki, &bound)).unwrap();
    if *wrong == Wrong::TamperedAndSigned {
        change(&mut evidence);
    }
    let extension = |oid: &[u64]| CustomExtension::from_oid_content(oid, evidence.clone());
    let (kind, tdx) = (quoter.kind().oid(), EvidenceKind::Tdx.oid());
    let mut params = params(stand, wrong);
    params.custom_extensions = match wrong {
        Wrong::None => vec![],
        Wrong::Two => vec![extension(kind), extension(tdx)],
        Wrong::SameTwice => vec![extension(kind), extension(kind)],
        Wrong::ForeignKind => vec![extension(&[1, 3, 9901, 2, 99])],
        Wrong::OtherKind => vec![extension(tdx)],
        _ => vec![extension(kind)],
    };
    let certificate = match wrong {
        Wrong::SelfSignature => params.signed_by(&own, &Issuer::from_params(&params, &other)),
        Wrong::OtherIssuer => {
            let mut name = params.clone();
            name.distinguished_name.push(DnType::CommonName, "somebody");
            params.signed_by(&own, &Issuer::from_params(&name, &other))
        }
        _ => params.self_signed(&own),
    };
    let mut der = certificate.unwrap().der().to_vec();
    if *wrong == Wrong::Tampered {
        let at = der.windows(evidence.len()).position(|window| window == evidence).unwrap();
        change(&mut der[at..at + evidence.len()]);
    }
    let mut chain = vec![CertificateDer::from(der)];
    if *wrong == Wrong::Chain {
        chain.push(chain[0].clone());
    }
    let signing = if *wrong == Wrong::Captured { other } else { own };
    let signing = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing.serialize_der()));
    CertifiedKey::new(chain, aws_lc_rs::sign::any_ecdsa_type(&signing).unwrap())
}

fn params(stand: &Stand, wrong: &Wrong) -> CertificateParams {
    let now = (stand.clock())().as_secs();
    let (from, until) = match wrong {
        Wrong::Expired => (now - 7200, now - 1),
        Wrong::NotYetValid => (now + 60, now + 7200),
        _ => (now - 7200, now + 7200),
    };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Contrast");
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(from);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(until);
    params
}

/// In what the platform says: a byte of the launch measurement, or a letter.
fn change(evidence: &mut [u8]) {
    let measurement = evidence.windows(48).position(|window| window == [0x3e; 48]);
    evidence[measurement.unwrap_or(1)] ^= 1;
}

/// Serves one connection with a forged certificate.
pub(crate) async fn serve(stand: &Stand, wrong: &Wrong, io: TcpStream) {
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.unwrap();
    let nonce = start
        .client_hello()
        .alpn()
        .unwrap()
        .find_map(|protocol| protocol.strip_prefix(b"atls:v1:nonce:").map(<[u8]>::to_vec))
        .unwrap();
    let nonce: [u8; 32] = hex::decode(nonce).unwrap().try_into().unwrap();
    let certified = Arc::new(certified(stand, wrong, &nonce));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // the client's refusal is no fault of the test
    let _ = start.into_stream(Arc::new(config)).await;
}

/// What a client of plain TLS sends.
pub(crate) struct Hello {
    pub(crate) protocols: Vec<Vec<u8>>,
    pub(crate) certificate: bool,
}

/// Connects with a forged certificate, to whomever.
pub(crate) async fn connect(stand: &Arc<Stand>, wrong: &Wrong, hello: Hello, io: TcpStream) {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = if hello.certificate {
        builder.with_client_cert_resolver(Arc::new(Forged(Arc::clone(stand), wrong.clone())))
    } else {
        builder.with_no_client_auth()
    };
    config.alpn_protocols = hello.protocols;
    let _ = TlsConnector::from(Arc::new(config)).connect("coordinator".try_into().unwrap(), io).await;
}

struct Forged(Arc<Stand>, Wrong);

impl std::fmt::Debug for Forged {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Forged")
    }
}

impl ResolvesClientCert for Forged {
    fn resolve(&self, authorities: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let [name] = authorities else { panic!("{} authorities", authorities.len()) };
        let nonce: [u8; 32] = STANDARD.decode(&name[name.len() - 44..]).unwrap().try_into().unwrap();
        Some(Arc::new(certified(&self.0, &self.1, &nonce)))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

//! Makes the certificate of one connection: evidence for its key and the peer's nonce, in an extension, self-signed.

use std::{sync::Arc, time::Duration};

use privatemode_attest::{ReportData, UnixTime, atls::MAX_EVIDENCE};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::{AtlsError, nonce::Nonce};
use crate::{MeshKey, Quoter};

/// The name that it bears, as those of the runtime that this is compatible with do. Nobody reads it.
const COMMON_NAME: &str = "Contrast";
/// Seconds of validity in each direction: clocks of other machines differ.
const AROUND: u64 = 2 * 3600;
/// SubjectPublicKeyInfo of P-256 up to the point: RFC 5480 §2.
const SPKI_HEAD: usize = 26;
/// X.509 ends with the year 9999.
const LAST: u64 = 253_402_300_799;

/// Asks the platform, and signs. Blocks for as long as the platform does.
pub(super) fn certify(
    quoter: &dyn Quoter,
    key: &MeshKey,
    nonce: Nonce,
    now: UnixTime,
) -> Result<Arc<CertifiedKey>, AtlsError> {
    let bound = ReportData::of_public_key(key.spki(), nonce.as_bytes());
    let evidence = quoter.quote(&bound).map_err(|source| AtlsError::Quote { source })?;
    if evidence.len() > MAX_EVIDENCE {
        let (kind, len) = (quoter.kind(), evidence.len());
        return Err(AtlsError::EvidenceTooLong { kind, len, max: MAX_EVIDENCE });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    let date = |at: UnixTime| date_time_ymd(1970, 1, 1) + Duration::from_secs(at.as_secs().min(LAST));
    params.not_before = date(now.saturating_sub(AROUND));
    params.not_after = date(now.saturating_add(AROUND));
    params.custom_extensions = vec![CustomExtension::from_oid_content(quoter.kind().oid(), evidence)];
    let certificate = params.self_signed(&Signer(key)).map_err(|source| AtlsError::Certificate { source })?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key.tls())))
}

/// The key as the library for certificates wants it: it signs, and is never copied there.
struct Signer<'a>(&'a MeshKey);

impl PublicKeyData for Signer<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.spki().get(SPKI_HEAD..).unwrap_or_default()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Signer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign_prehash_asn1(&Sha256::digest(message).into()))
    }
}

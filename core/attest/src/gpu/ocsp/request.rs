//! Writes OCSP requests.

use super::cert_id::CertId;
use super::response::NONCE_OID;
use crate::gpu::der::{OCTET_STRING, OID, SEQUENCE, context, field};
use crate::x509::Certificate;

/// The DER of a request (`application/ocsp-request`) about one certificate. A nonce prevents replays and caching alike.
///
/// `None` if the issuer's key cannot be identified.
pub fn request(subject: &Certificate, issuer: &Certificate, nonce: Option<&[u8; 32]>) -> Option<Vec<u8>> {
    let single = field(SEQUENCE, &CertId::of(subject, issuer)?.write());
    let mut content = field(SEQUENCE, &single);
    if let Some(nonce) = nonce {
        // RFC 9654: the extension's content is itself an OCTET STRING
        let value = field(OCTET_STRING, &field(OCTET_STRING, nonce));
        let extension = field(SEQUENCE, &[field(OID, NONCE_OID), value].concat());
        content.extend(field(context(2), &field(SEQUENCE, &extension)));
    }
    Some(field(SEQUENCE, &field(SEQUENCE, &content)))
}

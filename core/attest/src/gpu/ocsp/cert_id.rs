//! Which certificate a request or a response is about: digests of its issuer, and its serial number.

use sha2::{Digest, Sha384};

use crate::gpu::der::{BIT_STRING, Fields, INTEGER, OCTET_STRING, OID, SEQUENCE, SHA384, field};
use crate::x509::Certificate;

/// The NULL that some write as the parameters of a hash algorithm.
const NULL: &[u8] = &[0x05, 0x00];

/// RFC 6960 §4.1.1, with SHA-384 only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CertId {
    issuer_name: [u8; 48],
    issuer_key: [u8; 48],
    /// Big-endian without leading zeros.
    serial: Vec<u8>,
}

impl CertId {
    /// `None` if the issuer's key cannot be read, which no parsed certificate has.
    pub(super) fn of(subject: &Certificate, issuer: &Certificate) -> Option<Self> {
        Some(Self {
            issuer_name: Sha384::digest(issuer.subject_der()).into(),
            issuer_key: Sha384::digest(key_bits(issuer.spki_der())?).into(),
            serial: unsigned(subject.serial()).to_vec(),
        })
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let mut algorithm = fields.sequence()?;
        if algorithm.take(OID)? != SHA384 || !matches!(algorithm.rest(), [] | NULL) {
            return None;
        }
        let issuer_name = fields.take(OCTET_STRING)?.try_into().ok()?;
        let issuer_key = fields.take(OCTET_STRING)?.try_into().ok()?;
        let serial = unsigned(fields.take(INTEGER)?).to_vec();
        fields.is_empty().then_some(Self { issuer_name, issuer_key, serial })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let algorithm = field(SEQUENCE, &[field(OID, SHA384).as_slice(), NULL].concat());
        let mut serial = self.serial.clone();
        // DER integers are signed
        if serial.first().is_none_or(|first| *first >= 0x80) {
            serial.insert(0, 0);
        }
        let parts = [
            algorithm,
            field(OCTET_STRING, &self.issuer_name),
            field(OCTET_STRING, &self.issuer_key),
            field(INTEGER, &serial),
        ];
        field(SEQUENCE, &parts.concat())
    }
}

/// RFC 6960 §4.1.1: "the value (excluding tag and length) of the BIT STRING subjectPublicKey", without the count of unused bits.
fn key_bits(spki: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::of_sequence(spki)?;
    fields.take(SEQUENCE)?;
    fields.take(BIT_STRING)?.strip_prefix(&[0])
}

fn unsigned(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|byte| **byte == 0).count();
    integer.get(zeros..).unwrap_or_default()
}

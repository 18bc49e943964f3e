//! Certificates and revocation lists as plain fields, signed when they are encoded (RFC 5280).

use crate::der;
use crate::key::{Algorithm, Key};

/// A distinguished name, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(pub Vec<u8>);

impl Name {
    /// One attribute in each relative name: object identifier and encoded value, in the order written.
    pub fn new(attributes: &[(&str, Vec<u8>)]) -> Self {
        let parts: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(oid, value)| der::set(&[der::sequence(&[der::oid(oid), value.clone()])]))
            .collect();
        Self(der::sequence(&parts))
    }
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Object identifier in dotted form.
    pub oid: String,
    /// Whether a reader that does not understand it must refuse.
    pub critical: bool,
    /// The content of the outer OCTET STRING.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension that is not critical.
    pub fn new(oid: &str, value: Vec<u8>) -> Self {
        Self { oid: oid.to_owned(), critical: false, value }
    }

    /// Basic constraints, critical: a certificate authority with this many levels below it.
    pub fn authority(path_length: Option<u64>) -> Self {
        let mut parts = vec![der::boolean(true)];
        parts.extend(path_length.map(der::number));
        Self { oid: "2.5.29.19".to_owned(), critical: true, value: der::sequence(&parts) }
    }

    /// Key usage, critical, with the bits in the order of RFC 5280 (bit 0 is the highest of the first byte): 5 signs
    /// certificates, 6 revocation lists, 0 anything else.
    pub fn key_usage(bits: &[u8]) -> Self {
        let byte = bits.iter().fold(0u8, |byte, bit| byte | (0x80 >> bit));
        let value = der::tlv(0x03, &[byte.trailing_zeros().min(7) as u8, byte]);
        Self { oid: "2.5.29.15".to_owned(), critical: true, value }
    }

    fn encode(&self) -> Vec<u8> {
        let mut parts = vec![der::oid(&self.oid)];
        if self.critical {
            parts.push(der::boolean(true));
        }
        parts.push(der::octet_string(&self.value));
        der::sequence(&parts)
    }
}

/// A certificate before it is signed. Every field can be changed; [`Certificate::der`] signs what is there.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Who signed, says the certificate.
    pub issuer: Name,
    /// Whose key it is, says the certificate.
    pub subject: Name,
    /// First second of validity, since the Unix epoch.
    pub not_before: u64,
    /// Last second of validity, since the Unix epoch.
    pub not_after: u64,
    /// The certified key.
    pub key: Key,
    /// In order.
    pub extensions: Vec<Extension>,
    /// The key that signs.
    pub signed_by: Key,
    /// How it signs.
    pub algorithm: Algorithm,
}

impl Certificate {
    /// Encodes and signs.
    pub fn der(&self) -> Vec<u8> {
        let validity = der::sequence(&[der::time(self.not_before), der::time(self.not_after)]);
        let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::encode).collect();
        let body = der::sequence(&[
            der::explicit(0, &der::number(2)),
            der::integer(&self.serial),
            self.algorithm.identifier(),
            self.issuer.0.clone(),
            validity,
            self.subject.0.clone(),
            self.key.spki(),
            der::explicit(3, &der::sequence(&extensions)),
        ]);
        signed(&body, self.algorithm, &self.signed_by)
    }

    /// The extension with this identifier, to be changed.
    ///
    /// # Panics
    /// If there is none: a mistake in the test.
    pub fn extension(&mut self, oid: &str) -> &mut Extension {
        self.extensions.iter_mut().find(|extension| extension.oid == oid).expect("the certificate has it")
    }

    /// Takes the extension with this identifier out.
    pub fn without(&mut self, oid: &str) {
        self.extensions.retain(|extension| extension.oid != oid);
    }
}

/// A revocation list before it is signed.
#[derive(Debug, Clone)]
pub struct Crl {
    /// Who signed, says the list.
    pub issuer: Name,
    /// When it was made, seconds since the Unix epoch.
    pub this_update: u64,
    /// When the next one comes, seconds since the Unix epoch.
    pub next_update: u64,
    /// Serial numbers, big-endian, with the time of their revocation.
    pub revoked: Vec<(Vec<u8>, u64)>,
    /// In order.
    pub extensions: Vec<Extension>,
    /// The key that signs.
    pub signed_by: Key,
    /// How it signs.
    pub algorithm: Algorithm,
}

impl Crl {
    /// Encodes and signs.
    pub fn der(&self) -> Vec<u8> {
        let mut parts = vec![
            der::number(1),
            self.algorithm.identifier(),
            self.issuer.0.clone(),
            der::time(self.this_update),
            der::time(self.next_update),
        ];
        if !self.revoked.is_empty() {
            let entries: Vec<Vec<u8>> = self
                .revoked
                .iter()
                .map(|(serial, at)| der::sequence(&[der::integer(serial), der::time(*at)]))
                .collect();
            parts.push(der::sequence(&entries));
        }
        if !self.extensions.is_empty() {
            let extensions: Vec<Vec<u8>> = self.extensions.iter().map(Extension::encode).collect();
            parts.push(der::explicit(0, &der::sequence(&extensions)));
        }
        signed(&der::sequence(&parts), self.algorithm, &self.signed_by)
    }
}

fn signed(body: &[u8], algorithm: Algorithm, key: &Key) -> Vec<u8> {
    let signature = der::bit_string(&key.sign(algorithm, body));
    der::sequence(&[body.to_vec(), algorithm.identifier(), signature])
}

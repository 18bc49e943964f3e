//! OCSP responses as NVIDIA's responder signs them: by a delegate of the issuer, SHA-384 certificate identifiers, a day's validity.

use super::{DAY, NOW, certificate, sha384};
use crate::der;
use crate::key::Key;
use crate::x509::{Certificate, Extension};

/// What the response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not revoked.
    Good,
    /// Not known.
    Unknown,
    /// Revoked at this second.
    Revoked(u64),
}

/// A good response, to be broken in one place. Signed when it is encoded.
#[derive(Debug, Clone)]
pub struct OcspResponse {
    /// Whose status.
    pub subject: Certificate,
    /// Who issued the subject.
    pub issuer: Certificate,
    /// The status.
    pub status: Status,
    /// When it was known, seconds.
    pub this_update: u64,
    /// When the next one comes, seconds; left out if `None`.
    pub next_update: Option<u64>,
    /// The nonce of the request.
    pub nonce: Option<Vec<u8>>,
    /// A further extension of the response.
    pub extension: Option<Extension>,
    /// The delegate's certificate; `None` if the issuer signs.
    pub responder: Option<Certificate>,
    /// The key that signs.
    pub signed_by: Key,
    /// OCSPResponseStatus, 0 is success.
    pub response_status: u8,
}

impl OcspResponse {
    /// "Good" at [`NOW`], by a delegate.
    pub fn new(subject: &Certificate, issuer: &Certificate) -> Self {
        let name = "Test OCSP Responder";
        let key = Key::p384(name);
        let usage = der::sequence(&[der::oid("1.3.6.1.5.5.7.3.9")]);
        let extensions = vec![
            Extension::key_usage(&[0]),
            Extension { oid: "2.5.29.37".to_owned(), critical: true, value: usage },
            Extension::new("1.3.6.1.5.5.7.48.1.5", der::null()),
        ];
        let mut responder = certificate(name, "", &key, extensions);
        responder.issuer = issuer.subject.clone();
        responder.signed_by = issuer.key.clone();
        Self {
            subject: subject.clone(),
            issuer: issuer.clone(),
            status: Status::Good,
            this_update: NOW - DAY / 2,
            next_update: Some(NOW + DAY / 2),
            nonce: None,
            extension: None,
            responder: Some(responder),
            signed_by: key,
            response_status: 0,
        }
    }

    /// Encodes and signs.
    pub fn der(&self) -> Vec<u8> {
        let status = der::tlv(0x0A, &[self.response_status]);
        if self.response_status != 0 {
            return der::sequence(&[status]);
        }
        let data = self.data();
        let algorithm = self.signed_by.usual_algorithm();
        let signature = der::bit_string(&self.signed_by.sign(algorithm, &data));
        let mut parts = vec![data, algorithm.identifier(), signature];
        if let Some(responder) = &self.responder {
            parts.push(der::explicit(0, &der::sequence(&[responder.der()])));
        }
        let basic = der::octet_string(&der::sequence(&parts));
        let bytes = der::sequence(&[der::oid("1.3.6.1.5.5.7.48.1.1"), basic]);
        der::sequence(&[status, der::explicit(0, &bytes)])
    }

    fn data(&self) -> Vec<u8> {
        let mut answer = vec![self.cert_id(), self.status(), time(self.this_update)];
        answer.extend(self.next_update.map(|next| der::explicit(0, &time(next))));
        let by_key = der::explicit(2, &der::octet_string(&[7; 20]));
        let answers = der::sequence(&[der::sequence(&answer)]);
        let mut data = vec![by_key, time(self.this_update), answers];
        let nonce =
            self.nonce.as_ref().map(|nonce| Extension::new("1.3.6.1.5.5.7.48.1.2", der::octet_string(nonce)));
        let extensions: Vec<Vec<u8>> =
            [&nonce, &self.extension].into_iter().flatten().map(encode_extension).collect();
        if !extensions.is_empty() {
            data.push(der::explicit(1, &der::sequence(&extensions)));
        }
        der::sequence(&data)
    }

    fn cert_id(&self) -> Vec<u8> {
        // the point at the end of the SubjectPublicKeyInfo: 4, x, y
        let spki = self.issuer.key.spki();
        let point = &spki[spki.len() - 97..];
        der::sequence(&[
            der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::null()]),
            der::octet_string(&sha384(&self.issuer.subject.0)),
            der::octet_string(&sha384(point)),
            der::integer(&self.subject.serial),
        ])
    }

    fn status(&self) -> Vec<u8> {
        match self.status {
            Status::Good => der::tlv(0x80, &[]),
            Status::Unknown => der::tlv(0x82, &[]),
            Status::Revoked(at) => der::tlv(0xA1, &time(at)),
        }
    }
}

fn encode_extension(extension: &Extension) -> Vec<u8> {
    let mut parts = vec![der::oid(&extension.oid)];
    if extension.critical {
        parts.push(der::boolean(true));
    }
    parts.push(der::octet_string(&extension.value));
    der::sequence(&parts)
}

/// GeneralizedTime also before 2050, unlike certificates.
fn time(seconds: u64) -> Vec<u8> {
    let encoded = der::time(seconds);
    match encoded.as_slice() {
        [0x17, _, text @ ..] => der::tlv(0x18, &[b"20", text].concat()),
        _ => encoded,
    }
}

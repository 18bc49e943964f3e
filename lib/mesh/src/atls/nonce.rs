//! The nonces of a connection, and where they travel: the client's among the protocols that it offers, the server's as the
//! name of the only certificate authority that it asks for. Nothing else may stand there, so that there is never a choice
//! between two nonces.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::DistinguishedName;

use super::AtlsError;

const PREFIX: &[u8] = b"atls:v1:nonce:";

/// SET { SEQUENCE { commonName, the 44 letters of 32 bytes in base64 } }, up to the tag of the text.
const NAME: [u8; 9] = [0x31, 53, 0x30, 51, 0x06, 3, 0x55, 0x04, 0x03];
/// PrintableString has all letters of base64; UTF8String is what RFC 5280 §4.1.2.4 would have new certificates use.
const TEXTS: [u8; 2] = [0x13, 0x0c];
const LETTERS: u8 = 44;

/// 32 bytes that make evidence count for one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Nonce([u8; 32]);

/// Why a peer's hello names no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NonceFault {
    /// It names none.
    #[error("it names no nonce, for which evidence could be made")]
    None,
    /// It names several things where the nonce belongs.
    #[error("it names several nonces, of which a reader could take either")]
    Several,
    /// Not of the form.
    #[error("its nonce is not of the form that attested TLS has")]
    Form,
}

impl Nonce {
    pub(super) fn random() -> Result<Self, AtlsError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|source| AtlsError::Random { source })?;
        Ok(Self(bytes))
    }

    pub(super) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The client's, as a protocol of the ClientHello (RFC 7301).
    pub(super) fn to_protocol(self) -> Vec<u8> {
        [PREFIX, hex::encode(self.0).as_bytes()].concat()
    }

    /// The one nonce among the protocols that a client offers.
    pub(super) fn of_protocols<'a>(protocols: impl Iterator<Item = &'a [u8]>) -> Result<Self, NonceFault> {
        let mut nonces = protocols.filter_map(|protocol| protocol.strip_prefix(PREFIX));
        let digits = nonces.next().ok_or(NonceFault::None)?;
        if nonces.next().is_some() {
            return Err(NonceFault::Several);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| NonceFault::Form)?;
        Ok(Self(bytes))
    }

    /// The server's, as an authority of the CertificateRequest (RFC 8446 §4.2.4).
    pub(super) fn to_authority(self) -> DistinguishedName {
        let letters = STANDARD.encode(self.0);
        let [printable, _] = TEXTS;
        DistinguishedName::in_sequence(&[&NAME[..], &[printable, LETTERS], letters.as_bytes()].concat())
    }

    /// The one authority that a server asks for: a Name in DER.
    pub(super) fn of_authorities(authorities: &[&[u8]]) -> Result<Self, NonceFault> {
        let name = match authorities {
            [] => return Err(NonceFault::None),
            [name] => *name,
            _ => return Err(NonceFault::Several),
        };
        let text = name.strip_prefix(&[0x30, 55]).and_then(|name| name.strip_prefix(&NAME));
        let [tag, LETTERS, letters @ ..] = text.unwrap_or_default() else { return Err(NonceFault::Form) };
        if !TEXTS.contains(tag) || letters.len() != usize::from(LETTERS) {
            return Err(NonceFault::Form);
        }
        let bytes = STANDARD.decode(letters).map_err(|_| NonceFault::Form)?;
        bytes.try_into().map(Self).map_err(|_| NonceFault::Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce([0xfb; 32]);

    #[test]
    fn a_protocol_comes_back() {
        let protocol = NONCE.to_protocol();
        assert_eq!(protocol, [b"atls:v1:nonce:".to_vec(), b"fb".repeat(32)].concat());
        let of = |protocols: &[&[u8]]| Nonce::of_protocols(protocols.iter().copied());
        assert_eq!(of(&[&protocol, b"h2"]), Ok(NONCE));
        assert_eq!(
            of(&[b"h2", &protocol.to_ascii_uppercase()]),
            Err(NonceFault::None),
            "the prefix has one form"
        );
        assert_eq!(of(&[b"h2"]), Err(NonceFault::None));
        assert_eq!(of(&[]), Err(NonceFault::None));
        assert_eq!(of(&[&protocol, &protocol]), Err(NonceFault::Several));
        assert_eq!(of(&[&protocol[..77]]), Err(NonceFault::Form));
        assert_eq!(of(&[&[&protocol[..], b"00"].concat()]), Err(NonceFault::Form));
        assert_eq!(of(&[b"atls:v1:nonce:"]), Err(NonceFault::Form));
    }

    #[test]
    fn an_authority_comes_back() {
        let name = NONCE.to_authority();
        assert_eq!(Nonce::of_authorities(&[name.as_ref()]), Ok(NONCE));
        let mut utf8 = name.as_ref().to_vec();
        utf8[11] = 0x0c;
        assert_eq!(Nonce::of_authorities(&[&utf8]), Ok(NONCE));
        assert_eq!(Nonce::of_authorities(&[]), Err(NonceFault::None));
        assert_eq!(Nonce::of_authorities(&[name.as_ref(), name.as_ref()]), Err(NonceFault::Several));
        for at in 0..13 {
            let mut wrong = name.as_ref().to_vec();
            wrong[at] ^= 0x40;
            assert_eq!(Nonce::of_authorities(&[&wrong]), Err(NonceFault::Form), "byte {at}");
        }
        for length in 0..name.as_ref().len() {
            assert_eq!(Nonce::of_authorities(&[&name.as_ref()[..length]]), Err(NonceFault::Form));
        }
    }
}

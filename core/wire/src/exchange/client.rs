//! The client's half.

use std::fmt;

use hpke::{Deserializable as _, OpModeR, Serializable as _};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{ExchangeReply, ExportOnly, Kdf, Kem, PUBLIC_KEY_LENGTH, signed_digest};
use crate::exchange::message::request_json;
use crate::secret::{Secret, SecretId};

/// One exchange that waits for its reply. Its key pair serves this exchange only.
pub struct ClientExchange {
    private_key: <Kem as hpke::Kem>::PrivateKey,
    public_key: Box<[u8; PUBLIC_KEY_LENGTH]>,
}

/// What has to be verified before the secret may be used.
#[derive(Clone, Copy, Debug)]
pub struct SignedExchange<'a> {
    /// DER of the certificate that the reply brought: must be the secret service's own, under the attested mesh CA.
    pub mesh_cert_der: &'a [u8],
    /// SHA-256(PublicKey ‖ EncapsulatedKey).
    pub digest: [u8; 32],
    /// ECDSA (ASN.1) over the digest, by the certificate's key.
    pub signature: &'a [u8],
}

/// Why an exchange gave no secret.
#[derive(Debug, PartialEq, Eq)]
pub enum FinishError<E> {
    /// The caller's check failed: the reply is not the secret service's.
    Unverified(E),
    /// The encapsulated key is not one.
    Decapsulate,
}

impl<E> fmt::Display for FinishError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FinishError::Unverified(_) => "the secret exchange was not signed by the secret service",
            FinishError::Decapsulate => "the secret exchange's encapsulated key is invalid",
        })
    }
}

impl<E: std::error::Error + 'static> std::error::Error for FinishError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FinishError::Unverified(error) => Some(error),
            FinishError::Decapsulate => None,
        }
    }
}

impl ClientExchange {
    /// Begins an exchange with a fresh key pair.
    pub fn new(rng: &mut dyn CryptoRng) -> ClientExchange {
        // RFC 9180 §7.1.3: an X-Wing private key is its 32-byte seed.
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        ClientExchange::from_seed(&seed)
    }

    pub(super) fn from_seed(seed: &[u8; 32]) -> ClientExchange {
        let private_key = <Kem as hpke::Kem>::PrivateKey::from_bytes(seed).expect("every 32 bytes are a key");
        let mut public_key = Box::new([0; PUBLIC_KEY_LENGTH]);
        <Kem as hpke::Kem>::sk_to_pk(&private_key).write_exact(public_key.as_mut_slice());
        ClientExchange { private_key, public_key }
    }

    /// What the secret service gets to see.
    pub fn public_key(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        &self.public_key
    }

    /// The identifier that the secret will have.
    pub fn secret_id(&self) -> SecretId {
        SecretId::of_public_key(self.public_key.as_slice())
    }

    /// The body of `POST /privatemode/v1/secret`.
    pub fn request_json(&self) -> String {
        request_json(self.public_key.as_slice())
    }

    /// Takes the reply. `verify` decides whether it is the secret service's; without its consent there is no secret.
    pub fn finish<E>(
        self,
        reply: &ExchangeReply,
        verify: impl FnOnce(&SignedExchange<'_>) -> Result<(), E>,
    ) -> Result<(SecretId, Secret), FinishError<E>> {
        let signed = SignedExchange {
            mesh_cert_der: &reply.mesh_cert,
            digest: signed_digest(self.public_key.as_slice(), &reply.encapsulated_key),
            signature: &reply.signature,
        };
        verify(&signed).map_err(FinishError::Unverified)?;
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(&reply.encapsulated_key)
            .map_err(|_| FinishError::Decapsulate)?;
        let context = hpke::setup_receiver::<ExportOnly, Kdf, Kem>(
            &OpModeR::Base,
            &self.private_key,
            &encapsulated,
            b"",
        )
        .map_err(|_| FinishError::Decapsulate)?;
        let secret = Secret::init(Secret::LENGTH, |buffer| {
            context.export(b"", buffer).expect("32 bytes are within HKDF's limit");
        })
        .expect("32 is a legal length");
        Ok((self.secret_id(), secret))
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientExchange({})", self.secret_id())
    }
}

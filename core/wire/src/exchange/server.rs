//! The secret service's half.

use std::fmt;

use hpke::{Deserializable as _, OpModeS, Serializable as _};
use rand_core::CryptoRng;

use super::{ENCAPSULATED_KEY_LENGTH, ExportOnly, Kdf, Kem, PUBLIC_KEY_LENGTH, signed_digest};
use crate::secret::{Secret, SecretId};

/// An accepted exchange: store the secret under its ID, sign the digest, send the encapsulated key.
pub struct ServerExchange {
    /// For the client.
    pub encapsulated_key: Box<[u8; ENCAPSULATED_KEY_LENGTH]>,
    /// Under which the secret is stored.
    pub secret_id: SecretId,
    /// For the store.
    pub secret: Secret,
    /// To be signed with the mesh key: SHA-256(PublicKey ‖ EncapsulatedKey).
    pub digest: [u8; 32],
}

/// Why a public key is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// Not 1216 bytes.
    #[error("the public key has {length} bytes instead of {PUBLIC_KEY_LENGTH}")]
    Length {
        /// The length given.
        length: usize,
    },
    /// The right length, but not an X-Wing key.
    #[error("the public key is invalid")]
    Invalid,
}

impl ServerExchange {
    /// Encapsulates a fresh secret to a client's public key.
    pub fn accept(public_key: &[u8], mut rng: &mut dyn CryptoRng) -> Result<ServerExchange, AcceptError> {
        if public_key.len() != PUBLIC_KEY_LENGTH {
            return Err(AcceptError::Length { length: public_key.len() });
        }
        let key = <Kem as hpke::Kem>::PublicKey::from_bytes(public_key).map_err(|_| AcceptError::Invalid)?;
        let (encapsulated, context) =
            hpke::setup_sender_with_rng::<ExportOnly, Kdf, Kem>(&OpModeS::Base, &key, b"", &mut rng)
                .map_err(|_| AcceptError::Invalid)?;
        let mut encapsulated_key = Box::new([0; ENCAPSULATED_KEY_LENGTH]);
        encapsulated.write_exact(encapsulated_key.as_mut_slice());
        let secret = Secret::init(Secret::LENGTH, |buffer| {
            context.export(b"", buffer).expect("32 bytes are within HKDF's limit");
        })
        .expect("32 is a legal length");
        let digest = signed_digest(public_key, encapsulated_key.as_slice());
        Ok(ServerExchange {
            encapsulated_key,
            secret_id: SecretId::of_public_key(public_key),
            secret,
            digest,
        })
    }
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerExchange({})", self.secret_id)
    }
}

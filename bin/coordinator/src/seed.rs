//! The seed of a deployment and what follows from it: the key that signs the history, the root CA's key, and the secrets of
//! workloads.
//!
//! The seed is made once, at the first manifest. Its owners hold it encrypted ([`crate::shares`]); here it lives in memory
//! only, wiped when dropped and never printed. Pure. `attestation.md` §2.

use std::fmt;

use hkdf::Hkdf;
use p384::ecdsa::signature::hazmat::PrehashSigner as _;
use p384::ecdsa::{DerSignature, SigningKey};
use p384::pkcs8::EncodePublicKey as _;
use p384::{PublicKey, SecretKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::challenge::ChallengeKey;
use crate::keygen::{NoKey, p384_key};

/// Length of a seed in bytes.
pub const SEED: usize = 64;
/// Length of a salt in bytes.
pub const SALT: usize = 32;

/// A secret of a workload, that outlives its restarts.
pub type WorkloadSecret = Zeroizing<[u8; 64]>;

/// Seed, salt, and the keys derived from them.
pub struct Seed {
    seed: Box<Zeroizing<[u8; SEED]>>,
    salt: [u8; SALT],
    pods: Box<Zeroizing<[u8; 64]>>,
    transactions: SigningKey,
    transactions_spki: Vec<u8>,
    root: SecretKey,
}

/// Why bytes are no seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SeedError {
    /// Another length.
    #[error("a seed has {SEED} bytes, not {len}")]
    SeedLength {
        /// Length that came.
        len: usize,
    },
    /// Another length.
    #[error("a salt has {SALT} bytes, not {len}")]
    SaltLength {
        /// Length that came.
        len: usize,
    },
    /// No key can be derived.
    #[error(transparent)]
    NoKey(#[from] NoKey),
}

impl Seed {
    /// Derives all keys.
    pub fn new(seed: &[u8], salt: &[u8]) -> Result<Self, SeedError> {
        let salt: [u8; SALT] = salt.try_into().map_err(|_| SeedError::SaltLength { len: salt.len() })?;
        let mut own = Box::new(Zeroizing::new([0; SEED]));
        if seed.len() != SEED {
            return Err(SeedError::SeedLength { len: seed.len() });
        }
        own.copy_from_slice(seed);
        let derive = |info: &str| derive(seed, &salt, info.as_bytes());
        let pods = derive("POD STATE SECRET");
        let transactions = p384_key(derive("TRANSACTION SIGNING SECRET").as_slice())?;
        let root = p384_key(derive("ROOT CA SEED").as_slice())?;
        let transactions_spki = spki(&transactions.public_key());
        Ok(Self {
            seed: own,
            salt,
            pods: Box::new(pods),
            transactions: SigningKey::from(&transactions),
            transactions_spki,
            root,
        })
    }

    /// The seed itself: for the encryption to its owners and for attested peers.
    pub fn expose(&self) -> &[u8; SEED] {
        &self.seed
    }

    /// The salt. Not secret.
    pub fn salt(&self) -> &[u8; SALT] {
        &self.salt
    }

    /// The secret of the workload `id`; none for an empty ID, which would be everybody's.
    pub fn workload_secret(&self, id: &str) -> Option<WorkloadSecret> {
        if id.is_empty() {
            return None;
        }
        let info = [b"WORKLOAD SECRET ID: ", id.as_bytes()].concat();
        Some(derive(self.pods.as_slice(), &self.salt, &info))
    }

    /// The key behind the nonces of [`crate::challenge`]. Ours: the existing service has no such nonces.
    pub fn challenge_key(&self) -> ChallengeKey {
        derive(self.seed.as_slice(), &self.salt, b"PRIVATEMODE JOIN CHALLENGE")
    }

    /// Key of the root CA.
    pub fn root_key(&self) -> &SecretKey {
        &self.root
    }

    /// Signs the hash of a transition; ASN.1, deterministic (RFC 6979).
    pub fn sign_transition(&self, hash: &[u8; 32]) -> Vec<u8> {
        let signature: DerSignature =
            self.transactions.sign_prehash(hash).expect("32 bytes are at least half the curve's field");
        signature.as_bytes().to_vec()
    }

    /// SubjectPublicKeyInfo DER of the key behind [`Self::sign_transition`].
    pub fn transactions_spki(&self) -> &[u8] {
        &self.transactions_spki
    }

    /// What a share owner signs to recover: bound to the state that it expects and to this very seed, so that the signature
    /// is good for nothing else.
    pub fn recovery_message(latest: &[u8; 32], seed: &[u8], salt: &[u8]) -> Vec<u8> {
        let digest = Sha256::new().chain_update(seed).chain_update(salt).finalize();
        [b"privatemode coordinator recovery\n".as_slice(), latest, &digest].concat()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// HKDF-SHA256 to 64 bytes.
fn derive(secret: &[u8], salt: &[u8], info: &[u8]) -> Zeroizing<[u8; 64]> {
    let mut out = Zeroizing::new([0; 64]);
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, out.as_mut_slice())
        .expect("64 bytes are two blocks");
    out
}

fn spki(key: &PublicKey) -> Vec<u8> {
    key.to_public_key_der().expect("a point always has an encoding").into_vec()
}

#[cfg(test)]
mod tests {
    use privatemode_attest::signature::PublicKey;

    use super::*;

    /// `attestation.md` §2, computed by an independent program.
    fn seed() -> Seed {
        let seed: Vec<u8> = (0..64).collect();
        let salt: Vec<u8> = (0x80..0xa0).collect();
        Seed::new(&seed, &salt).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn vectors() {
        let seed = seed();
        assert_eq!(
            hex(seed.pods.as_slice()),
            "f81c5fde31d222a06091e0806a6a8030f3826c06e0688401715352d89717a41658e47f0eb54de25230c948f43e0a5682537cbad34572a16346801edc8a9bd2af"
        );
        assert_eq!(
            hex(seed.workload_secret("apps/v1/StatefulSet/default/demo").unwrap().as_slice()),
            "4f9ed09a4975a73f0f389554c49b8607d7af2443f509861b0238754976ac4b9ea5538b76cad8dcaa484dc9ff3d8d874fef55c32b623ef70cfac445544dbfa194"
        );
        assert_eq!(
            hex(&seed.root.to_bytes()),
            "514ddeec4fdd0ef307ce60950e74d131836b775b3a076d25c1d02ccbcae37ce022552e596a83182618adaeb025ab0b41"
        );
        assert_eq!(
            hex(&seed.transactions.to_bytes()),
            "d6a5a0c06cbe8c2d5095168887b37db1c48452cfb9ad1e6964c42163a4660266bdf1817c44d6889e83745ac430464922"
        );
        let x = "2b7cb32b5c2c31cb4fc42f298ea42071c97c1e829f6834ddf1b3c2938cf442f0789f3ccf9fe15af8b053bfcb6f76f215";
        assert!(hex(seed.transactions_spki()).contains(x));
    }

    #[test]
    fn signatures_verify_and_are_deterministic() {
        let seed = seed();
        let key = PublicKey::parse_spki(seed.transactions_spki()).unwrap();
        let signature = seed.sign_transition(&[7; 32]);
        key.verify_prehash(&[7; 32], &signature).unwrap();
        assert_eq!(signature, seed.sign_transition(&[7; 32]));
        assert!(key.verify_prehash(&[8; 32], &signature).is_err());
    }

    #[test]
    fn what_is_no_seed_and_no_id() {
        assert_eq!(Seed::new(&[0; 63], &[0; 32]).err(), Some(SeedError::SeedLength { len: 63 }));
        assert_eq!(Seed::new(&[0; 64], &[0; 31]).err(), Some(SeedError::SaltLength { len: 31 }));
        assert_eq!(Seed::new(&[], &[]).err(), Some(SeedError::SaltLength { len: 0 }));
        assert!(seed().workload_secret("").is_none());
    }

    #[test]
    fn nothing_of_it_is_printed() {
        assert_eq!(format!("{:?}", seed()), "Seed(..)");
    }
}

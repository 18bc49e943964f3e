//! The seed, encrypted for each of its owners: RSA-OAEP with SHA-256 and the label `seedshare`.
//!
//! Each share is the whole seed: any owner can recover a deployment. What is made here is public. `attestation.md` §2.

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::signature::{PublicKey, PublicKeyError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::der;
use crate::seed::Seed;

const LABEL: &[u8] = b"seedshare";

/// DER of the algorithm of RSA keys: SEQUENCE { rsaEncryption, NULL }.
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// The encrypted shares, as they are sent and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedShares {
    /// One for each owner, in the manifest's order.
    pub seed_shares: Vec<SeedShare>,
    /// Base64 of the salt.
    pub salt: String,
}

/// The seed for one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedShare {
    /// The owner's key as in the manifest: PKCS #1 DER in lower-case hexadecimal.
    pub public_key: String,
    /// Base64 of the encrypted seed.
    pub encrypted_seed: String,
}

/// Why nothing can be encrypted to an owner.
#[derive(Debug, Error)]
pub enum ShareError {
    /// Not a key that can be used.
    #[error(
        "entry {index} of `SeedshareOwnerPubKeys` is no RSA key that can be used (PKCS #1 DER, 2048 to 4096 bits)"
    )]
    Key {
        /// Its place in the manifest, from 0.
        index: usize,
        /// Why.
        source: PublicKeyError,
    },
    /// The library refused.
    #[error("the seed could not be encrypted for entry {index} of `SeedshareOwnerPubKeys`")]
    Encrypt {
        /// Its place in the manifest, from 0.
        index: usize,
    },
}

/// Encrypts `seed` for each of `owners` (PKCS #1 DER).
pub fn encrypt(seed: &Seed, owners: &[Vec<u8>]) -> Result<SeedShares, ShareError> {
    let shares = owners.iter().enumerate().map(|(index, owner)| {
        owner_key(owner).map_err(|source| ShareError::Key { index, source })?;
        let refused = || ShareError::Encrypt { index };
        let key = PublicEncryptingKey::from_der(&spki(owner)).map_err(|_| refused())?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| refused())?;
        let mut encrypted = vec![0; key.ciphertext_size()];
        let encrypted = key
            .encrypt(&OAEP_SHA256_MGF1SHA256, seed.expose(), &mut encrypted, Some(LABEL))
            .map_err(|_| refused())?;
        Ok(SeedShare {
            public_key: owner.iter().map(|byte| format!("{byte:02x}")).collect(),
            encrypted_seed: STANDARD.encode(&*encrypted),
        })
    });
    Ok(SeedShares { seed_shares: shares.collect::<Result<_, _>>()?, salt: STANDARD.encode(seed.salt()) })
}

/// The key of an owner, for its signatures.
pub fn owner_key(pkcs1: &[u8]) -> Result<PublicKey, PublicKeyError> {
    PublicKey::parse_spki(&spki(pkcs1))
}

/// PKCS #1 wrapped into a SubjectPublicKeyInfo.
fn spki(pkcs1: &[u8]) -> Vec<u8> {
    // a BIT STRING begins with the number of its unused bits
    let bits = der::value(der::BIT_STRING, &[&[0], pkcs1].concat());
    der::value(der::SEQUENCE, &[RSA.as_slice(), &bits].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;

    /// PKCS #1 of a key: what its SubjectPublicKeyInfo has in its BIT STRING.
    fn pkcs1(key: &PrivateDecryptingKey) -> Vec<u8> {
        let spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(&key.public_key()).unwrap();
        spki.as_ref()[24..].to_vec()
    }

    #[test]
    fn each_owner_can_open_its_share_and_nobody_elses() {
        let seed = Seed::new(&[5; 64], &[6; 32]).unwrap();
        let keys: Vec<_> =
            (0..2).map(|_| PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap()).collect();
        let owners: Vec<_> = keys.iter().map(pkcs1).collect();
        let shares = encrypt(&seed, &owners).unwrap();
        assert_eq!(shares.salt, STANDARD.encode([6; 32]));
        for (mine, key) in keys.iter().enumerate() {
            let key = OaepPrivateDecryptingKey::new(key.clone()).unwrap();
            for (whose, share) in shares.seed_shares.iter().enumerate() {
                let encrypted = STANDARD.decode(&share.encrypted_seed).unwrap();
                let mut out = vec![0; key.min_output_size()];
                let opened = key.decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted, &mut out, Some(LABEL));
                assert_eq!(opened.ok().map(|seed| seed.to_vec()), (mine == whose).then(|| vec![5; 64]));
            }
            let encrypted = STANDARD.decode(&shares.seed_shares[mine].encrypted_seed).unwrap();
            let mut out = vec![0; key.min_output_size()];
            assert!(key.decrypt(&OAEP_SHA256_MGF1SHA256, &encrypted, &mut out, Some(b"other")).is_err());
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_refused_by_its_place() {
        let seed = Seed::new(&[5; 64], &[6; 32]).unwrap();
        let good = pkcs1(&PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap());
        for bad in [vec![], vec![0x30, 0], vec![7; 100]] {
            let refused = encrypt(&seed, &[good.clone(), bad]).unwrap_err();
            assert!(matches!(refused, ShareError::Key { index: 1, source: PublicKeyError::Malformed }));
        }
    }
}

//! Deterministic P-384 keys from a seed: the det-keygen construction of c2sp.org, which is key generation of FIPS 186-5 with
//! an HMAC_DRBG (NIST SP 800-90A, §10.1.2, HMAC-SHA256) in the place of the random number generator.
//!
//! Pure: the same seed gives the same key for ever. `attestation.md` §2.

use hmac::{Hmac, KeyInit, Mac};
use p384::SecretKey;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

const PERSONALIZATION: &[u8] = b"det ECDSA key gen P-384";
const HASH: usize = 32;

/// A seed that gives no key. One in 2^190 does that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the seed gives no P-384 key; make another one")]
pub struct NoKey;

/// The key of a seed.
pub fn p384_key(seed: &[u8]) -> Result<SecretKey, NoKey> {
    let mut generator = HmacDrbg::instantiate(seed, PERSONALIZATION);
    let mut scalar = Zeroizing::new([0; 48]);
    generator.fill(scalar.as_mut_slice());
    // refuses zero and everything from the order on
    SecretKey::from_slice(scalar.as_slice()).map_err(|_| NoKey)
}

struct HmacDrbg {
    key: Zeroizing<[u8; HASH]>,
    value: Zeroizing<[u8; HASH]>,
}

impl HmacDrbg {
    fn instantiate(entropy: &[u8], personalization: &[u8]) -> Self {
        let mut drbg = Self { key: Zeroizing::new([0; HASH]), value: Zeroizing::new([1; HASH]) };
        for round in [0, 1] {
            drbg.key = hmac(&drbg.key, &[drbg.value.as_slice(), &[round], entropy, personalization]);
            drbg.step();
        }
        drbg
    }

    fn fill(&mut self, out: &mut [u8]) {
        for block in out.chunks_mut(HASH) {
            self.step();
            block.copy_from_slice(&self.value[..block.len()]);
        }
    }

    fn step(&mut self) {
        self.value = hmac(&self.key, &[self.value.as_slice()]);
    }
}

fn hmac(key: &[u8; HASH], parts: &[&[u8]]) -> Zeroizing<[u8; HASH]> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole chain from a seed is tested with other vectors in [`crate::seed`].
    #[test]
    fn a_seed_gives_one_key() {
        let one = p384_key(&[1; 64]).unwrap();
        assert_eq!(one.to_bytes(), p384_key(&[1; 64]).unwrap().to_bytes());
        assert_ne!(one.to_bytes(), p384_key(&[2; 64]).unwrap().to_bytes());
    }
}

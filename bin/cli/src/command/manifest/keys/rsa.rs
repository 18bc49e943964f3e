//! The key of a seed-share owner: opens a share, and signs a recovery. Prints nothing of itself.

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PSS_SHA384};
use zeroize::Zeroizing;

use super::RSA;
use super::pem::{self, Block};

/// What a share is encrypted for.
const LABEL: &[u8] = b"seedshare";

/// An owner's RSA key.
pub(in super::super) struct RecoveryKey {
    signing: KeyPair,
    opening: OaepPrivateDecryptingKey,
}

impl RecoveryKey {
    /// Reads a private key: PKCS #8 or PKCS #1, not encrypted.
    pub(in super::super) fn parse(text: &[u8]) -> Result<Self> {
        let blocks = pem::parse(text)?;
        let known = |block: &&Block| matches!(block.label.as_str(), "PRIVATE KEY" | "RSA PRIVATE KEY");
        let Some(Block { label, der }) = blocks.iter().find(known) else {
            if blocks.iter().any(|block| block.label == "ENCRYPTED PRIVATE KEY") {
                bail!("the key is encrypted: decrypt it first (`openssl pkey`)");
            }
            bail!("there is no private key in it (`-----BEGIN PRIVATE KEY-----`)");
        };
        let pkcs8 = if label == "RSA PRIVATE KEY" { pkcs8_of(der) } else { der.clone() };
        let unusable = "it is no RSA key of 2048 to 8192 bits";
        let signing = KeyPair::from_pkcs8(&pkcs8).ok().context(unusable)?;
        let opening = PrivateDecryptingKey::from_pkcs8(&pkcs8).ok().context(unusable)?;
        let opening = OaepPrivateDecryptingKey::new(opening).ok().context(unusable)?;
        Ok(Self { signing, opening })
    }

    /// PKCS #1 DER of its public key, as a manifest names it.
    pub(in super::super) fn public(&self) -> &[u8] {
        self.signing.public_key().as_ref()
    }

    /// Opens a share: RSA-OAEP with SHA-256.
    pub(in super::super) fn open(&self, share: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let mut out = Zeroizing::new(vec![0; self.opening.min_output_size()]);
        let opened = self.opening.decrypt(&OAEP_SHA256_MGF1SHA256, share, &mut out, Some(LABEL));
        let opened = opened.ok().context("the share was not encrypted to this key, or it was changed")?;
        Ok(Zeroizing::new(opened.to_vec()))
    }

    /// RSASSA-PSS with SHA-384.
    pub(in super::super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let signed = self.signing.sign(&RSA_PSS_SHA384, &SystemRandom::new(), message, &mut signature);
        signed.ok().context("the key cannot sign")?;
        Ok(signature)
    }
}

/// PKCS #1 wrapped into PKCS #8. Of keys that may be used, all lengths take two bytes.
fn pkcs8_of(pkcs1: &[u8]) -> Zeroizing<Vec<u8>> {
    let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let inner = 3 + RSA.len() + 4 + pkcs1.len();
    let mut der = Zeroizing::new(Vec::with_capacity(4 + inner));
    der.extend_from_slice(&[0x30, 0x82]);
    der.extend_from_slice(&length(inner));
    der.extend_from_slice(&[0x02, 0x01, 0x00]);
    der.extend_from_slice(&RSA);
    der.extend_from_slice(&[0x04, 0x82]);
    der.extend_from_slice(&length(pkcs1.len()));
    der.extend_from_slice(pkcs1);
    der
}

//! Keys of owners, from PEM: ECDSA for updates, RSA for seed shares. Prints none.
//!
//! Signatures are made with RustCrypto's ECDSA, because the digest is SHA-256 for P-384 as well, which the provider of
//! everything else does not sign.

mod pem;
mod rsa;

use anyhow::{Context as _, Result, bail};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use privatemode_attest::signature::PublicKey;
use zeroize::Zeroizing;

use pem::Block;
pub(super) use rsa::RecoveryKey;

/// Longest PEM file of a key.
pub(super) const MAX: usize = 64 * 1024;

/// DER of the algorithm of RSA keys: SEQUENCE { rsaEncryption, NULL }.
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/// Bytes of a SubjectPublicKeyInfo of an RSA key before its PKCS #1: two headers of four bytes, the algorithm, and the
/// number of unused bits.
const RSA_HEADER: usize = 4 + RSA.len() + 4 + 1;

/// An owner's key that signs updates.
pub(super) enum SigningKey {
    P256(p256::ecdsa::SigningKey, Vec<u8>),
    P384(p384::ecdsa::SigningKey, Vec<u8>),
}

impl SigningKey {
    /// Reads a private key: PKCS #8 or SEC 1, not encrypted.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let blocks = pem::parse(text)?;
        let known = |block: &&Block| matches!(block.label.as_str(), "PRIVATE KEY" | "EC PRIVATE KEY");
        let Some(Block { label, der }) = blocks.iter().find(known) else {
            if blocks.iter().any(|block| block.label == "ENCRYPTED PRIVATE KEY") {
                bail!(
                    "the key is encrypted: decrypt it, or sign with `sign --prepare` and the tool that holds it"
                );
            }
            bail!("there is no private key in it (`-----BEGIN PRIVATE KEY-----`)");
        };
        let sec1 = label == "EC PRIVATE KEY";
        let p256 = if sec1 {
            p256::SecretKey::from_sec1_der(der).ok()
        } else {
            p256::SecretKey::from_pkcs8_der(der).ok()
        };
        if let Some(key) = p256 {
            let spki = key.public_key().to_public_key_der().context("the public key cannot be encoded")?;
            return Ok(Self::P256(p256::ecdsa::SigningKey::from(&key), spki.into_vec()));
        }
        let p384 = if sec1 {
            p384::SecretKey::from_sec1_der(der).ok()
        } else {
            p384::SecretKey::from_pkcs8_der(der).ok()
        };
        let key = p384.context("it is no ECDSA key over P-256 or P-384")?;
        let spki = key.public_key().to_public_key_der().context("the public key cannot be encoded")?;
        Ok(Self::P384(p384::ecdsa::SigningKey::from(&key), spki.into_vec()))
    }

    /// SubjectPublicKeyInfo DER of its public key.
    pub(super) fn spki(&self) -> &[u8] {
        match self {
            Self::P256(_, spki) | Self::P384(_, spki) => spki,
        }
    }

    /// ASN.1 ECDSA signature over a SHA-256 digest; deterministic (RFC 6979).
    pub(super) fn sign(&self, digest: &[u8; 32]) -> Result<Vec<u8>> {
        Ok(match self {
            Self::P256(key, _) => {
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash(digest).context("the key cannot sign")?;
                signature.as_bytes().to_vec()
            }
            Self::P384(key, _) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash(digest).context("the key cannot sign")?;
                signature.as_bytes().to_vec()
            }
        })
    }
}

/// SubjectPublicKeyInfo DER of who may update.
pub(super) fn workload_owner(text: &[u8]) -> Result<Vec<u8>> {
    let spki = block(text, "PUBLIC KEY")?;
    PublicKey::parse_spki(&spki)?;
    if is_rsa(&spki) {
        bail!("it is an RSA key: updates are signed with ECDSA over P-256 or P-384");
    }
    Ok(spki.to_vec())
}

/// PKCS #1 DER of who may recover.
pub(super) fn seedshare_owner(text: &[u8]) -> Result<Vec<u8>> {
    let blocks = pem::parse(text)?;
    let pkcs1 = match blocks.iter().find(|block| block.label == "RSA PUBLIC KEY") {
        Some(block) => block.der.to_vec(),
        None => {
            let spki = block(text, "PUBLIC KEY")?;
            PublicKey::parse_spki(&spki)?;
            if !is_rsa(&spki) {
                bail!("it is no RSA key: seed shares are encrypted with RSA");
            }
            spki.get(RSA_HEADER..).unwrap_or_default().to_vec()
        }
    };
    PublicKey::parse_spki(&spki_of(&pkcs1))?;
    Ok(pkcs1)
}

fn is_rsa(spki: &[u8]) -> bool {
    spki.get(4..4 + RSA.len()) == Some(&RSA)
}

/// PKCS #1 wrapped into a SubjectPublicKeyInfo. Of keys that may be used, all lengths take two bytes.
fn spki_of(pkcs1: &[u8]) -> Vec<u8> {
    let length = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let bits = [&[0x03, 0x82], &length(pkcs1.len() + 1)[..], &[0], pkcs1].concat();
    [&[0x30, 0x82], &length(RSA.len() + bits.len())[..], &RSA, &bits].concat()
}

fn block(text: &[u8], label: &str) -> Result<Zeroizing<Vec<u8>>> {
    let blocks = pem::parse(text)?;
    if blocks.iter().any(|block| block.label.ends_with("PRIVATE KEY")) {
        bail!("it is a private key: give the public one, which `openssl pkey -pubout` makes of it");
    }
    let found = blocks.into_iter().find(|block| block.label == label);
    found
        .map(|block| block.der)
        .with_context(|| format!("there is no public key in it (`-----BEGIN {label}-----`)"))
}

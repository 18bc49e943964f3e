//! Signing keys, made once per process: generating RSA keys is slow.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::encoding::{AsBigEndian as _, AsDer as _, EcPrivateKeyBin, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA384,
};

use crate::der;

/// How a certificate, a revocation list or a report is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    EcdsaSha256,
    /// ECDSA over P-384 with SHA-384.
    EcdsaSha384,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, 48 bytes of salt.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
}

impl Algorithm {
    /// AlgorithmIdentifier in DER, as vendors write it.
    pub fn identifier(self) -> Vec<u8> {
        match self {
            Self::EcdsaSha256 => der::sequence(&[der::oid("1.2.840.10045.4.3.2")]),
            Self::EcdsaSha384 => der::sequence(&[der::oid("1.2.840.10045.4.3.3")]),
            Self::RsaPkcs1Sha256 => der::sequence(&[der::oid("1.2.840.113549.1.1.11"), der::null()]),
            Self::RsaPkcs1Sha384 => der::sequence(&[der::oid("1.2.840.113549.1.1.12"), der::null()]),
            Self::RsaPssSha384 => {
                let sha384 = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::null()]);
                let mgf1 = der::sequence(&[der::oid("1.2.840.113549.1.1.8"), sha384.clone()]);
                let parameters = der::sequence(&[
                    der::explicit(0, &sha384),
                    der::explicit(1, &mgf1),
                    der::explicit(2, &der::number(48)),
                ]);
                der::sequence(&[der::oid("1.2.840.113549.1.1.10"), parameters])
            }
        }
    }
}

/// A key pair. Cheap to clone; the private part cannot be read.
#[derive(Clone)]
pub struct Key(Arc<Pair>);

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Rsa,
    P256,
    P384,
}

impl Key {
    /// The RSA-2048 key of this name; the same name is the same key for the life of the process.
    pub fn rsa(name: &str) -> Self {
        Self::named(Kind::Rsa, name)
    }

    /// The P-256 key of this name.
    pub fn p256(name: &str) -> Self {
        Self::named(Kind::P256, name)
    }

    /// The P-384 key of this name.
    pub fn p384(name: &str) -> Self {
        Self::named(Kind::P384, name)
    }

    fn named(kind: Kind, name: &str) -> Self {
        static KEYS: LazyLock<Mutex<HashMap<(Kind, String), Key>>> = LazyLock::new(Mutex::default);
        let mut keys = KEYS.lock().expect("no test panics while it holds the lock");
        keys.entry((kind, name.to_owned())).or_insert_with(|| Self::generate(kind)).clone()
    }

    fn generate(kind: Kind) -> Self {
        let ecdsa =
            |algorithm| EcdsaKeyPair::generate(algorithm).expect("the operating system has randomness");
        Self(Arc::new(match kind {
            Kind::Rsa => Pair::Rsa(
                RsaKeyPair::generate(KeySize::Rsa2048).expect("the operating system has randomness"),
            ),
            Kind::P256 => Pair::P256(ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING)),
            Kind::P384 => Pair::P384(ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING)),
        }))
    }

    /// SubjectPublicKeyInfo in DER.
    pub fn spki(&self) -> Vec<u8> {
        let point = |curve, pair: &EcdsaKeyPair| {
            let algorithm = der::sequence(&[der::oid("1.2.840.10045.2.1"), der::oid(curve)]);
            der::sequence(&[algorithm, der::bit_string(pair.public_key().as_ref())])
        };
        match &*self.0 {
            Pair::Rsa(pair) => {
                let spki: PublicKeyX509Der<'_> =
                    pair.public_key().as_der().expect("a public key can be encoded");
                spki.as_ref().to_vec()
            }
            Pair::P256(pair) => point("1.2.840.10045.3.1.7", pair),
            Pair::P384(pair) => point("1.3.132.0.34", pair),
        }
    }

    /// The algorithm that vendors use with this kind of key: RSA-PSS, or ECDSA with the hash of the curve's size.
    pub fn usual_algorithm(&self) -> Algorithm {
        match &*self.0 {
            Pair::Rsa(_) => Algorithm::RsaPssSha384,
            Pair::P256(_) => Algorithm::EcdsaSha256,
            Pair::P384(_) => Algorithm::EcdsaSha384,
        }
    }

    /// Signs as a certificate does: ECDSA signatures in ASN.1.
    ///
    /// # Panics
    /// If the key is not of the algorithm's kind: a mistake in the test.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        match (&*self.0, algorithm) {
            (Pair::Rsa(pair), Algorithm::RsaPssSha384) => sign_rsa(pair, &RSA_PSS_SHA384, message),
            (Pair::Rsa(pair), Algorithm::RsaPkcs1Sha256) => sign_rsa(pair, &RSA_PKCS1_SHA256, message),
            (Pair::Rsa(pair), Algorithm::RsaPkcs1Sha384) => sign_rsa(pair, &RSA_PKCS1_SHA384, message),
            (Pair::P256(_), Algorithm::EcdsaSha256) | (Pair::P384(_), Algorithm::EcdsaSha384) => {
                let fixed = self.sign_fixed(message);
                let (r, s) = fixed.split_at(fixed.len() / 2);
                der::sequence(&[der::integer(r), der::integer(s)])
            }
            _ => panic!("{algorithm:?} with a key of another kind"),
        }
    }

    /// Signs as a report or quote does: r and s, big-endian, each as long as the field. Only for ECDSA keys.
    ///
    /// # Panics
    /// With an RSA key: a mistake in the test.
    pub fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        match &*self.0 {
            Pair::P256(pair) | Pair::P384(pair) => {
                pair.sign(&SystemRandom::new(), message).expect("a fresh key signs").as_ref().to_vec()
            }
            Pair::Rsa(_) => panic!("RSA signatures have no r and s"),
        }
    }

    /// The private number of an ECDSA key, big-endian, as long as the field: a test's machine signs in another process.
    ///
    /// # Panics
    /// With an RSA key: a mistake in the test.
    pub fn scalar(&self) -> Vec<u8> {
        let (Pair::P256(pair) | Pair::P384(pair)) = &*self.0 else { panic!("RSA keys are no single number") };
        let number: EcPrivateKeyBin<'_> =
            pair.private_key().as_be_bytes().expect("a key of this process can be written");
        number.as_ref().to_vec()
    }
}

fn sign_rsa(
    pair: &RsaKeyPair,
    encoding: &'static dyn aws_lc_rs::signature::RsaEncoding,
    message: &[u8],
) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).expect("a fresh key signs");
    signature
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

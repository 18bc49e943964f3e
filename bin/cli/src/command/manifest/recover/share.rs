//! From an owner's share to the message that recovers a coordinator. All of it is wiped.

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_manifest::history::Transition;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::super::api::SeedShares;
use super::super::keys::RecoveryKey;

const SEED: usize = 64;
const SALT: usize = 32;
/// What an owner signs begins with this, so that the signature is good for nothing else.
const CONTEXT: &[u8] = b"privatemode coordinator recovery\n";

/// The decrypted share.
pub(super) struct Seed {
    seed: Zeroizing<Vec<u8>>,
    salt: Vec<u8>,
}

impl Seed {
    /// Opens the share of `key`.
    pub(super) fn open(shares: &SeedShares, key: &RecoveryKey) -> Result<Self> {
        let own = hex::encode(key.public());
        let mut list = shares.seed_shares.iter();
        let share = list.find(|share| share.public_key.eq_ignore_ascii_case(&own));
        let share = share.context("it has no share for this key")?;
        let encrypted = STANDARD.decode(&share.encrypted_seed).context("the share is not base64")?;
        let seed = key.open(&encrypted)?;
        let salt = STANDARD.decode(&shares.salt).context("the salt is not base64")?;
        if seed.len() != SEED || salt.len() != SALT {
            bail!("a seed has {SEED} bytes and its salt {SALT}, not {} and {}", seed.len(), salt.len());
        }
        Ok(Self { seed, salt })
    }

    /// The request to recover at `latest`, signed: JSON, wiped when it was sent.
    pub(super) fn request(
        &self,
        key: &RecoveryKey,
        latest: &Transition,
        force: bool,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let bound = Sha256::new().chain_update(&*self.seed).chain_update(&self.salt).finalize();
        let signature = key.sign(&[CONTEXT, latest.as_bytes(), &bound].concat())?;
        // as long as base64 gets: a buffer that grows leaves copies behind
        let mut seed = Zeroizing::new(String::with_capacity(SEED * 2));
        STANDARD.encode_string(&*self.seed, &mut seed);
        let (salt, owner) = (STANDARD.encode(&self.salt), STANDARD.encode(key.public()));
        let (signature, latest) = (STANDARD.encode(signature), latest.to_string());
        // base64 and hexadecimal need no escapes
        let parts = [
            r#"{"seed":""#,
            seed.as_str(),
            r#"","salt":""#,
            salt.as_str(),
            r#"","latest_transition":""#,
            latest.as_str(),
            r#"","owner_key":""#,
            owner.as_str(),
            r#"","signature":""#,
            signature.as_str(),
            r#"","force":"#,
            if force { "true" } else { "false" },
            "}",
        ];
        let mut json = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
        parts.iter().for_each(|part| json.extend_from_slice(part.as_bytes()));
        Ok(json)
    }
}

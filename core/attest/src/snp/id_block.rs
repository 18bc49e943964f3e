//! The ID block that a launch measurement and a guest policy imply.
//!
//! A runtime that wants the firmware to enforce measurement and policy must sign an ID block. Contrast keeps no key for
//! that: it fixes the *signature* (r = 2, s = 1) and computes the one public key under which that signature is good for
//! this block. Nobody knows the private key, so that the key's digest in the report stands for this block and no other.
//! Whether a report must have it is the manifest's question.

use ecdsa::RecoveryId;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha384};

use super::policy::GuestPolicy;

/// Version of the ID block's layout, and the security version that Contrast gives its guests.
const VERSION: u32 = 1;
const GUEST_SVN: u32 = 2;
/// P-384 in the firmware's numbering.
const CURVE_P384: u32 = 2;
/// A coordinate, little-endian and filled up with zeros.
const COORDINATE: usize = 0x48;
/// Length of a public key in the firmware's layout.
const KEY_LEN: usize = 0x404;

/// SHA-384 of the ID key that `measurement` and `policy` imply; `None` if no key fits, which is as likely as a collision.
pub fn id_key_digest(measurement: &[u8; 48], policy: GuestPolicy) -> Option<[u8; 48]> {
    let digest = Sha384::digest(id_block(measurement, policy));
    let signature = fixed_signature()?;
    // the x coordinate does not say which of two points made the signature; the smaller key is taken
    let keys = [false, true].into_iter().filter_map(|odd| {
        let key =
            VerifyingKey::recover_from_prehash(&digest, &signature, RecoveryId::new(odd, false)).ok()?;
        let point = key.to_sec1_point(false);
        Some((
            <[u8; 48]>::try_from(point.x()?.as_slice()).ok()?,
            <[u8; 48]>::try_from(point.y()?.as_slice()).ok()?,
        ))
    });
    // big-endian coordinates of one length compare like the numbers: by X, then by Y
    let (x, y) = keys.min()?;
    let mut key = Vec::with_capacity(KEY_LEN);
    key.extend_from_slice(&CURVE_P384.to_le_bytes());
    for coordinate in [x, y] {
        key.extend(coordinate.iter().rev());
        key.resize(key.len().saturating_add(COORDINATE.saturating_sub(coordinate.len())), 0);
    }
    key.resize(KEY_LEN, 0);
    Some(Sha384::digest(key).into())
}

/// Launch digest, family, image, version, guest SVN, policy: 0x60 bytes, integers little-endian.
fn id_block(measurement: &[u8; 48], policy: GuestPolicy) -> Vec<u8> {
    let mut block = measurement.to_vec();
    block.extend_from_slice(&[0; 32]);
    block.extend_from_slice(&VERSION.to_le_bytes());
    block.extend_from_slice(&GUEST_SVN.to_le_bytes());
    block.extend_from_slice(&policy.0.to_le_bytes());
    block
}

fn fixed_signature() -> Option<Signature> {
    let scalar = |value: u8| {
        let mut bytes = [0; 48];
        if let Some(last) = bytes.last_mut() {
            *last = value;
        }
        bytes
    };
    Signature::from_scalars(scalar(2), scalar(1)).ok()
}

#[cfg(test)]
mod tests;

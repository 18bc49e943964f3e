use p384::ecdsa::signature::hazmat::PrehashVerifier;

use super::*;

#[test]
fn the_block_is_laid_out_as_the_firmware_reads_it() {
    let block = id_block(&[7; 48], GuestPolicy(0x0203_0000));
    assert_eq!(block.len(), 0x60);
    assert_eq!(block[..48], [7; 48]);
    assert_eq!(block[48..80], [0; 32]);
    assert_eq!(block[80..], [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0]);
}

#[test]
fn the_fixed_signature_is_good_under_both_keys_for_this_block_only() {
    let digest = Sha384::digest(id_block(&[7; 48], GuestPolicy(0x3_0000)));
    let signature = fixed_signature().unwrap();
    for odd in [false, true] {
        let id = RecoveryId::new(odd, false);
        let key = VerifyingKey::recover_from_prehash(&digest, &signature, id).unwrap();
        assert!(key.verify_prehash(&digest, &signature).is_ok());
        let other = Sha384::digest(id_block(&[8; 48], GuestPolicy(0x3_0000)));
        assert!(key.verify_prehash(&other, &signature).is_err());
    }
}

#[test]
fn the_digest_depends_on_measurement_and_policy() {
    let base = id_key_digest(&[7; 48], GuestPolicy(0x3_0000)).unwrap();
    assert_ne!(id_key_digest(&[8; 48], GuestPolicy(0x3_0000)), Some(base));
    assert_ne!(id_key_digest(&[7; 48], GuestPolicy(0xb_0000)), Some(base));
}

/// From a second implementation, in Python integers.
#[test]
fn a_vector() {
    let digest = id_key_digest(&[7; 48], GuestPolicy(0x0203_0000)).unwrap();
    assert_eq!(
        hex::encode(digest),
        "6962e86db464786814d3b826d6db63a3b805d6bbff4203eb32a404c674ccb3e2a1a5e76c385c15287b37d4045f12ddf1"
    );
}

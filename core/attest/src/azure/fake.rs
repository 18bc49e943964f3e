//! Layouts of Azure's evidence with chosen content, for tests.

use sha2::{Digest, Sha256};

use super::Platform;

/// An HCL report whose hardware report carries the digest of `runtime_data`.
pub(super) fn hcl_report(platform: Platform, runtime_data: &[u8]) -> Vec<u8> {
    let (kind, offset) = match platform {
        Platform::Snp => (2_u32, 0x50),
        Platform::Tdx => (4, 128),
    };
    let data_size = 20 + runtime_data.len() as u32;
    let mut out = b"HCLA".to_vec();
    for number in [2, 32 + 1184 + data_size, 2, 0, 0, 0, 0] {
        out.extend(number.to_le_bytes());
    }
    let mut hardware = [0; 1184];
    hardware[offset..offset + 32].copy_from_slice(&Sha256::digest(runtime_data));
    out.extend(hardware);
    for number in [data_size, 1, kind, 1, runtime_data.len() as u32] {
        out.extend(number.to_le_bytes());
    }
    out.extend(runtime_data);
    out
}

/// A TPMS_ATTEST of a quote.
pub(super) fn quote(nonce: &[u8], selection: [u8; 3], digest: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff, b'T', b'C', b'G', 0x80, 0x18, 0, 34];
    out.extend([0x0b; 34]);
    out.extend((nonce.len() as u16).to_be_bytes());
    out.extend(nonce);
    out.extend([3; 25]);
    out.extend([0, 0, 0, 1, 0, 0x0b, 3]);
    out.extend(selection);
    out.extend((digest.len() as u16).to_be_bytes());
    out.extend(digest);
    out
}

//! Quotes of versions 4 and 5.

use aws_lc_rs::digest::{SHA256, digest};

use crate::key::Key;

/// Kinds of TD report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// TDX 1.0: 584 bytes, type 2 in version 5.
    Tdx10,
    /// TDX 1.5: 648 bytes, type 3, only in version 5.
    Tdx15,
}

/// Where the fields of a TD report are.
pub mod body {
    /// Security versions of the TDX components, 16 bytes.
    pub const TEE_TCB_SVN: usize = 0;
    /// Measurement of the TDX module, 48 bytes.
    pub const MR_SEAM: usize = 16;
    /// Signer of the TDX module, 48 bytes.
    pub const MR_SIGNER_SEAM: usize = 64;
    /// Attributes of the TDX module, 8 bytes.
    pub const SEAM_ATTRIBUTES: usize = 112;
    /// Attributes of the trust domain, 8 bytes.
    pub const TD_ATTRIBUTES: usize = 120;
    /// Extended features, 8 bytes.
    pub const XFAM: usize = 128;
    /// Measurement of the trust domain, 48 bytes.
    pub const MR_TD: usize = 136;
    /// Configuration, 48 bytes.
    pub const MR_CONFIG_ID: usize = 184;
    /// Owner, 48 bytes.
    pub const MR_OWNER: usize = 232;
    /// Configuration of the owner, 48 bytes.
    pub const MR_OWNER_CONFIG: usize = 280;
    /// Run-time measurement registers, four of 48 bytes.
    pub const RTMRS: usize = 328;
    /// Report data, 64 bytes.
    pub const REPORT_DATA: usize = 520;
}

/// Where the fields of the quoting enclave's report are.
pub mod qe {
    /// MISCSELECT, 4 bytes.
    pub const MISC_SELECT: usize = 16;
    /// Flags and extended features, 16 bytes.
    pub const ATTRIBUTES: usize = 48;
    /// Signer, 32 bytes.
    pub const MR_SIGNER: usize = 128;
    /// Product, 2 bytes.
    pub const ISV_PROD_ID: usize = 256;
    /// Security version, 2 bytes.
    pub const ISV_SVN: usize = 258;
    /// Report data, 64 bytes.
    pub const REPORT_DATA: usize = 320;
}

/// The quoting enclave's report, 384 bytes.
pub type QeReport = [u8; 384];

/// A quote before it is signed.
#[derive(Debug, Clone)]
pub struct Quote {
    /// 48 bytes.
    pub header: [u8; 48],
    /// The TD report; its length decides its type in version 5.
    pub body: Vec<u8>,
    /// Its report data is written when the quote is encoded, unless it is there.
    pub qe_report: QeReport,
    /// Bound to the attestation key.
    pub auth_data: Vec<u8>,
    /// The public key in the quote, x and y, as two coordinates; that of `signed_by` if it is not there.
    pub attestation_key: Option<[u8; 64]>,
    /// The attestation key.
    pub signed_by: Key,
    /// The platform's key.
    pub qe_report_signed_by: Key,
    /// What stands behind the quote.
    pub padding: Vec<u8>,
}

impl Quote {
    pub(super) fn good(version: u16, kind: Body, pck: &Key) -> Self {
        let mut header = [0; 48];
        header[..2].copy_from_slice(&version.to_le_bytes());
        header[2] = 2;
        header[4] = 0x81;
        header[12..28].copy_from_slice(&[
            0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
        ]);
        header[28..44].fill(0x77);
        let mut body = vec![0; if kind == Body::Tdx10 { 584 } else { 648 }];
        body[body::TEE_TCB_SVN..][..3].copy_from_slice(&[5, 1, 5]);
        body[body::MR_SEAM..][..48].fill(0x5e);
        body[body::TD_ATTRIBUTES + 3] = 0x10;
        body[body::XFAM..][..3].copy_from_slice(&[0xe7, 0, 6]);
        body[body::MR_TD..][..48].fill(0x7d);
        for register in 0..4 {
            body[body::RTMRS + 48 * register..][..48].fill(register as u8 + 1);
        }
        body[body::REPORT_DATA..][..64].fill(0xda);
        let mut qe_report = [0; 384];
        qe_report[..16].fill(4);
        qe_report[qe::ATTRIBUTES] = 0x15;
        qe_report[qe::ATTRIBUTES + 8] = 0xe7;
        qe_report[qe::MR_SIGNER..][..32].fill(0xdc);
        qe_report[qe::ISV_PROD_ID] = 2;
        qe_report[qe::ISV_SVN] = 4;
        Self {
            header,
            body,
            qe_report,
            auth_data: (0..32).collect(),
            attestation_key: None,
            signed_by: Key::p256("Intel attestation key"),
            qe_report_signed_by: pck.clone(),
            padding: Vec::new(),
        }
    }

    /// Signs and encodes, with this PCK chain.
    pub fn encode(&self, pck_chain: &[u8]) -> Vec<u8> {
        let mut quote = self.header.to_vec();
        if self.header[0] == 5 {
            quote.extend(if self.body.len() == 584 { [2, 0] } else { [3, 0] });
            quote.extend((self.body.len() as u32).to_le_bytes());
        }
        quote.extend(&self.body);
        let spki = self.signed_by.spki();
        let own_key = spki.last_chunk::<64>().expect("a P-256 key ends with its point");
        let key = self.attestation_key.as_ref().unwrap_or(own_key);
        let mut qe_report = self.qe_report;
        if qe_report[qe::REPORT_DATA..].iter().all(|byte| *byte == 0) {
            let bound = digest(&SHA256, &[&key[..], &self.auth_data].concat());
            qe_report[qe::REPORT_DATA..][..32].copy_from_slice(bound.as_ref());
        }
        let mut certified = qe_report.to_vec();
        certified.extend(self.qe_report_signed_by.sign_fixed(&qe_report));
        certified.extend((self.auth_data.len() as u16).to_le_bytes());
        certified.extend(&self.auth_data);
        certified.extend([5, 0]);
        certified.extend((pck_chain.len() as u32).to_le_bytes());
        certified.extend(pck_chain);
        let mut data = self.signed_by.sign_fixed(&quote);
        data.extend(key);
        data.extend([6, 0]);
        data.extend((certified.len() as u32).to_le_bytes());
        data.extend(certified);
        quote.extend((data.len() as u32).to_le_bytes());
        quote.extend(data);
        quote.extend(&self.padding);
        quote
    }
}

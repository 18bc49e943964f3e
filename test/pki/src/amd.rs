//! AMD SEV-SNP: ARK, ASK or ASVK, VCEK or VLEK, revocation list and report.
//!
//! Structure and object identifiers as AMD's key distribution service has them (AMD publication 57230); the report as
//! the firmware ABI (publication 56860).

mod machine;

pub use crate::time::NOW;

use crate::der;
use crate::key::Key;
use crate::time::DAY;
use crate::x509::{Certificate, Crl, Extension, Name};
pub use machine::Extras;

/// Product lines, each with its own root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Family 19h, models 00h to 0Fh.
    Milan,
    /// Family 19h, models 10h to 1Fh and A0h to AFh.
    Genoa,
    /// Family 1Ah; another layout of the TCB, and 8 bytes of chip ID.
    Turin,
}

/// Which key signs the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The chip's own key.
    Vcek,
    /// A key that AMD gave to a cloud.
    Vlek,
}

/// Length of a report in bytes.
pub const REPORT_LEN: usize = 1184;
/// Where the report's signature begins; everything before it is signed.
pub const SIGNATURE_AT: usize = 0x2a0;

/// A good set, to be broken in one place. Its fields are signed when it is encoded, by [`Evidence::encode`].
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The root.
    pub ark: Certificate,
    /// The ASK, or the ASVK for a VLEK.
    pub ask: Certificate,
    /// The VCEK or VLEK.
    pub vek: Certificate,
    /// The root's revocation list.
    pub crl: Crl,
    /// The report; the signature is written when it is encoded.
    pub report: [u8; REPORT_LEN],
    /// The key that signs the report.
    pub report_signed_by: Key,
}

/// The encoded set.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The root, DER.
    pub ark: Vec<u8>,
    /// ASK or ASVK, DER.
    pub ask: Vec<u8>,
    /// VCEK or VLEK, DER.
    pub vek: Vec<u8>,
    /// The revocation list, DER.
    pub crl: Vec<u8>,
    /// The signed report.
    pub report: Vec<u8>,
}

/// Chip ID of the test chip; Turin uses the first eight bytes.
const CHIP: [u8; 64] = [0xc5; 64];

impl Evidence {
    /// A genuine set at [`NOW`].
    pub fn new(product: Product, signer: Signer) -> Self {
        let ark_key = Key::rsa(&format!("{product:?} ARK"));
        let ask_key = Key::rsa(&format!("{product:?} {signer:?} ASK"));
        let vek_key = Key::p384(&format!("{product:?} {signer:?}"));
        let ark_name = name(&format!("ARK-{product:?}"));
        let ask_name = match signer {
            Signer::Vcek => name(&format!("SEV-{product:?}")),
            Signer::Vlek => name(&format!("SEV-VLEK-{product:?}")),
        };
        let authority = |subject: &Name, serial: u8, key: &Key, extensions| Certificate {
            serial: vec![1, 0, serial],
            issuer: ark_name.clone(),
            subject: subject.clone(),
            not_before: NOW - 1000 * DAY,
            not_after: NOW + 8000 * DAY,
            key: key.clone(),
            extensions,
            signed_by: ark_key.clone(),
            algorithm: ark_key.usual_algorithm(),
        };
        Self {
            ark: authority(
                &ark_name,
                0,
                &ark_key,
                vec![Extension::key_usage(&[5, 6]), Extension::authority(None)],
            ),
            ask: authority(
                &ask_name,
                1,
                &ask_key,
                vec![Extension::authority(Some(0)), Extension::key_usage(&[5])],
            ),
            vek: Certificate {
                serial: vec![0],
                issuer: ask_name,
                subject: name(if signer == Signer::Vcek { "SEV-VCEK" } else { "SEV-VLEK" }),
                not_before: NOW - 100 * DAY,
                not_after: NOW + 2000 * DAY,
                key: vek_key.clone(),
                extensions: vek_extensions(product, signer),
                signed_by: ask_key.clone(),
                algorithm: ask_key.usual_algorithm(),
            },
            crl: Crl {
                issuer: ark_name,
                this_update: NOW - 30 * DAY,
                next_update: NOW + 300 * DAY,
                revoked: vec![(vec![9, 9, 9], NOW - 60 * DAY)],
                extensions: vec![Extension::new("2.5.29.20", der::number(4))],
                signed_by: ark_key.clone(),
                algorithm: ark_key.usual_algorithm(),
            },
            report: report(product, signer),
            report_signed_by: vek_key,
        }
    }

    /// Signs and encodes everything.
    pub fn encode(&self) -> Encoded {
        let mut report = self.report.to_vec();
        sign_report(&mut report, &self.report_signed_by);
        Encoded { ark: self.ark.der(), ask: self.ask.der(), vek: self.vek.der(), crl: self.crl.der(), report }
    }
}

/// Signs bytes 0 to 0x2A0: r and s little-endian, 72 bytes each, zeros above.
fn sign_report(report: &mut [u8], key: &Key) {
    let signature = key.sign_fixed(&report[..SIGNATURE_AT]);
    report[SIGNATURE_AT..].fill(0);
    for (part, at) in signature.chunks(48).zip([SIGNATURE_AT, SIGNATURE_AT + 72]) {
        for (to, from) in report[at..at + 48].iter_mut().zip(part.iter().rev()) {
            *to = *from;
        }
    }
}

/// The name of AMD's certificates with this common name.
pub fn name(common_name: &str) -> Name {
    Name::new(&[
        ("2.5.4.11", der::utf8("Engineering")),
        ("2.5.4.6", der::printable("US")),
        ("2.5.4.7", der::utf8("Santa Clara")),
        ("2.5.4.8", der::utf8("CA")),
        ("2.5.4.10", der::utf8("Advanced Micro Devices")),
        ("2.5.4.3", der::utf8(common_name)),
    ])
}

/// The object identifier of one of AMD's extensions: `amd_oid("3.8")` is the microcode level.
pub fn amd_oid(end: &str) -> String {
    format!("1.3.6.1.4.1.3704.1.{end}")
}

fn vek_extensions(product: Product, signer: Signer) -> Vec<Extension> {
    let text = match (product, signer) {
        (Product::Milan, Signer::Vcek) => "Milan-B0".to_owned(),
        _ => format!("{product:?}"),
    };
    let extension = |end, value| Extension::new(&amd_oid(end), value);
    let mut extensions = vec![
        extension("1", der::number(u64::from(product == Product::Turin))),
        extension("2", der::ia5(&text)),
        extension("3.1", der::number(4)),
        extension("3.2", der::number(1)),
        extension("3.4", der::number(0)),
        extension("3.5", der::number(0)),
        extension("3.6", der::number(0)),
        extension("3.7", der::number(0)),
        extension("3.3", der::number(24)),
        extension("3.8", der::number(219)),
    ];
    if product == Product::Turin {
        extensions.push(extension("3.9", der::number(2)));
    }
    extensions.push(match (signer, product) {
        (Signer::Vcek, Product::Turin) => extension("4", CHIP[..8].to_vec()),
        (Signer::Vcek, _) => extension("4", CHIP.to_vec()),
        (Signer::Vlek, _) => extension("5", der::ia5("CN=cc-test.example.com")),
    });
    extensions
}

fn report(product: Product, signer: Signer) -> [u8; REPORT_LEN] {
    let mut report = [0; REPORT_LEN];
    let tcb: [u8; 8] = match product {
        Product::Turin => [2, 4, 1, 24, 0, 0, 0, 219],
        _ => [4, 1, 0, 0, 0, 0, 24, 219],
    };
    let cpuid: [u8; 3] = match product {
        Product::Milan => [0x19, 0x01, 1],
        Product::Genoa => [0x19, 0x11, 1],
        Product::Turin => [0x1a, 0x02, 1],
    };
    let mut put = |at: usize, bytes: &[u8]| report[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x00, &[if product == Product::Turin { 5 } else { 3 }]);
    put(0x08, &[0x1f, 0, 3]);
    put(0x34, &[1]);
    put(0x38, &tcb);
    put(0x40, &[0x25]);
    put(0x48, &[if signer == Signer::Vlek { 1 << 2 } else { 0 }]);
    put(0x50, &[0xd0; 64]);
    put(0x90, &[0x3e; 48]);
    put(0xc0, &[0x40; 32]);
    put(0x140, &[0x1d; 32]);
    put(0x160, &[0xff; 32]);
    put(0x180, &tcb);
    put(0x188, &cpuid);
    put(0x1e0, &tcb);
    put(0x1e8, &[29, 55, 1, 0, 29, 55, 1]);
    put(0x1f0, &tcb);
    match (signer, product) {
        (Signer::Vcek, Product::Turin) => put(0x1a0, &CHIP[..8]),
        (Signer::Vcek, _) => put(0x1a0, &CHIP),
        (Signer::Vlek, _) => {}
    }
    if product == Product::Turin {
        put(0x1f8, &[3, 0, 0, 0, 0, 0, 0, 0, 7]);
    }
    report
}

//! Where the real evidence is, and how a case is read.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "each test uses its own part"
)]

use std::path::PathBuf;

use privatemode_attest::tdx::{Collateral, Evidence, PcsDocuments, Roots, Tolerance, VerifyError, verify};
use privatemode_attest::{Genuine, UnixTime};

/// The cases that are valid, with a time at which they are.
pub const VALID: [(&str, &str); 5] = [
    ("emr-b0c06f-uptodate", "2025-07-01T00:00:00Z"),
    ("azure-90c06f-2026-06", "2026-06-15T00:00:00Z"),
    ("gcp-00806f-ccel", "2025-06-10T00:00:00Z"),
    ("gcp-00806f-2025-12", "2026-02-01T00:00:00Z"),
    ("v5-90c06f-uptodate", "2026-02-25T00:00:00Z"),
];

pub struct Case {
    pub name: String,
    pub quote: Vec<u8>,
    pub tcb_info: Vec<u8>,
    pub qe_identity: Vec<u8>,
    pub signing_chain: Vec<u8>,
    pub pck_crl: Vec<u8>,
    pub pck_crl_chain: Vec<u8>,
    pub root_crl: Vec<u8>,
    collateral: Collateral,
}

pub fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence/tdx"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: there is no evidence at {}; nothing was tested", folder.display());
    None
}

pub fn read(path: &str) -> Option<Vec<u8>> {
    let file = folder()?.join(path);
    Some(std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
}

pub fn at(date: &str) -> UnixTime {
    let date = date.parse::<jiff::Timestamp>().unwrap();
    UnixTime(date.as_second().try_into().unwrap())
}

impl Case {
    pub fn read(name: &str) -> Self {
        let file = |path: &str| read(&format!("{name}/{path}")).unwrap();
        let mut case = Self {
            name: name.to_owned(),
            quote: file("quote.bin"),
            tcb_info: file("collateral/tcb_info.json"),
            qe_identity: file("collateral/qe_identity.json"),
            signing_chain: file("collateral/tcb_signing_chain.pem"),
            pck_crl: file("collateral/pck_crl.der"),
            pck_crl_chain: file("collateral/pck_crl_issuer_chain.pem"),
            root_crl: file("collateral/root_ca_crl.der"),
            collateral: empty(),
        };
        case.collateral = Collateral::assemble(&case.documents()).unwrap();
        case
    }

    pub fn documents(&self) -> PcsDocuments<'_> {
        PcsDocuments {
            tcb_info: &self.tcb_info,
            tcb_info_issuer_chain: &self.signing_chain,
            qe_identity: &self.qe_identity,
            qe_identity_issuer_chain: &self.signing_chain,
            pck_crl: &self.pck_crl,
            pck_crl_issuer_chain: &self.pck_crl_chain,
            root_ca_crl: &self.root_crl,
        }
    }

    pub fn collateral(&self) -> &Collateral {
        &self.collateral
    }

    pub fn verify(&self, now: UnixTime) -> Result<Genuine<Evidence>, VerifyError> {
        self.verify_tolerant(&Tolerance::strict(), now)
    }

    pub fn verify_tolerant(
        &self,
        tolerance: &Tolerance,
        now: UnixTime,
    ) -> Result<Genuine<Evidence>, VerifyError> {
        let collateral = self.collateral.verify(&Roots::embedded(), now);
        let collateral = collateral.unwrap_or_else(|error| panic!("{}: {error:?}", self.name));
        verify(&self.quote, &collateral, tolerance, now)
    }
}

/// Intel's own sample under a root of its own.
pub fn intel_sample() -> Option<Collateral> {
    let file = |name: &str| read(&format!("untrusted-root-intel-sample/{name}"));
    // its chains have the root first
    let chain = |name: &str| file(name).map(|pem| leaf_first(&pem));
    let documents = (file("tcbInfo.json")?, file("qeIdentity.json")?, file("rootCaCrl.der")?);
    let (signing, pck) = (chain("tcbSignChain.pem")?, chain("pckSignChain.pem")?);
    Some(
        Collateral::assemble(&PcsDocuments {
            tcb_info: &documents.0,
            tcb_info_issuer_chain: &signing,
            qe_identity: &documents.1,
            qe_identity_issuer_chain: &signing,
            pck_crl: &file("intermediateCaCrl.der")?,
            pck_crl_issuer_chain: &pck,
            root_ca_crl: &documents.2,
        })
        .unwrap(),
    )
}

fn leaf_first(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let mut blocks: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    blocks.retain(|block| !block.trim().is_empty());
    blocks.reverse();
    blocks.into_iter().flat_map(|block| [block.trim_end(), "\n"]).collect::<String>().into_bytes()
}

fn empty() -> Collateral {
    Collateral {
        tcb_info: String::new(),
        tcb_info_signature: [0; 64],
        tcb_info_issuer_chain: String::new(),
        qe_identity: String::new(),
        qe_identity_signature: [0; 64],
        qe_identity_issuer_chain: String::new(),
        pck_crl: Vec::new(),
        pck_crl_issuer_chain: String::new(),
        root_ca_crl: Vec::new(),
    }
}

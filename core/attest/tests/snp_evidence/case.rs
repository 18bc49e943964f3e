//! The files of each case, and what is done with them.

use std::path::{Path, PathBuf};

use privatemode_attest::snp::{Endorsement, Evidence, Roots, VerifyError, verify};
use privatemode_attest::x509::Certificate;
use privatemode_attest::{Genuine, UnixTime};

/// A case: the files of one machine. Certificates in DER.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) report: Vec<u8>,
    pub(crate) vek: Vec<u8>,
    pub(crate) ask: Vec<u8>,
    pub(crate) ark: Vec<u8>,
    pub(crate) crl: Option<Vec<u8>>,
    pub(crate) at: UnixTime,
}

/// Cases that are genuine at a time.
pub(crate) const VALID: [(&str, &str); 10] = [
    ("milan-v2-coco", "2024-06-01T00:00:00Z"),
    ("milan-v2-gcp-debug-policy", "2024-06-01T00:00:00Z"),
    ("milan-v2-azure-vtpm", "2024-06-01T00:00:00Z"),
    ("milan-v2-virtee", "2024-06-01T00:00:00Z"),
    ("milan-v3-azure-vtpm", "2026-01-15T00:00:00Z"),
    ("genoa-v3-azure-vtpm", "2025-09-01T00:00:00Z"),
    ("milan-v3-vlek-aws", "2025-06-01T00:00:00Z"),
    ("milan-v3-gcp-release", "2025-09-01T00:00:00Z"),
    ("milan-v3-gcp-cb", "2025-09-01T00:00:00Z"),
    ("milan-v3-dstack", "2026-09-01T00:00:00Z"),
];

pub(crate) fn at(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).expect("a time")
}

#[expect(clippy::print_stderr, reason = "a test that does nothing must say so")]
pub(crate) fn root() -> Option<PathBuf> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence/snp"));
    if !root.is_dir() {
        eprintln!("SKIPPED: no real evidence at {}", root.display());
        return None;
    }
    Some(root.to_path_buf())
}

pub(crate) fn der(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Certificate::parse(&bytes).expect("a certificate").der().to_vec()
}

fn first(folder: &Path, names: &[&str]) -> PathBuf {
    names.iter().map(|name| folder.join(name)).find(|path| path.is_file()).expect("one of the files")
}

pub(crate) fn case(root: &Path, name: &'static str, time: &str) -> Case {
    let folder = root.join(name);
    Case {
        name,
        report: std::fs::read(folder.join("report.bin")).expect("every case has a report"),
        vek: der(&first(&folder, &["vcek.der", "vlek.der"])),
        ask: der(&first(&folder, &["ask.pem", "asvk.pem"])),
        ark: der(&folder.join("ark.pem")),
        crl: std::fs::read(folder.join("amd_crl.der")).ok(),
        at: at(time),
    }
}

/// All cases that are genuine at their time; none if there is no evidence.
pub(crate) fn valid() -> Vec<Case> {
    let Some(root) = root() else { return Vec::new() };
    VALID.into_iter().map(|(name, time)| case(&root, name, time)).collect()
}

impl Case {
    pub(crate) fn verify(&self) -> Result<Genuine<Evidence>, VerifyError> {
        self.verify_with(0)
    }

    pub(crate) fn verify_with(&self, crl_grace: u64) -> Result<Genuine<Evidence>, VerifyError> {
        let Self { report, vek, ask, ark, crl, at, .. } = self;
        let endorsement = Endorsement { vek, ask, ark, crl: crl.as_deref(), crl_grace };
        verify(report, &endorsement, &Roots::embedded(), *at)
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut Self)) -> Result<Genuine<Evidence>, VerifyError> {
        let mut case = self.clone();
        change(&mut case);
        case.verify()
    }

    #[track_caller]
    pub(crate) fn refused(&self, expected: &VerifyError, change: impl FnOnce(&mut Self)) {
        assert_eq!(self.with(change).map(|_| ()).as_ref(), Err(expected), "{}", self.name);
    }
}

//! SEV-SNP reports of no hardware: genuine in structure and signature, under the root of whoever made the folder. They let
//! the real verification run end to end where no such machine is. **Proves nothing**; not in released builds.
//!
//! ```text
//! DIR/report.bin     a report: all but its report data, its host data and its signature is taken as it is
//! DIR/vcek-key.bin   the key that signs, P-384: 48 bytes, big-endian
//! DIR/extras/        what the evidence brings along, each if it is there: vcek.der  ask.der  ark.der  crl.der
//! DIR/ark.der        the root; nothing to this part, but to verifiers: --danger-amd-root DIR/ark.der
//! ```
//!
//! The folder is the machine: it is read again for each report, so that a test can change what it is.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use p384::ecdsa::{Signature, SigningKey, signature::Signer as _};
use privatemode_attest::{
    EvidenceKind, ReportData,
    encoding::sevsnp::{self, SnpEvidence},
};
use privatemode_manifest::PolicyHash;

use super::{QuoteError, Quoter, evidence};

const PLATFORM: EvidenceKind = EvidenceKind::Snp;
const KEY_LEN: usize = 48;
/// Offsets in the report: AMD 56860, table ATTESTATION_REPORT.
const REPORT_DATA: usize = 0x50;
const HOST_DATA: usize = 0xc0;
const SIGNATURE: usize = 0x2a0;
/// Each half of the signature: 48 bytes of number, little-endian, and zeros.
const HALF: usize = 72;

pub(super) fn quoter(folder: &Path, policy: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    let policy = policy.ok_or_else(|| QuoteError::NoHardware {
        platform: PLATFORM,
        why: "nobody said for which policy fake reports are made".to_owned(),
        next: "name its file with `--workload-policy`",
    })?;
    Ok(Arc::new(FakeSnpQuoter::open(folder, policy)?))
}

/// Makes reports from the files in a folder. **Proves nothing.**
#[derive(Debug, Clone)]
pub struct FakeSnpQuoter {
    folder: PathBuf,
    host_data: [u8; 32],
}

/// What the folder has.
struct Machine {
    report: [u8; sevsnp::REPORT_LEN],
    key: SigningKey,
    extras: SnpEvidence,
}

impl FakeSnpQuoter {
    /// A quoter whose reports name `policy`, if the folder has what it takes. Says loudly that it is there.
    ///
    /// # Errors
    /// [`QuoteError`] names the file.
    pub fn open(folder: impl Into<PathBuf>, policy: PolicyHash) -> Result<Self, QuoteError> {
        let quoter = Self { folder: folder.into(), host_data: *policy.as_bytes() };
        quoter.machine()?;
        tracing::warn!(
            folder = %quoter.folder.display(),
            "FAKE SEV-SNP reports (--danger-fake-snp): made from files, no hardware protects anything; for tests only"
        );
        Ok(quoter)
    }

    fn machine(&self) -> Result<Machine, QuoteError> {
        let report = self.exactly("report.bin")?;
        let key: [u8; KEY_LEN] = self.exactly("vcek-key.bin")?;
        let key = SigningKey::from_slice(&key)
            .map_err(|_| self.fault("vcek-key.bin", invalid("no key of P-384")))?;
        let extra = |name: &str, max| self.read_if_any(&format!("extras/{name}.der"), max);
        let extras = SnpEvidence {
            vcek: extra("vcek", sevsnp::MAX_CERTIFICATE)?,
            ask: extra("ask", sevsnp::MAX_CERTIFICATE)?,
            ark: extra("ark", sevsnp::MAX_CERTIFICATE)?,
            crl: extra("crl", sevsnp::MAX_CRL)?,
            ..SnpEvidence::of_report(report)
        };
        Ok(Machine { report, key, extras })
    }

    fn exactly<const LEN: usize>(&self, name: &str) -> Result<[u8; LEN], QuoteError> {
        let bytes = self.read(name, LEN)?;
        bytes.try_into().map_err(|bytes: Vec<u8>| {
            self.fault(name, invalid(&format!("it has {} bytes, and must have {LEN}", bytes.len())))
        })
    }

    fn read_if_any(&self, name: &str, max: usize) -> Result<Option<Vec<u8>>, QuoteError> {
        match self.read(name, max) {
            Err(QuoteError::Device { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, QuoteError> {
        let path = self.folder.join(name);
        let mut bytes = Vec::new();
        let limit = (max as u64).saturating_add(1);
        File::open(&path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|source| self.fault(name, source))?;
        if bytes.len() > max { Err(QuoteError::TooLong { path, max }) } else { Ok(bytes) }
    }

    fn fault(&self, name: &str, source: io::Error) -> QuoteError {
        QuoteError::Device {
            platform: PLATFORM,
            action: "read",
            path: self.folder.join(name),
            next: "--danger-fake-snp wants the folder that a test's PKI wrote",
            source,
        }
    }
}

impl Quoter for FakeSnpQuoter {
    fn kind(&self) -> EvidenceKind {
        PLATFORM
    }

    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
        let Machine { mut report, key, extras } = self.machine()?;
        put(&mut report, REPORT_DATA, bind.as_bytes());
        put(&mut report, HOST_DATA, &self.host_data);
        let (signed, signature) = report.split_at_mut(SIGNATURE);
        let made: Signature = key.sign(signed);
        signature.fill(0);
        let (r, s) = made.split_bytes();
        for (half, number) in signature.chunks_mut(HALF).zip([r, s]) {
            half.iter_mut().zip(number.iter().rev()).for_each(|(to, from)| *to = *from);
        }
        evidence::snp_with(&SnpEvidence { report: Box::new(report), ..extras }, bind)
    }
}

fn put(report: &mut [u8; sevsnp::REPORT_LEN], at: usize, bytes: &[u8]) {
    report.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests;

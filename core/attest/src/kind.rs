//! Kinds of evidence and their object identifiers (`protocol.md` §8).

use std::fmt;

use thiserror::Error;

/// What made a piece of evidence. Every kind is known in every build, so that a build without `simulated` can say exactly
/// what it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvidenceKind {
    /// AMD SEV-SNP, OID 1.3.9901.2.1.
    Snp,
    /// Intel TDX, OID 1.3.9901.2.2.
    Tdx,
    /// No hardware at all, OID 1.3.9901.2.3. Proves nothing about the machine.
    Simulated,
}

/// An object identifier that names no kind of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "unknown kind of evidence, OID {}: this version knows 1.3.9901.2.1 (AMD SEV-SNP), .2 (Intel TDX) and .3 (simulated); a newer client may know more",
    dotted(.oid)
)]
pub struct UnknownEvidenceKind {
    /// The identifier as it came, at most 16 numbers of it.
    pub oid: Vec<u64>,
}

/// Longest identifier that is kept for an error message.
const MAX_ARCS: usize = 16;

impl EvidenceKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Snp, Self::Tdx, Self::Simulated];

    /// The object identifier, as the array of integers that goes over the wire.
    pub fn oid(self) -> &'static [u64] {
        match self {
            Self::Snp => &[1, 3, 9901, 2, 1],
            Self::Tdx => &[1, 3, 9901, 2, 2],
            Self::Simulated => &[1, 3, 9901, 2, 3],
        }
    }

    /// The object identifier in dotted form, `1.3.9901.2.1`.
    pub fn oid_text(self) -> &'static str {
        match self {
            Self::Snp => "1.3.9901.2.1",
            Self::Tdx => "1.3.9901.2.2",
            Self::Simulated => "1.3.9901.2.3",
        }
    }

    /// The kind with this identifier.
    pub fn from_oid(oid: &[u64]) -> Result<Self, UnknownEvidenceKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.oid() == oid)
            .ok_or_else(|| UnknownEvidenceKind { oid: oid.iter().copied().take(MAX_ARCS).collect() })
    }

    /// The short lower-case name that manifests and flags use: `snp`, `tdx`, `simulated`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snp => "snp",
            Self::Tdx => "tdx",
            Self::Simulated => "simulated",
        }
    }
}

/// For people. Simulated evidence shouts, in every report, log and page.
impl fmt::Display for EvidenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snp => "AMD SEV-SNP",
            Self::Tdx => "Intel TDX",
            Self::Simulated => "SIMULATED",
        })
    }
}

fn dotted(oid: &[u64]) -> String {
    let arcs: Vec<String> = oid.iter().map(u64::to_string).collect();
    arcs.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_and_kinds_are_one_to_one() {
        for kind in EvidenceKind::ALL {
            assert_eq!(EvidenceKind::from_oid(kind.oid()), Ok(kind));
            assert_eq!(dotted(kind.oid()), kind.oid_text());
        }
    }

    #[test]
    fn unknown_oids_are_refused_and_capped() {
        for oid in [&[][..], &[1, 3, 9901, 2], &[1, 3, 9901, 2, 4], &[1, 3, 9901, 2, 3, 1]] {
            assert_eq!(EvidenceKind::from_oid(oid), Err(UnknownEvidenceKind { oid: oid.to_vec() }));
        }
        let long = vec![1; 1000];
        assert_eq!(EvidenceKind::from_oid(&long).unwrap_err().oid.len(), MAX_ARCS);
    }

    #[test]
    fn the_error_names_the_identifier() {
        let text = EvidenceKind::from_oid(&[1, 2, 3]).unwrap_err().to_string();
        assert!(text.starts_with("unknown kind of evidence, OID 1.2.3:"), "{text}");
    }
}

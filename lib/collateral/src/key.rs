//! Which document: the names under which vendors publish, and their one canonical text. Knows no hosts.
//!
//! The text `(kind, identity)` names the files of the cache and the entries of a bundle. Reading it back accepts the
//! canonical spelling alone, or one document could hide behind two names.

use std::fmt;

mod evidence;
mod parse;

/// AMD's product lines, as the key distribution service spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AmdProduct {
    /// Zen 3.
    Milan,
    /// Zen 4, with Bergamo and Siena.
    Genoa,
    /// Zen 5.
    Turin,
}

impl AmdProduct {
    /// The name in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }
}

/// Which key signs reports: a chip's own, or one loaded for a cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AmdSigner {
    /// Versioned chip endorsement key; its certificates are public.
    Vcek,
    /// Versioned loaded endorsement key; its certificate comes with the evidence only.
    Vlek,
}

impl AmdSigner {
    /// The name in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vcek => "vcek",
            Self::Vlek => "vlek",
        }
    }
}

/// The firmware versions that a VCEK is derived from: the report's reported TCB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmdTcb {
    /// Turin and later only.
    pub fmc: Option<u8>,
    /// Boot loader.
    pub bootloader: u8,
    /// Trusted execution environment.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode patch level.
    pub microcode: u8,
}

/// The chip of a report, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChipId(pub [u8; 64]);

impl ChipId {
    /// Whether the host hid it (all zero): no certificate can be asked for then.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }
}

impl fmt::Debug for ChipId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChipId({})", hex::encode(self.0))
    }
}

/// An Intel platform family (FMSPC), 6 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fmspc(pub [u8; 6]);

/// Who issued a platform's PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PckCa {
    /// Multi-package platforms.
    Platform,
    /// Single-package platforms.
    Processor,
}

impl PckCa {
    /// The name in URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Processor => "processor",
        }
    }
}

/// The name of a reference integrity manifest, such as `NV_GPU_DRIVER_GH100_550.90.07`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RimId(String);

impl RimId {
    /// Longest name.
    pub const MAX: usize = 128;

    /// Takes letters, digits, `_`, `-` and `.`: the name becomes part of a URL, and parts of it come from evidence.
    ///
    /// # Errors
    /// [`InvalidRimId`]
    pub fn new(name: &str) -> Result<Self, InvalidRimId> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let dots_only = name.chars().all(|c| c == '.'); // "." and ".." are path steps
        if name.is_empty() || name.len() > Self::MAX || dots_only || !name.chars().all(fits) {
            return Err(InvalidRimId);
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a reference manifest has 1 to {} letters, digits, `_`, `-` or `.`; this one does not",
    RimId::MAX
)]
pub struct InvalidRimId;

/// One document of a vendor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// The certificate of one chip at one firmware level.
    AmdVcek {
        /// Product line.
        product: AmdProduct,
        /// The chip.
        chip_id: ChipId,
        /// The firmware level.
        tcb: AmdTcb,
    },
    /// ASK (or ASVK) and ARK.
    AmdCertChain {
        /// Product line.
        product: AmdProduct,
        /// For which kind of key.
        signer: AmdSigner,
    },
    /// What the ARK revoked. A list for each kind of key: one need not name what the other does.
    AmdCrl {
        /// Product line.
        product: AmdProduct,
        /// For which kind of key.
        signer: AmdSigner,
    },
    /// TCB levels of a TDX platform family.
    IntelTcbInfo {
        /// The family.
        fmspc: Fmspc,
    },
    /// The identity of the TD quoting enclave.
    IntelQeIdentity,
    /// Revoked PCK certificates.
    IntelPckCrl {
        /// Of which issuer.
        ca: PckCa,
    },
    /// Revoked intermediates.
    IntelRootCrl,
    /// A reference integrity manifest.
    NvidiaRim {
        /// Its name.
        id: RimId,
    },
    /// The answer to one OCSP request.
    NvidiaOcsp {
        /// SHA-256 of the request.
        request: [u8; 32],
    },
}

/// The kind of a [`Key`]: what a document looks like and how long it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Key::AmdVcek`]
    AmdVcek,
    /// [`Key::AmdCertChain`]
    AmdCertChain,
    /// [`Key::AmdCrl`]
    AmdCrl,
    /// [`Key::IntelTcbInfo`]
    IntelTcbInfo,
    /// [`Key::IntelQeIdentity`]
    IntelQeIdentity,
    /// [`Key::IntelPckCrl`]
    IntelPckCrl,
    /// [`Key::IntelRootCrl`]
    IntelRootCrl,
    /// [`Key::NvidiaRim`]
    NvidiaRim,
    /// [`Key::NvidiaOcsp`]
    NvidiaOcsp,
}

impl Kind {
    /// All kinds.
    pub const ALL: &[Self] = &[
        Self::AmdVcek,
        Self::AmdCertChain,
        Self::AmdCrl,
        Self::IntelTcbInfo,
        Self::IntelQeIdentity,
        Self::IntelPckCrl,
        Self::IntelRootCrl,
        Self::NvidiaRim,
        Self::NvidiaOcsp,
    ];

    /// The name in bundles and file names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmdVcek => "amd-vcek",
            Self::AmdCertChain => "amd-cert-chain",
            Self::AmdCrl => "amd-crl",
            Self::IntelTcbInfo => "intel-tcb-info",
            Self::IntelQeIdentity => "intel-qe-identity",
            Self::IntelPckCrl => "intel-pck-crl",
            Self::IntelRootCrl => "intel-root-crl",
            Self::NvidiaRim => "nvidia-rim",
            Self::NvidiaOcsp => "nvidia-ocsp",
        }
    }

    /// What a person calls it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::AmdVcek => "AMD chip certificate",
            Self::AmdCertChain => "AMD certificate chain",
            Self::AmdCrl => "AMD revocation list",
            Self::IntelTcbInfo => "Intel TCB info",
            Self::IntelQeIdentity => "Intel quoting enclave identity",
            Self::IntelPckCrl => "Intel PCK revocation list",
            Self::IntelRootCrl => "Intel root revocation list",
            Self::NvidiaRim => "NVIDIA reference manifest",
            Self::NvidiaOcsp => "NVIDIA certificate status",
        }
    }
}

impl Key {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::AmdVcek { .. } => Kind::AmdVcek,
            Self::AmdCertChain { .. } => Kind::AmdCertChain,
            Self::AmdCrl { .. } => Kind::AmdCrl,
            Self::IntelTcbInfo { .. } => Kind::IntelTcbInfo,
            Self::IntelQeIdentity => Kind::IntelQeIdentity,
            Self::IntelPckCrl { .. } => Kind::IntelPckCrl,
            Self::IntelRootCrl => Kind::IntelRootCrl,
            Self::NvidiaRim { .. } => Kind::NvidiaRim,
            Self::NvidiaOcsp { .. } => Kind::NvidiaOcsp,
        }
    }

    /// Which one of its kind, in the one canonical spelling.
    #[must_use]
    pub fn identity(&self) -> String {
        match self {
            Self::AmdVcek { product, chip_id, tcb } => {
                let AmdTcb { fmc, bootloader, tee, snp, microcode } = tcb;
                let fmc = fmc.map(|fmc| format!("fmc={fmc},")).unwrap_or_default();
                let chip = hex::encode(chip_id.0);
                let product = product.as_str();
                format!("{product}/{chip}/{fmc}bl={bootloader},tee={tee},snp={snp},ucode={microcode}")
            }
            Self::AmdCertChain { product, signer } | Self::AmdCrl { product, signer } => {
                format!("{}/{}", product.as_str(), signer.as_str())
            }
            Self::IntelTcbInfo { fmspc } => hex::encode(fmspc.0),
            Self::IntelQeIdentity => "td".to_owned(),
            Self::IntelPckCrl { ca } => ca.as_str().to_owned(),
            Self::IntelRootCrl => "root".to_owned(),
            Self::NvidiaRim { id } => id.as_str().to_owned(),
            Self::NvidiaOcsp { request } => hex::encode(request),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind().title(), self.identity())
    }
}

pub use parse::InvalidKey;

#[cfg(test)]
mod tests;

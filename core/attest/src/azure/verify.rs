//! The verification itself, in the order of [`Step`].

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::{
    HclError, HclReport, KeyError, Pcrs, Platform, QuoteError, Step, jwk::RuntimeData, quote::Quote,
};
use crate::signature::{Scheme, SignatureError};
use crate::{CarriesReportData, Genuine, ReportData, ReportDataMismatch, Verified, snp, tdx};

/// What an Azure machine hands over.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// NV index 0x01400001 of the vTPM.
    pub hcl_report: &'a [u8],
    /// The TPMS_ATTEST that TPM2_Quote returned.
    pub quote: &'a [u8],
    /// Its RSASSA-PKCS1-v1_5 signature with SHA-256, as long as the modulus.
    pub signature: &'a [u8],
    /// The SHA-256 values of the quoted PCRs, lowest first.
    pub pcrs: &'a [[u8; 32]],
}

/// What the quote must have been made for: 1 to 64 bytes. There is no empty one, so that none can mean "any".
#[derive(Clone, Copy)]
pub struct Nonce<'a>(&'a [u8]);

/// A nonce of a wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a TPM quote's nonce has 1 to 64 bytes, not {len}")]
pub struct NonceLength {
    /// The length that came.
    pub len: usize,
}

impl<'a> TryFrom<&'a [u8]> for Nonce<'a> {
    type Error = NonceLength;

    fn try_from(bytes: &'a [u8]) -> Result<Self, NonceLength> {
        match bytes.len() {
            1..=64 => Ok(Self(bytes)),
            len => Err(NonceLength { len }),
        }
    }
}

impl fmt::Debug for Nonce<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", hex::encode(self.0))
    }
}

/// Why an Azure machine's evidence is refused.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Step 1.
    #[error("the HCL report cannot be read")]
    HclReport {
        /// Why.
        source: HclError,
    },
    /// Step 2.
    #[error("the HCL's runtime data was changed: the hardware report beside it carries another digest")]
    RuntimeData,
    /// Step 3.
    #[error("the HCL's runtime data gives no attestation key")]
    AttestationKey {
        /// Why.
        source: KeyError,
    },
    /// Step 4.
    #[error("the TPM quote cannot be read")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// Step 5.
    #[error(
        "the TPM quote was not signed by this machine's attestation key: it is another machine's, or was changed"
    )]
    Signature {
        /// Why.
        source: SignatureError,
    },
    /// Step 6.
    #[error("the TPM quote was made for another nonce than ours: it is replayed")]
    Nonce,
    /// Step 7.
    #[error("the TPM quote covers other PCRs than the {count} whose values came")]
    PcrCount {
        /// How many values came.
        count: usize,
    },
    /// Step 7.
    #[error("the PCR values are not those that the TPM quoted")]
    PcrValues,
}

impl VerifyError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::HclReport { .. } => Step::HclReport,
            Self::RuntimeData => Step::RuntimeData,
            Self::AttestationKey { .. } => Step::AttestationKey,
            Self::Quote { .. } => Step::Quote,
            Self::Signature { .. } => Step::Signature,
            Self::Nonce => Step::Nonce,
            Self::PcrCount { .. } | Self::PcrValues => Step::PcrValues,
        }
    }
}

/// Checks everything between the nonce and the digest that the hardware must vouch for.
///
/// # Errors
/// [`VerifyError`]; [`VerifyError::step`] says where.
pub fn verify(evidence: &Evidence<'_>, nonce: &Nonce<'_>) -> Result<Unanchored, VerifyError> {
    // step 1: structure and lengths
    let hcl = HclReport::parse(evidence.hcl_report).map_err(|source| VerifyError::HclReport { source })?;
    // step 2: the report inside names the runtime data. It is not verified itself, so this only tells a damaged report
    // from a wrong one early: step 8 decides
    let report_data = hcl.expected_report_data();
    if !hcl.embedded_report_data().matches(&report_data) {
        return Err(VerifyError::RuntimeData);
    }
    // step 3: the key
    let key_error = |source| VerifyError::AttestationKey { source };
    let data = RuntimeData::parse(hcl.runtime_data()).map_err(key_error)?;
    let key = data.attestation_key().map_err(key_error)?;
    let user_data = data.user_data().map_err(key_error)?;
    // step 4: a TPM's own statement, and a quote
    let quote = Quote::parse(evidence.quote).map_err(|source| VerifyError::Quote { source })?;
    // step 5: by that key
    key.verify(Scheme::RsaPkcs1Sha256, evidence.quote, evidence.signature)
        .map_err(|source| VerifyError::Signature { source })?;
    // step 6: for us
    if !bool::from(quote.extra_data.ct_eq(nonce.0)) {
        return Err(VerifyError::Nonce);
    }
    // step 7: over these values
    let pcrs = Pcrs::select(quote.selection, evidence.pcrs)
        .ok_or(VerifyError::PcrCount { count: evidence.pcrs.len() })?;
    if Sha256::digest(evidence.pcrs.as_flattened()).as_slice() != quote.pcr_digest {
        return Err(VerifyError::PcrValues);
    }
    let settings = data.vm_configuration;
    let configuration = VmConfiguration {
        secure_boot: settings.secure_boot,
        console_enabled: settings.console_enabled,
        vm_unique_id: settings.vm_unique_id,
    };
    Ok(Unanchored {
        report_data,
        snp_report: hcl.snp_report().map(|report| Box::new(*report)),
        statement: Vtpm { platform: hcl.platform(), pcrs, user_data, configuration },
    })
}

/// A vTPM's statement that is right in itself, signed by a key that nobody vouches for yet: anybody can make one.
///
/// ```compile_fail
/// # fn f(statement: privatemode_attest::azure::Unanchored) {
/// let unproven = statement.pcrs();
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Unanchored {
    report_data: ReportData,
    snp_report: Option<Box<[u8; 1184]>>,
    statement: Vtpm,
}

impl Unanchored {
    /// The report data that the hardware's report must carry: SHA-256 of the runtime data, then zeros.
    pub fn report_data(&self) -> &ReportData {
        &self.report_data
    }

    /// The SNP report that came along, to be verified. On TDX the quote comes apart.
    pub fn snp_report(&self) -> Option<&[u8; 1184]> {
        self.snp_report.as_deref()
    }

    /// Step 8: takes the statement for true because genuine hardware vouches for its key.
    ///
    /// # Errors
    /// [`AnchorError`] when the hardware vouches for something else, or is another kind than the HCL report says.
    pub fn anchored_in<T: Hardware>(
        self,
        hardware: Genuine<T>,
    ) -> Result<(Verified<T>, Verified<Vtpm>), AnchorError> {
        let hardware =
            hardware.bound_to(&self.report_data).map_err(|source| AnchorError::ReportData { source })?;
        // no signature covers the HCL report's header: without this, whoever sends it chooses the platform
        let (declared, genuine) = (self.statement.platform, hardware.platform());
        if declared != genuine {
            return Err(AnchorError::Platform { declared, genuine });
        }
        Ok((hardware, Verified::new(self.statement)))
    }
}

/// Genuine evidence that a vTPM's statement can be anchored in.
pub trait Hardware: CarriesReportData {
    /// What the hardware is.
    fn platform(&self) -> Platform;
}

impl Hardware for snp::Evidence {
    fn platform(&self) -> Platform {
        Platform::Snp
    }
}

impl Hardware for tdx::Evidence {
    fn platform(&self) -> Platform {
        Platform::Tdx
    }
}

/// Step 8: why hardware does not vouch for a vTPM's statement.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnchorError {
    /// It vouches for something else.
    #[error("the hardware vouches for another vTPM than the one that made the quote")]
    ReportData {
        /// Why.
        source: ReportDataMismatch,
    },
    /// The HCL report was changed where nothing signs it.
    #[error(
        "the HCL report says that the hardware is {declared:?}, but genuine {genuine:?} vouches for it: its header was changed"
    )]
    Platform {
        /// What the header says.
        declared: Platform,
        /// What the hardware is.
        genuine: Platform,
    },
}

/// What a vTPM said, for our nonce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vtpm {
    platform: Platform,
    pcrs: Pcrs,
    user_data: Option<[u8; 64]>,
    configuration: VmConfiguration,
}

/// The machine's settings as the paravisor has them; `None` where it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmConfiguration {
    /// Secure boot is on.
    pub secure_boot: Option<bool>,
    /// The serial console, which the host can type into, is on.
    pub console_enabled: Option<bool>,
    /// The machine's identifier at Azure.
    pub vm_unique_id: Option<String>,
}

impl Vtpm {
    /// What the hardware is.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The PCR values that were quoted.
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }

    /// The bytes that the machine's owner had put into the report.
    pub fn user_data(&self) -> Option<&[u8; 64]> {
        self.user_data.as_ref()
    }

    /// The machine's settings.
    pub fn configuration(&self) -> &VmConfiguration {
        &self.configuration
    }
}

#[cfg(test)]
mod tests;

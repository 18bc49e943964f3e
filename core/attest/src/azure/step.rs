//! The steps of the verification.

/// A step of the verification, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The HCL report's structure, lengths capped.
    HclReport,
    /// The hardware report inside carries the digest of the runtime data.
    RuntimeData,
    /// The attestation key that the runtime data names.
    AttestationKey,
    /// The quote's structure: made by a TPM, and a quote.
    Quote,
    /// The quote's signature by the attestation key.
    Signature,
    /// The nonce is ours.
    Nonce,
    /// The PCR values are those that were quoted.
    PcrValues,
    /// The hardware's own report is genuine and names this runtime data.
    Hardware,
}

impl Step {
    /// All steps in order.
    pub const ALL: &[Self] = &[
        Self::HclReport,
        Self::RuntimeData,
        Self::AttestationKey,
        Self::Quote,
        Self::Signature,
        Self::Nonce,
        Self::PcrValues,
        Self::Hardware,
    ];

    /// Its number, from 1.
    pub fn number(self) -> u8 {
        match self {
            Self::HclReport => 1,
            Self::RuntimeData => 2,
            Self::AttestationKey => 3,
            Self::Quote => 4,
            Self::Signature => 5,
            Self::Nonce => 6,
            Self::PcrValues => 7,
            Self::Hardware => 8,
        }
    }

    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::HclReport => "hcl_report",
            Self::RuntimeData => "runtime_data",
            Self::AttestationKey => "attestation_key",
            Self::Quote => "quote",
            Self::Signature => "signature",
            Self::Nonce => "nonce",
            Self::PcrValues => "pcr_values",
            Self::Hardware => "hardware",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn steps_are_numbered_in_order() {
        for (index, step) in Step::ALL.iter().enumerate() {
            assert_eq!(usize::from(step.number()), index + 1, "{}", step.name());
        }
    }
}

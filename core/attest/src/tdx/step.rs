//! The steps of `attestation.md` §4 that decide whether a quote is genuine.

/// A step of the verification, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The quote's structure, lengths capped.
    Structure,
    /// TCB info, QE identity and revocation lists: signed to Intel's root, current.
    Collateral,
    /// The PCK certificate's chain to Intel's root, none revoked.
    PckChain,
    /// The quoting enclave: its report, the attestation key in it, its identity.
    QuotingEnclave,
    /// The quote's own signature.
    QuoteSignature,
    /// Platform and TDX module: which level of the TCB info they are at.
    TcbLevel,
    /// The status of those levels: up to date, or tolerated.
    TcbStatus,
}

impl Step {
    /// All steps in order.
    pub const ALL: &[Self] = &[
        Self::Structure,
        Self::Collateral,
        Self::PckChain,
        Self::QuotingEnclave,
        Self::QuoteSignature,
        Self::TcbLevel,
        Self::TcbStatus,
    ];

    /// The number in `attestation.md` §4.
    pub fn number(self) -> u8 {
        match self {
            Self::Structure => 1,
            Self::Collateral => 2,
            Self::PckChain => 3,
            Self::QuotingEnclave => 4,
            Self::QuoteSignature => 5,
            Self::TcbLevel => 6,
            Self::TcbStatus => 7,
        }
    }

    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Collateral => "collateral",
            Self::PckChain => "pck_chain",
            Self::QuotingEnclave => "quoting_enclave",
            Self::QuoteSignature => "quote_signature",
            Self::TcbLevel => "tcb_level",
            Self::TcbStatus => "tcb_status",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Step;

    #[test]
    fn numbers_are_those_of_the_specification() {
        let numbers: Vec<u8> = Step::ALL.iter().map(|step| step.number()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    }
}

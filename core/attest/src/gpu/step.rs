//! The steps of GPU attestation, in the order in which they are checked.

/// One step of `attestation.md` §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// 1: the report can be read.
    Structure,
    /// 2: the nonce is ours.
    Nonce,
    /// 3: the certificates lead to NVIDIA's root.
    Chain,
    /// 4: the report is signed by the leaf's key.
    Signature,
    /// 3: the leaf's firmware identifier is the report's. Checked behind the signature, before which the report's is anybody's word.
    FirmwareId,
    /// 5: driver and VBIOS versions are allowed.
    Versions,
    /// 6: RIMs are NVIDIA's and those for these versions.
    Rims,
    /// 7: the measurements are the golden ones.
    Measurements,
    /// 8: no certificate is revoked.
    Revocation,
    /// 9: all devices of the machine are there and fit together.
    Fleet,
    /// 9: confidential computing is on, and not in a mode for development.
    Mode,
}

impl Step {
    /// All steps in order. Step 10, setting the GPUs ready, is the caller's: it needs a [`ReadyPermit`](super::ReadyPermit).
    pub const ALL: &'static [Self] = &[
        Self::Structure,
        Self::Nonce,
        Self::Chain,
        Self::Signature,
        Self::FirmwareId,
        Self::Versions,
        Self::Rims,
        Self::Measurements,
        Self::Revocation,
        Self::Fleet,
        Self::Mode,
    ];

    /// Its number in `attestation.md` §5.
    pub fn number(self) -> u8 {
        match self {
            Self::Structure => 1,
            Self::Nonce => 2,
            Self::Chain | Self::FirmwareId => 3,
            Self::Signature => 4,
            Self::Versions => 5,
            Self::Rims => 6,
            Self::Measurements => 7,
            Self::Revocation => 8,
            Self::Fleet | Self::Mode => 9,
        }
    }

    /// Its name in outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Nonce => "nonce",
            Self::Chain => "chain",
            Self::Signature => "signature",
            Self::FirmwareId => "firmware_id",
            Self::Versions => "versions",
            Self::Rims => "rims",
            Self::Measurements => "measurements",
            Self::Revocation => "revocation",
            Self::Fleet => "fleet",
            Self::Mode => "mode",
        }
    }
}

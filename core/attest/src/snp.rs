//! AMD SEV-SNP evidence: report, VCEK or VLEK, chain to AMD's root (`attestation.md` §3 steps 1 to 5).
//!
//! Step 6 is [`Genuine::bound_to`](crate::Genuine::bound_to); steps 7 to 15 appraise genuine evidence and are
//! `privatemode-manifest`'s. Fetches nothing: [`Needs`] says what a client must get from AMD's key distribution service.
//! Layouts: AMD publications 56860 (firmware ABI) and 57230 (VCEK certificates and key distribution).

mod chain;
mod error;
mod id_block;
mod kds;
mod policy;
mod product;
mod report;
mod roots;
mod tcb;
mod vek;
mod verify;

pub use chain::{Chain, ChainParts, CrlState};
pub use error::{Link, Step, VerifyError};
pub use id_block::id_key_digest;
pub use kds::{KDS, Needs};
pub use policy::{GuestPolicy, PlatformInfo};
pub use product::{Cpuid, Product};
pub use report::{FirmwareVersion, Report, ReportError, Signer};
pub use roots::Roots;
pub use tcb::{Tcb, TcbBelow, TcbPart};
pub use vek::VekError;
pub use verify::{ChipBinding, Endorsement, Evidence, verify};

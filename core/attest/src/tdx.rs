//! Intel TDX: is a quote genuine, and what does it say?
//!
//! A quote is genuine when every signature and chain in it, and in the collateral that judges it, ends at Intel's SGX
//! Root CA, and when the platform's TCB status is up to date or explicitly tolerated. Whether a genuine quote is also
//! acceptable (measurements, debug, configuration) is decided by `privatemode-manifest`. Fetches nothing, reads no clock.
//! Specification: `attestation.md` §4 steps 1 to 7; Intel's DCAP quote layout versions 4 and 5, TCB info version 3, QE
//! identity version 2.

mod chain;
mod collateral;
mod document;
mod evidence;
#[cfg(test)]
mod fakes;
pub mod needs;
mod pck;
mod quote;
mod report;
mod roots;
mod status;
mod step;
mod verify;

pub use chain::ChainError;
pub use collateral::{
    Collateral, CollateralError, CollateralFormatError, Document, Grace, GraceTooLong, PcsDocuments,
    VerifiedCollateral, decode_issuer_chain,
};
pub use document::{DocumentError, MAX_DOCUMENT};
pub use evidence::{Evidence, Freshness, PartStatus, PckCa};
pub use needs::{Needs, NeedsError};
pub use pck::{Pck, PckExtensionError, SgxType};
pub use quote::{MAX_QUOTE, Quote, QuoteError};
pub use report::{QeReport, SeamAttributes, TdAttributes, TdReport, TdReport15, Xfam};
pub use roots::Roots;
pub use status::{Advisories, NotTolerable, TcbStatus, Tolerance};
pub use step::Step;
pub use verify::{VerifyError, verify};

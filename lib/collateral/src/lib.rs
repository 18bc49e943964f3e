//! Fetches and caches what AMD, Intel and NVIDIA publish about their hardware: certificates, revocation lists, TCB
//! levels, reference manifests, certificate status.
//!
//! Says where each document came from, when it was fetched and whether it stands in for a newer one. Decides nothing
//! about genuineness: that is `privatemode-attest`, which touches neither the network nor the clock. Specification:
//! `attestation.md` §6.
//!
//! Sources are asked in this order: what the evidence brought, a bundle file, the cache in the workspace, the vendor (or
//! a mirror). After verification, [`Collector::confirm`] says how long a document counts, [`Collector::reject`] drops
//! one that failed.

#![warn(missing_docs)]

mod args;
mod bundle;
mod cache;
mod collector;
#[cfg(feature = "simulated")]
mod danger;
mod document;
mod endpoint;
mod error;
mod evidence;
mod fetch;
mod found;
mod http;
mod key;
mod nvidia;
mod progress;
mod snp;
mod tdx;
mod timing;
mod tls;

pub use args::{CollateralArgs, CollateralPlan};
pub use bundle::{Bundle, BundleError, MAX_BUNDLE, MAX_DOCUMENTS};
pub use collector::{Collector, Extras, NextUpdate, Proxy, Settings};
pub use document::{
    Document, Freshness, MAX_CERTIFICATE, MAX_CRL, MAX_TEXT, Unusable, check, declared_next_update,
};
pub use endpoint::{AMD_KDS, EndpointError, Endpoints, INTEL_PCS, INTEL_ROOT_CRL, NVIDIA_OCSP, NVIDIA_RIM};
pub use error::{FetchError, SetupError};
pub use evidence::Gathered;
pub use fetch::Retry;
pub use found::{Found, Origin, Provenance, State};
pub use http::AttemptError;
pub use key::{
    AmdProduct, AmdSigner, AmdTcb, ChipId, Fmspc, InvalidKey, InvalidRimId, Key, Kind, PckCa, RimId,
};
pub use nvidia::{NvidiaDocument, OcspRequest};
pub use progress::{Event, Progress};
pub use snp::{SnpCollateral, SnpGiven, SnpNeeds};
pub use tdx::{TdxCollateral, TdxNeeds};
pub use timing::{SystemTiming, Timing};
pub use tls::system_tls;

#[cfg(test)]
mod tests;

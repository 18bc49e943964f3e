//! An attested session: verify the deployment, exchange a secret with its secret service, renew it in time.
//!
//! Holds the order of the steps and the state between them. Does no sealing (`privatemode-wire`), appraises no
//! evidence (`privatemode-manifest`) and opens no sockets: transport, manifests, clock and randomness are handed in.
//! Specification: `protocol.md` §4 and §8.
//!
//! ```text
//!            fetch manifest      attest + verify        exchange + check signer
//!  [nothing] ──────────────▶ expected ──────────────▶ mesh CA ──────────────▶ credential (3600 s)
//!                  ▲                 │ failed: fetch again, once    │
//!                  └─────────────────┘        renewed 900 s before its end, or when a worker lost it
//! ```

#![warn(missing_docs)]

mod clock;
mod collateral;
mod credential;
mod entropy;
mod envelope;
mod exchange;
mod manifests;
mod protocol;
mod receipt;
mod session;
mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
#[cfg(feature = "vendors")]
mod vendors;
mod verify;

pub use clock::{Clock, SystemClock};
pub use collateral::{CollateralError, CollateralSource, Fetched, Fetching, NoCollateral};
pub use credential::{Credential, LIFETIME, RENEW_BEFORE};
pub use entropy::{Entropy, SystemEntropy};
pub use envelope::{EnvelopeError, attest_request, parse_attest_reply};
pub use exchange::{SignerError, check_signer};
pub use manifests::{ManifestError, Manifests, Pinned};
pub use protocol::{
    ChoiceError, FIELDS, Negotiated, Protocol, ProtocolChoice, ProtocolError, SEALED_BODY, Why, negotiate,
};
pub use receipt::{ReceiptSignerError, verify_receipt};
pub use session::{Outcome, RenewError, Session, Settings};
pub use status::{Failing, Phase, Status, Verification, chain};
pub use transport::{Nonce, Transport, TransportError};
#[cfg(feature = "vendors")]
pub use vendors::Vendors;
pub use verify::{AttestationError, verify};

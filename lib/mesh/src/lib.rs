//! A workload's identity in the deployment: quotes, joining, renewal, and mutual TLS between workloads.
//!
//! A workload verifies the coordinator before it tells it anything ([`join()`]), proves itself by a quote over its key,
//! and gets a certificate of the attested mesh CA. Peers are recognised by the workload names in that certificate,
//! never by an address. Decides nothing about evidence itself (`privatemode-attest`, `privatemode-manifest`) and opens no
//! sockets for others (`privatemode-service`). Specification: `attestation.md` §2, `protocol.md` §8.
//!
//! ```no_run
//! # async fn example(args: privatemode_mesh::MeshArgs, process: privatemode_service::Process) -> Result<(), Box<dyn std::error::Error>> {
//! let identity = privatemode_mesh::join(&args).await?;
//! identity.spawn_renewal(process.shutdown.clone());
//! let tls = identity.server_tls(&["gateway", "inference-proxy"]); // for `privatemode_service::serve`
//! let client = identity.client_config("secret-service"); // whatever the URL says
//! # let _ = (tls, client); Ok(()) }
//! ```

mod args;
#[cfg(feature = "atls")]
pub mod atls;
mod coordinator;
mod identity;
mod join;
mod key;
pub mod messages;
mod peer;
mod quote;
mod renew;
mod tls;

pub use args::{MeshArgs, PlatformName};
pub use coordinator::CoordinatorError;
pub use identity::MeshIdentity;
pub use join::{JoinError, join, join_within};
pub use key::{KeyError, MeshKey};
pub use peer::PeerError;
#[cfg(feature = "sev-guest")]
pub use quote::SevGuestQuoter;
#[cfg(feature = "simulated")]
pub use quote::{FakeSnpQuoter, SimulatedQuoter};
pub use quote::{QuoteError, Quoter, TsmQuoter, quoter};

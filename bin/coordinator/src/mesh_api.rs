//! The mesh API: gRPC over attested TLS, for initializers and for other coordinators. `meshapi.MeshAPI` as the runtime has it
//! that this is compatible with, and one call of ours.
//!
//! ```text
//!  NewMeshCert  any workload of the manifest   a certificate for the key that its evidence is bound to, its secret
//!  Recover      coordinators of the manifest   seed, salt, mesh CA with its key
//!  MeshCA       any workload of the manifest   which mesh CA is in force (ours)
//! ```
//!
//! What a connection meets, in this order: a cap on connections; the handshake, in which both ends show evidence; the
//! manifest in force, without which every call is answered FAILED_PRECONDITION; the caller's evidence, without which every
//! call is answered PERMISSION_DENIED with the reason; and limits on calls, sizes and idle time. Decides nothing about the
//! state: that is behind [`MeshBackend`]. `attestation.md` §2.

mod backend;
mod client;
mod messages;
mod of_coordinator;
mod server;
mod service;

pub use backend::{Certified, MeshBackend, MeshFault, NotReady, Secrets};
pub use client::{MeshCallError, MeshClient, NewCertificate};
pub use of_coordinator::OfCoordinator;
pub use server::{Limits, MeshApi};

//! `privatemode-initializer`: gets a workload's mesh certificate before the workload starts, and writes it where the workload
//! reads it.
//!
//! ```text
//!  OUTPUT/tls-config/mesh-ca.pem              0444   the mesh CA
//!  OUTPUT/tls-config/certChain.pem            0444   our certificate, then the intermediate
//!  OUTPUT/tls-config/key.pem                  0400   our key, PKCS#8
//!  OUTPUT/tls-config/coordinator-root-ca.pem  0444   the root CA
//!  OUTPUT/secrets/workload-secret-seed        0400   64 bytes in hexadecimal, if the manifest gives this workload a secret
//! ```
//!
//! For workloads that know nothing of evidence. Both ends prove themselves: the coordinator must be the one of an expected
//! manifest, or run one of the expected policies on expected hardware; there is no mode in which any coordinator is
//! believed. Keeps nothing but these files, which must lie in the memory of the same machine, and opens no port.
//! `attestation.md` §2.

mod args;
mod enrol;
mod files;
mod run;

pub use args::InitializerArgs;
pub use enrol::EnrolError;
pub use files::WriteError;
pub use run::run;

//! Names of the workloads: a SAN of each one's policy entry; the first SAN is the common name too.
//! A peer is recognised by this name in its certificate, never by the host name of a URL.

/// Keeps the manifest and issues the mesh certificates.
pub const COORDINATOR: &str = "coordinator";
/// Exchanges keys with clients. Only its identity may sign an exchange.
pub const SECRET_SERVICE: &str = "secret-service";
/// Opens requests and seals answers, in front of an engine.
pub const INFERENCE_PROXY: &str = "inference-proxy";
/// Routes ciphertext; holds a mesh certificate to be recognised, not to be trusted with bodies.
pub const GATEWAY: &str = "gateway";

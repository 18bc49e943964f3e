//! The messages, by hand: package `meshapi`, service `MeshAPI`. Those with secrets are wiped when dropped and never printed;
//! the buffers of the transport, which is TLS inside of our memory, are not wiped.

use zeroize::Zeroize as _;

pub(super) const NEW_MESH_CERT: &str = "/meshapi.MeshAPI/NewMeshCert";
pub(super) const RECOVER: &str = "/meshapi.MeshAPI/Recover";
/// Ours.
pub(super) const MESH_CA: &str = "/meshapi.MeshAPI/MeshCA";

/// Longest request: all of them are empty.
pub(super) const MAX_REQUEST: usize = 1024;
/// Longest answer: a manifest of a mebibyte and the certificates.
pub(super) const MAX_ANSWER: usize = 2 * 1024 * 1024;

/// `NewMeshCertRequest`, `RecoverRequest`, `MeshCARequest`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(super) struct Empty {}

/// `NewMeshCertResponse`.
#[derive(prost::Message)]
#[prost(skip_debug)]
pub(super) struct NewMeshCertResponse {
    /// PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) mesh_ca_cert: Vec<u8>,
    /// PEM, leaf first.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) cert_chain: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) root_ca_cert: Vec<u8>,
    /// 64 bytes, or none.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) workload_secret: Vec<u8>,
}

/// `RecoverResponse`. What follows after `LatestManifest` is ours: all replicas show the same certificates.
#[derive(prost::Message)]
#[prost(skip_debug)]
pub(super) struct RecoverResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) seed: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) salt: Vec<u8>,
    /// SEC1, PEM.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) mesh_ca_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) latest_manifest: Vec<u8>,
    /// PEM.
    #[prost(bytes = "vec", tag = "5")]
    pub(super) mesh_ca_cert: Vec<u8>,
    // 6 is kept for the intermediate, which each replica makes for itself
    /// PEM.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) root_ca_cert: Vec<u8>,
}

/// `MeshCAResponse`, ours.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct MeshCaResponse {
    /// PEM.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) mesh_ca_cert: Vec<u8>,
}

impl Drop for NewMeshCertResponse {
    fn drop(&mut self) {
        self.workload_secret.zeroize();
    }
}

impl Drop for RecoverResponse {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.mesh_ca_key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn the_layout_is_the_runtimes() {
        let certificate = NewMeshCertResponse {
            mesh_ca_cert: b"m".to_vec(),
            cert_chain: b"c".to_vec(),
            root_ca_cert: b"r".to_vec(),
            workload_secret: b"s".to_vec(),
        };
        assert_eq!(certificate.encode_to_vec(), b"\x0a\x01m\x12\x01c\x1a\x01r\x22\x01s");
        let state = RecoverResponse {
            seed: b"s".to_vec(),
            salt: b"t".to_vec(),
            mesh_ca_key: b"k".to_vec(),
            latest_manifest: b"m".to_vec(),
            mesh_ca_cert: b"c".to_vec(),
            root_ca_cert: b"r".to_vec(),
        };
        assert_eq!(state.encode_to_vec(), b"\x0a\x01s\x12\x01t\x1a\x01k\x22\x01m\x2a\x01c\x3a\x01r");
        assert!(Empty {}.encode_to_vec().is_empty());
    }

    #[test]
    fn a_coordinator_of_another_make_sends_less() {
        let state = RecoverResponse::decode(&b"\x0a\x01s\x12\x01t\x1a\x01k\x22\x01m"[..]).unwrap();
        assert!(state.mesh_ca_cert.is_empty() && state.root_ca_cert.is_empty());
        assert_eq!(state.latest_manifest, b"m");
    }
}

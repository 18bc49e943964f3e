//! Certificates in the shape that the mesh gives them: one CA, leaves for client and server, the workload as common name.

use std::{fs, path::Path};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// A CA for one test.
pub struct EtcdPki {
    ca: CertificateParams,
    ca_pem: String,
    ca_der: Vec<u8>,
    key: KeyPair,
}

/// A member's certificate, its key, and the CA of its clients, all PEM.
pub struct EtcdServerFiles {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// Whose certificates clients must have.
    pub ca: String,
}

impl EtcdServerFiles {
    /// Arguments of a member that shows a certificate and wants one.
    pub(super) fn write(&self, dir: &Path) -> anyhow::Result<Vec<String>> {
        let mut args = vec!["--client-cert-auth".to_owned()];
        for (flag, name, pem) in [
            ("--cert-file", "cert.pem", &self.cert),
            ("--key-file", "key.pem", &self.key),
            ("--trusted-ca-file", "ca.pem", &self.ca),
        ] {
            let path = dir.join(name);
            fs::write(&path, pem)?;
            args.extend([flag.to_owned(), path.to_string_lossy().into_owned()]);
        }
        Ok(args)
    }
}

struct Leaf {
    pem: String,
    der: Vec<u8>,
    key: KeyPair,
}

impl EtcdPki {
    /// A new CA.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let key = key();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "system:coordinator:intermediate");
        let certificate = ca.self_signed(&key).expect("a CA");
        Self { ca, ca_pem: certificate.pem(), ca_der: certificate.der().to_vec(), key }
    }

    /// TLS as the workload `name`, for any member with a certificate of this CA; none: without a certificate.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn client(&self, name: Option<&str>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der.clone().into()).expect("a root");
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let Some(name) = name else { return builder.with_no_client_auth() };
        let leaf = self.issue(name);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
        builder.with_client_auth_cert(vec![leaf.der.into()], key).expect("a certificate with its key")
    }

    /// What a member shows and whom it trusts.
    pub(super) fn server(&self) -> EtcdServerFiles {
        let leaf = self.issue("etcd");
        EtcdServerFiles { cert: leaf.pem, key: leaf.key.serialize_pem(), ca: self.ca_pem.clone() }
    }

    fn issue(&self, name: &str) -> Leaf {
        let key = key();
        let names = [name.to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.ca, &self.key);
        let leaf = params.signed_by(&key, &issuer).expect("a leaf");
        Leaf { pem: leaf.pem(), der: leaf.der().to_vec(), key }
    }
}

impl Default for EtcdPki {
    fn default() -> Self {
        Self::new()
    }
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key")
}

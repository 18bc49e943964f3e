//! Who signed a key exchange (`protocol.md` §4). The cryptography of the exchange itself is in `privatemode-wire`.

use privatemode_attest::{
    UnixTime,
    mesh::{self, San, SignatureError},
};
use privatemode_manifest::{verify::VerifiedDeployment, workload};
use privatemode_wire::exchange::SignedExchange;

/// The SAN that every manifest of the public service, staging ones included, gives to its secret service alone.
const PUBLIC_NAME: &str = "secret.privatemode.ai";

/// Why the signer of an exchange is not the secret service.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// Another deployment's certificate, or one made up.
    #[error("the certificate that signed the key exchange does not come from the attested mesh CA")]
    ForeignMeshCa {
        /// What was wrong with it.
        source: mesh::LeafError,
    },
    /// A genuine member of the mesh that has no business with secrets.
    #[error("the key exchange was signed by `{signer}`, not by the secret service")]
    NotSecretService {
        /// The names in its certificate.
        signer: String,
    },
    /// The right certificate over another exchange, or a forged signature.
    #[error("the signature over the key exchange is not the secret service's")]
    Signature {
        /// What was wrong with it.
        source: SignatureError,
    },
}

/// Checks that the attested secret service signed this very exchange.
///
/// # Errors
/// [`SignerError`], one variant for each check.
pub fn check_signer(
    deployment: &VerifiedDeployment,
    signed: &SignedExchange<'_>,
    now: UnixTime,
) -> Result<(), SignerError> {
    // step 1: the certificate is one of this deployment's, by the CA that its evidence vouched for
    let certificate = deployment
        .mesh_ca()
        .verify_leaf(signed.mesh_cert_der, now)
        .map_err(|source| SignerError::ForeignMeshCa { source })?;
    // step 2: any workload of the mesh has such a certificate; only one may hand out secrets
    let is_secret_service = certificate.has_name(workload::SECRET_SERVICE)
        || certificate.has_name(PUBLIC_NAME)
        || certificate.workload_secret_id().is_some_and(names_secret_service);
    if !is_secret_service {
        return Err(SignerError::NotSecretService { signer: names(&certificate) });
    }
    // step 3: it signed our public key together with this encapsulated key
    certificate
        .verify_prehash(&signed.digest, signed.signature)
        .map_err(|source| SignerError::Signature { source })
}

/// The secret service as a workload secret ID has it: by the bare name, or by the resource's qualified name, which is the
/// default: `apps/v1/StatefulSet/NAMESPACE/secret-service` (a Deployment before it was replicated). The namespace is whatever
/// the attested manifest says. A name that only contains these words (`not-the-secret-service`) is another workload.
fn names_secret_service(id: &str) -> bool {
    let qualified =
        ["apps/v1/StatefulSet/", "apps/v1/Deployment/"].iter().find_map(|kind| id.strip_prefix(kind));
    id == workload::SECRET_SERVICE
        || qualified
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(namespace, name)| !namespace.is_empty() && name == workload::SECRET_SERVICE)
}

fn names(certificate: &mesh::VerifiedMeshCertificate) -> String {
    let name = |san: &San| match san {
        San::Dns(name) | San::Uri(name) => name.clone(),
        San::Ip(address) => address.to_string(),
    };
    certificate.sans().iter().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workload_secret_ids_of_the_secret_service() {
        for id in [
            "secret-service",
            "apps/v1/StatefulSet/continuum-27aa6c/secret-service",
            "apps/v1/Deployment/default/secret-service",
        ] {
            assert!(names_secret_service(id), "{id}");
        }
        for id in [
            "",
            "apps/v1/StatefulSet/default/inference-proxy",
            "apps/v1/StatefulSet/secret-service/inference-proxy",
            "apps/v1/StatefulSet/default/secret-service/inference-proxy",
            "apps/v1/StatefulSet/default/x/secret-service",
            "apps/v1/StatefulSet/default/not-the-secret-service",
            "apps/v1/StatefulSet/default/secret-service-2",
            "apps/v1/StatefulSet//secret-service",
            "apps/v1/StatefulSet/secret-service",
            "apps/v1/DaemonSet/default/secret-service",
            "v1/Pod/default/secret-service",
            "apps/v1/StatefulSet/default/Secret-Service",
        ] {
            assert!(!names_secret_service(id), "{id}");
        }
    }
}

//! What a session knows about itself, for `/readyz` and the status page. Holds no secrets.

use std::{error::Error, fmt::Write as _, sync::Arc};

use privatemode_attest::UnixTime;
use privatemode_manifest::verify::VerifiedDeployment;
use privatemode_wire::stream::ManifestDigest;

use crate::{Credential, Negotiated, RenewError};

/// What one successful verification established.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// SHA-256 of the enforced manifest, hex.
    pub manifest_digest: String,
    /// The same for the heads of sealed bodies.
    pub manifest: ManifestDigest,
    /// The hardware, as the evidence says.
    pub platform: String,
    /// SIMULATED: nothing is protected.
    pub simulated: bool,
    /// A test's root stood in the vendor's place: nothing proves that hardware protects anything.
    pub test_root: bool,
    /// When the evidence was verified.
    pub at: UnixTime,
    /// The wire protocol in use, and why.
    pub protocol: Negotiated,
    /// What is weaker than it could be, one sentence each.
    pub downgrades: Vec<String>,
    /// The attested mesh CA certificate, PEM.
    pub mesh_ca_pem: String,
}

impl Verification {
    pub(crate) fn of(deployment: &VerifiedDeployment, protocol: Negotiated, at: UnixTime) -> Self {
        let simulated = deployment.simulated();
        let mut downgrades = Vec::new();
        if simulated {
            downgrades.push(
                "SIMULATED: the evidence comes from no hardware; the operator can read everything".to_owned(),
            );
        }
        let test_root = deployment.test_root() && !simulated;
        if test_root {
            downgrades.push(
                "TEST ROOT: the evidence was verified to another root than the vendor's; the operator may read everything"
                    .to_owned(),
            );
        }
        downgrades.extend(protocol.downgrade());
        Self {
            manifest_digest: deployment.manifest_digest().to_string(),
            manifest: ManifestDigest(*deployment.manifest_digest().as_bytes()),
            platform: deployment.platform().to_string(),
            simulated,
            test_root,
            at,
            protocol,
            downgrades,
            mesh_ca_pem: deployment.mesh_ca_pem().to_owned(),
        }
    }
}

/// Renewals that fail.
#[derive(Debug, Clone)]
pub struct Failing {
    /// When the first of them failed.
    pub since: UnixTime,
    /// How many in a row.
    pub attempts: u32,
    /// The last error.
    pub error: Arc<RenewError>,
}

/// The three states that people ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was ever verified.
    NeverVerified,
    /// The last verification and exchange succeeded.
    Verified,
    /// The last one failed; a secret from before may still be good.
    Failing,
}

/// A snapshot.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The last successful verification.
    pub verified: Option<Arc<Verification>>,
    /// Set while renewals fail.
    pub failing: Option<Failing>,
    /// The secret in use.
    pub credential: Option<Arc<Credential>>,
}

impl Status {
    /// The state in one word.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match (&self.failing, &self.verified) {
            (Some(_), Some(_)) => Phase::Failing,
            (None, Some(_)) => Phase::Verified,
            (_, None) => Phase::NeverVerified,
        }
    }

    /// Whether requests can be sealed now.
    #[must_use]
    pub fn is_ready(&self, now: UnixTime) -> bool {
        self.credential.as_ref().is_some_and(|credential| !credential.is_expired(now))
    }
}

/// An error with its causes, each once, separated by colons.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Foreign errors often print their source already.
        if !text.ends_with(&cause_text) {
            let _ = write!(text, ": {cause_text}");
        }
        source = cause.source();
    }
    text
}

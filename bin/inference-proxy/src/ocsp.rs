//! What NVIDIA's OCSP said of this worker's GPUs, and whether a request's policy accepts it (`protocol.md` §6).
//!
//! Asks no responder: the attestation agent did, and left the states in a file.

use std::path::{Path, PathBuf};

use http::{HeaderMap, HeaderValue};
use privatemode_wire::{
    Secret, header,
    ocsp::{CertificateState, GpuStates, OcspPolicy, OcspPolicyError, Refusal, verify_mac},
};
use serde::Deserialize;

/// A worker has a few GPUs, each with three states.
const MAX_FILE: u64 = 64 * 1024;

/// The states of all GPUs of this worker. None: a worker without GPUs, which every policy covers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct GpuStatus(Vec<GpuStates>);

/// Why the states could not be read.
#[derive(Debug, thiserror::Error)]
pub enum GpuStatusError {
    /// The file could not be read.
    #[error("cannot read the OCSP states `{path}`")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than any such file is.
    #[error("the OCSP states `{path}` have more than 64 KiB")]
    TooLarge {
        /// Which file.
        path: PathBuf,
    },
    /// Not what the attestation agent writes.
    #[error("the OCSP states `{path}` are not the expected JSON")]
    Json {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Why a request's policy was not met.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PolicyError {
    /// One header without the other, one of them twice, or not text.
    #[error("the OCSP policy and its MAC must both be there, once")]
    Headers,
    /// Not under this secret: somebody between client and worker changed the policy.
    #[error("the OCSP policy's MAC is wrong")]
    Mac,
    /// Signed by the client, and still not a policy.
    #[error("the OCSP policy is refused")]
    Policy(#[source] OcspPolicyError),
    /// A GPU's certificate is in a state that the client does not accept.
    #[error("this worker's GPUs do not meet the client's OCSP policy")]
    Refused(#[source] Refusal),
}

/// One certificate's state as the file has it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FileState {
    value: FileValue,
    revoked_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum FileValue {
    Good,
    Unknown,
    Revoked,
}

#[derive(Deserialize)]
struct FileGpu {
    #[serde(rename = "GPU")]
    gpu: FileState,
    #[serde(rename = "VBIOS")]
    vbios: FileState,
    #[serde(rename = "Driver")]
    driver: FileState,
}

impl From<FileState> for CertificateState {
    fn from(FileState { value, revoked_at }: FileState) -> Self {
        match value {
            FileValue::Good => Self::Good,
            FileValue::Unknown => Self::Unknown,
            // no time: since ever, which no grace period reaches
            FileValue::Revoked => {
                let at = revoked_at.map_or(0, |at| u64::try_from(at.as_second()).unwrap_or(0));
                Self::Revoked { at }
            }
        }
    }
}

impl GpuStatus {
    /// Reads the file: an array with the states of each GPU, as
    /// `[{"GPU":{"Value":"GOOD"},"VBIOS":{"Value":"UNKNOWN"},"Driver":{"Value":"REVOKED","RevokedAt":"2025-01-01T00:00:00Z"}}]`.
    ///
    /// # Errors
    /// [`GpuStatusError`] names the file.
    pub fn load(path: &Path) -> Result<Self, GpuStatusError> {
        let read = |source| GpuStatusError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(read)?.len() > MAX_FILE {
            return Err(GpuStatusError::TooLarge { path: path.to_owned() });
        }
        Self::parse(&std::fs::read(path).map_err(read)?)
            .map_err(|source| GpuStatusError::Json { path: path.to_owned(), source })
    }

    fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let gpus: Vec<FileGpu> = serde_json::from_slice(json)?;
        Ok(Self(
            gpus.into_iter()
                .map(|FileGpu { gpu, vbios, driver }| GpuStates {
                    gpu: gpu.into(),
                    vbios: vbios.into(),
                    driver: driver.into(),
                })
                .collect(),
        ))
    }

    /// The states, GPU by GPU.
    #[must_use]
    pub fn gpus(&self) -> &[GpuStates] {
        &self.0
    }

    /// Whether the request's policy, authenticated by its secret, accepts all states.
    pub(crate) fn check(&self, headers: &HeaderMap, secret: &Secret) -> Result<(), PolicyError> {
        let policy = policy(headers, secret)?;
        policy.covers(&self.0).map_err(PolicyError::Refused)
    }
}

fn policy(headers: &HeaderMap, secret: &Secret) -> Result<OcspPolicy, PolicyError> {
    let policies: Vec<&HeaderValue> = headers.get_all(header::OCSP_POLICY).iter().collect();
    let macs: Vec<&HeaderValue> = headers.get_all(header::OCSP_POLICY_MAC).iter().collect();
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).map_err(|_| PolicyError::Headers);
    match (policies[..].as_ref(), macs[..].as_ref()) {
        // protocol.md §6: "No headers: only GOOD is accepted."
        ([], []) => Ok(OcspPolicy::GOOD_ONLY),
        ([policy], [mac]) => {
            let policy = text(policy)?;
            // the MAC before the parser: only what the client wrote is read
            if !verify_mac(secret, &policy, &text(mac)?) {
                return Err(PolicyError::Mac);
            }
            OcspPolicy::parse(&policy).map_err(PolicyError::Policy)
        }
        _ => Err(PolicyError::Headers),
    }
}

#[cfg(test)]
mod tests {
    use privatemode_wire::ocsp::{Component, mac};

    use super::*;

    const FILE: &str = r#"[{"GPU":{"Value":"GOOD"},"VBIOS":{"Value":"UNKNOWN"},"Driver":{"Value":"GOOD"}},
        {"GPU":{"Value":"GOOD"},"VBIOS":{"Value":"GOOD"},
         "Driver":{"Value":"REVOKED","RevokedAt":"2025-01-01T00:00:00Z"}}]"#;

    fn secret() -> Secret {
        Secret::from_slice(&[3; 32]).unwrap()
    }

    fn headers(policy: &str, mac: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::OCSP_POLICY, policy.parse().unwrap());
        headers.insert(header::OCSP_POLICY_MAC, mac.parse().unwrap());
        headers
    }

    fn signed(policy: &OcspPolicy) -> HeaderMap {
        headers(&policy.to_header(), &mac(&secret(), &policy.to_header()))
    }

    #[test]
    fn the_file_is_read() {
        let status = GpuStatus::parse(FILE.as_bytes()).unwrap();
        assert_eq!(status.gpus()[0].vbios, CertificateState::Unknown);
        assert_eq!(status.gpus()[1].driver, CertificateState::Revoked { at: 1_735_689_600 });
        assert!(GpuStatus::parse(b"[{}]").is_err());
        let missing = GpuStatus::load(Path::new("/nonexistent/states.json")).unwrap_err();
        assert!(matches!(missing, GpuStatusError::Read { .. }));
    }

    #[test]
    fn states_must_be_covered() {
        let status = GpuStatus::parse(FILE.as_bytes()).unwrap();
        let policy = |allow_unknown, revoked_not_before| {
            let allow_revoked = revoked_not_before < u64::MAX;
            signed(&OcspPolicy { allow_unknown, allow_revoked, revoked_not_before })
        };
        assert_eq!(status.check(&policy(true, 1_735_689_600), &secret()), Ok(()));
        let refused = |headers: &HeaderMap| match status.check(headers, &secret()) {
            Err(PolicyError::Refused(refusal)) => (refusal.gpu, refusal.component),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(&policy(true, 1_735_689_601)), (1, Component::Driver));
        assert_eq!(refused(&policy(false, 0)), (0, Component::Vbios));
        assert_eq!(refused(&HeaderMap::new()), (0, Component::Vbios), "no headers: only GOOD");
    }

    #[test]
    fn without_gpus_every_policy_is_met_but_its_mac_must_be_right() {
        let none = GpuStatus::default();
        assert_eq!(none.check(&HeaderMap::new(), &secret()), Ok(()));
        let policy = OcspPolicy::new(true, 0, 0);
        assert_eq!(none.check(&signed(&policy), &secret()), Ok(()));
        let other = mac(&Secret::from_slice(&[4; 32]).unwrap(), &policy.to_header());
        assert_eq!(none.check(&headers(&policy.to_header(), &other), &secret()), Err(PolicyError::Mac));
        let changed = policy.to_header().replace(",allow-unknown", "");
        let old_mac = mac(&secret(), &policy.to_header());
        assert_eq!(none.check(&headers(&changed, &old_mac), &secret()), Err(PolicyError::Mac));
        let nonsense = mac(&secret(), "rules=allow-all");
        let nonsense = none.check(&headers("rules=allow-all", &nonsense), &secret());
        assert_eq!(nonsense, Err(PolicyError::Policy(OcspPolicyError::Malformed)));
    }

    #[test]
    fn one_header_alone_or_twice_is_refused() {
        let none = GpuStatus::default();
        let mut alone = signed(&OcspPolicy::new(true, 0, 0));
        let mut twice = alone.clone();
        twice.append(header::OCSP_POLICY, "rules=allow-good; revocation-time-not-before=0".parse().unwrap());
        assert_eq!(none.check(&twice, &secret()), Err(PolicyError::Headers));
        alone.remove(header::OCSP_POLICY_MAC);
        assert_eq!(none.check(&alone, &secret()), Err(PolicyError::Headers));
    }
}

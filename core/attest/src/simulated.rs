//! Evidence of the simulated platform: JSON that anybody can write, and so proof of nothing.
//!
//! It exists for development and for tests without hardware, and is kept apart in three ways: its own OID
//! (1.3.9901.2.3), a build feature that release binaries lack, and a run-time switch; the manifest must name it too.
//! Form: `{"reportData": b64, "hostData": b64}` (`protocol.md` §8).

/// The run-time switch: whoever holds one has said, at this place in the code, that simulated evidence may pass.
///
/// The type is there in every build so that options can name it, but without the feature `simulated` nothing can make
/// one: `Option<SimulatedAllowed>` is then always `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedAllowed(());

#[cfg(feature = "simulated")]
pub use enabled::{EvidenceError, MAX_EVIDENCE, SimulatedReport, issue, parse_and_verify};

#[cfg(feature = "simulated")]
mod enabled {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Serialize};
    use thiserror::Error;

    use super::SimulatedAllowed;
    use crate::{ReportData, ReportDataLength, Verified};

    /// Longest simulated evidence that is looked at.
    pub const MAX_EVIDENCE: usize = 4096;

    impl SimulatedAllowed {
        /// Accepts simulated evidence: **no hardware protects anything**. Only development tools and tests call this.
        pub fn danger_accept_simulated() -> Self {
            Self(())
        }
    }

    /// What simulated evidence says.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SimulatedReport {
        report_data: ReportData,
        host_data: [u8; 32],
    }

    impl SimulatedReport {
        /// The 64 bytes it was made for.
        pub fn report_data(&self) -> &ReportData {
            &self.report_data
        }

        /// The policy hash that the platform would have measured.
        pub fn host_data(&self) -> &[u8; 32] {
            &self.host_data
        }
    }

    /// Why simulated evidence is refused.
    #[derive(Debug, Error)]
    pub enum EvidenceError {
        /// More bytes than simulated evidence ever has.
        #[error("simulated evidence has {len} bytes, at most {max} are allowed")]
        TooLong {
            /// Length that came.
            len: usize,
            /// Longest length.
            max: usize,
        },
        /// Not the JSON object that it should be.
        #[error("simulated evidence is not a JSON object with `reportData` and `hostData`")]
        Json {
            /// Where and why.
            source: serde_json::Error,
        },
        /// A member is not standard base64 with padding.
        #[error("`{member}` of simulated evidence is not base64")]
        Base64 {
            /// Its name.
            member: &'static str,
            /// Where and why.
            source: base64::DecodeError,
        },
        /// The report data is not 64 bytes.
        #[error("simulated evidence is malformed")]
        ReportDataLength {
            /// The length.
            source: ReportDataLength,
        },
        /// The host data is not 32 bytes.
        #[error("the host data of simulated evidence has {len} bytes, a policy hash has 32")]
        HostDataLength {
            /// Length that came.
            len: usize,
        },
        /// The evidence was made for something else: another nonce, key, manifest or certificate.
        #[error("simulated evidence was made for another nonce, key or state than the expected one")]
        ReportDataMismatch,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Json {
        report_data: String,
        host_data: String,
    }

    /// Makes simulated evidence.
    pub fn issue(report_data: &ReportData, host_data: [u8; 32]) -> Vec<u8> {
        let report_data = STANDARD.encode(report_data.as_bytes());
        let host_data = STANDARD.encode(host_data);
        // base64 needs no escapes, so that the JSON can be written as text
        format!(r#"{{"reportData":"{report_data}","hostData":"{host_data}"}}"#).into_bytes()
    }

    /// Reads simulated evidence and checks that it was made for `expected`. The switch is a proof that the caller asked
    /// for it; there is nothing else to check, which is the danger.
    pub fn parse_and_verify(
        evidence: &[u8],
        expected: &ReportData,
        _switch: SimulatedAllowed,
    ) -> Result<Verified<SimulatedReport>, EvidenceError> {
        // step 1: cap the length before anything is parsed
        if evidence.len() > MAX_EVIDENCE {
            return Err(EvidenceError::TooLong { len: evidence.len(), max: MAX_EVIDENCE });
        }
        // step 2: form
        let json: Json = serde_json::from_slice(evidence).map_err(|source| EvidenceError::Json { source })?;
        let report_data = decode("reportData", &json.report_data)?;
        let host_data = decode("hostData", &json.host_data)?;
        let report_data = ReportData::try_from(&report_data[..])
            .map_err(|source| EvidenceError::ReportDataLength { source })?;
        let host_data = <[u8; 32]>::try_from(&host_data[..])
            .map_err(|_| EvidenceError::HostDataLength { len: host_data.len() })?;
        // step 3: all 64 bytes of the binding
        if !report_data.matches(expected) {
            return Err(EvidenceError::ReportDataMismatch);
        }
        Ok(Verified::new(SimulatedReport { report_data, host_data }))
    }

    fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, EvidenceError> {
        STANDARD.decode(text).map_err(|source| EvidenceError::Base64 { member, source })
    }
}

#[cfg(test)]
#[cfg(feature = "simulated")]
mod tests;

//! Step 8: the states of all certificates that a device's verdict rests on.
//!
//! A chain's state is the worst of its certificates'. No response, or none for this time, is "unknown": the policy decides. A response
//! that is not genuine is an error whatever the policy says. Nobody answers for a device's own leaf: NVIDIA's responder does not know
//! them.

use std::collections::BTreeSet;
use std::fmt;

use super::AppraisalError;
use crate::UnixTime;
use crate::gpu::chain::VerifiedChain;
use crate::gpu::ocsp::{self, CertStatus, GenuineResponse, OcspError, SentNonce};
use crate::gpu::policy::OcspPolicy;
use crate::x509::Certificate;

/// Whose certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The device's own.
    Gpu,
    /// Those of the signer of the VBIOS's RIM.
    Vbios,
    /// Those of the signer of the driver's RIM.
    Driver,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpu => "GPU",
            Self::Vbios => "VBIOS",
            Self::Driver => "driver",
        })
    }
}

/// Why a state is unknown although it could be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    /// No response is about the certificate.
    NoResponse,
    /// The response is from another time.
    OutOfTime(OcspError),
}

/// The state of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentState {
    /// Whose.
    pub component: Component,
    /// The worst state in the chain.
    pub status: CertStatus,
    /// Which certificate it is, 0 for the leaf; `None` if all are good.
    pub position: Option<usize>,
    /// Why it is unknown, unless the responder says so.
    pub unanswered: Option<Unanswered>,
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "certificate {position} of the {}'s chain is ", self.component)?,
            None => write!(f, "the {}'s chain is ", self.component)?,
        }
        match (self.status, &self.unanswered) {
            (CertStatus::Good, _) => f.write_str("good"),
            (CertStatus::Revoked { at }, _) => write!(f, "revoked since {at}"),
            (CertStatus::Unknown, None) => f.write_str("unknown to the OCSP responder"),
            (CertStatus::Unknown, Some(Unanswered::NoResponse)) => {
                f.write_str("unknown: no OCSP response is about it")
            }
            (CertStatus::Unknown, Some(Unanswered::OutOfTime(error))) => write!(f, "unknown: {error}"),
        }
    }
}

/// The certificates of a chain that somebody answers for, each with its issuer: what has to be asked before step 8.
pub fn answered_for(
    component: Component,
    chain: &VerifiedChain,
) -> impl Iterator<Item = (&Certificate, &Certificate)> {
    pairs(component, chain).map(|(_, pair)| pair)
}

/// The same, with their positions.
fn pairs(
    component: Component,
    chain: &VerifiedChain,
) -> impl Iterator<Item = (usize, (&Certificate, &Certificate))> {
    // NVIDIA's responder answers for authorities and RIM signers, not for single devices
    chain.pairs().enumerate().skip(usize::from(component == Component::Gpu))
}

/// OCSP responses, each verified once however many devices share it: those of one machine share all but a certificate or two.
pub(in crate::gpu) struct Responses<'a> {
    raw: &'a [Vec<u8>],
    /// Places in `raw` of those that are in `genuine`.
    known: BTreeSet<usize>,
    genuine: Vec<GenuineResponse>,
}

impl<'a> Responses<'a> {
    pub(in crate::gpu) fn new(raw: &'a [Vec<u8>]) -> Self {
        Self { raw, known: BTreeSet::new(), genuine: Vec::new() }
    }

    /// Verifies those that are about a certificate of these chains, and were not verified for others; the rest is left out.
    pub(super) fn verify(&mut self, chains: &[(Component, &VerifiedChain)]) -> Result<(), AppraisalError> {
        for (place, response) in self.raw.iter().enumerate() {
            if self.known.contains(&place) {
                continue;
            }
            let all = chains.iter().flat_map(|(component, chain)| {
                pairs(*component, chain).map(|(position, pair)| (*component, position, pair))
            });
            for (component, position, (subject, issuer)) in all {
                match ocsp::verify_signature(response, subject, issuer) {
                    Ok(response) => {
                        self.genuine.push(response);
                        self.known.insert(place);
                        break;
                    }
                    Err(OcspError::OtherCertificate) => {}
                    // not even a response: about nothing, as if it were not there
                    Err(OcspError::Response(_)) => break,
                    Err(source) => return Err(AppraisalError::Ocsp { component, position, source }),
                }
            }
        }
        Ok(())
    }

    /// All that were verified so far. Each says itself which certificate it is about.
    pub(super) fn genuine(&self) -> &[GenuineResponse] {
        &self.genuine
    }
}

pub(super) fn states(
    chains: &[(Component, &VerifiedChain)],
    responses: &[GenuineResponse],
    policy: OcspPolicy,
    now: UnixTime,
) -> Result<Vec<ComponentState>, AppraisalError> {
    let mut states = Vec::new();
    for (component, chain) in chains {
        let state = state(*component, chain, responses, policy, now)?;
        if !policy.accepts(state.status, now) {
            return Err(AppraisalError::NotGood { state });
        }
        states.push(state);
    }
    Ok(states)
}

/// The worst state in a chain.
fn state(
    component: Component,
    chain: &VerifiedChain,
    responses: &[GenuineResponse],
    policy: OcspPolicy,
    now: UnixTime,
) -> Result<ComponentState, AppraisalError> {
    let mut worst = ComponentState { component, status: CertStatus::Good, position: None, unanswered: None };
    for (position, (subject, issuer)) in pairs(component, chain) {
        let mut best: Option<Answer> = None;
        for response in responses.iter().filter(|response| response.answers(subject, issuer)) {
            let answer = match response.at(SentNonce::None, policy.response_grace, now) {
                Ok(verified) => (verified.status(), None),
                Err(error) if error.is_of_time() => (CertStatus::Unknown, Some(Unanswered::OutOfTime(error))),
                Err(source) => return Err(AppraisalError::Ocsp { component, position, source }),
            };
            if best.as_ref().is_none_or(|known| is_better(&answer, known)) {
                best = Some(answer);
            }
        }
        let (status, unanswered) = best.unwrap_or((CertStatus::Unknown, Some(Unanswered::NoResponse)));
        if is_worse(status, worst.status) {
            worst = ComponentState { component, status, position: Some(position), unanswered };
        }
    }
    Ok(worst)
}

type Answer = (CertStatus, Option<Unanswered>);

/// Of several answers the worst counts, and one from another time only if there is no other.
fn is_better(new: &Answer, known: &Answer) -> bool {
    match (&new.1, &known.1) {
        (None, Some(_)) => true,
        (Some(_), _) => false,
        (None, None) => is_worse(new.0, known.0),
    }
}

fn rank(status: CertStatus) -> u8 {
    match status {
        CertStatus::Good => 0,
        CertStatus::Unknown => 1,
        CertStatus::Revoked { .. } => 2,
    }
}

/// Of two revocations the earlier one is worse: no grace period may hide it.
fn is_worse(new: CertStatus, known: CertStatus) -> bool {
    match (new, known) {
        (CertStatus::Revoked { at: new }, CertStatus::Revoked { at: known }) => new < known,
        _ => rank(new) > rank(known),
    }
}

//! Steps 6 and 8 of `attestation.md` §5, as far as something has to be fetched: reference values and states of certificates.
//!
//! Asks about devices that are genuine and of allowed versions only: NVIDIA learns nothing of others. Judges nothing but what
//! it takes to know whom to ask; [`crate::admit()`] does.

use std::collections::{BTreeMap, BTreeSet};

use privatemode_attest::{
    UnixTime,
    gpu::{
        self, Bundle, Component, MachineError, OcspPolicy, Policy, RimId, Roots, VerifiedDevice,
        ocsp::{self, SentNonce},
        rim::{self, VerifiedRim},
    },
    x509::Certificate,
};
use privatemode_collateral::{Collector, Found, Freshness, Key, OcspRequest};

use crate::AdmitError;

/// What was fetched for one bundle, beside what is in the bundle.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Answers about certificates, by what was asked.
    answers: BTreeMap<Key, Answer>,
}

#[derive(Debug, Clone)]
struct Answer {
    found: Found,
    /// Its own, signed word; `None` for one that is not genuine, or out of date.
    next_update: Option<UnixTime>,
}

/// Adds to `bundle` what its devices have to be compared with. `devices` are the bundle's, and genuine. `earlier` is what was
/// fetched for them before: its answers stand in while the responder cannot be asked, for as long as they say themselves.
///
/// # Errors
/// [`AdmitError::Evidence`] for a version that is not allowed and for reference values that are not NVIDIA's,
/// [`AdmitError::Fetch`] for what cannot be had and cannot be done without.
pub async fn fetch(
    collector: &Collector,
    (bundle, devices): (&mut Bundle, &[VerifiedDevice]),
    (policy, roots): (&Policy, &Roots),
    earlier: &Fetched,
    now: UnixTime,
) -> Result<Fetched, AdmitError> {
    let rims = fetch_rims(collector, devices, policy, (roots, now)).await?;
    bundle.rims = rims.iter().map(|(found, _)| found.document.bytes.clone()).collect();
    let of_devices = devices.iter().flat_map(|device| gpu::answered_for(Component::Gpu, device.chain()));
    let of_rims = rims.iter().flat_map(|(_, rim)| gpu::answered_for(Component::Driver, rim.chain()));
    let mut fetched = Fetched::default();
    for (subject, issuer) in of_devices.chain(of_rims) {
        // None: the issuer's key is of a kind that nobody can ask about, so the state stays unknown
        let Some(der) = ocsp::request(subject, issuer, None) else { continue };
        let request = OcspRequest { der: &der };
        if fetched.answers.contains_key(&request.key()) {
            continue;
        }
        if let Some(answer) = ask(collector, &request, (subject, issuer), earlier, (policy.ocsp, now)).await?
        {
            fetched.answers.insert(request.key(), answer);
        }
    }
    bundle.ocsp = fetched.answers.values().map(|answer| answer.found.document.bytes.clone()).collect();
    Ok(fetched)
}

async fn fetch_rims(
    collector: &Collector,
    devices: &[VerifiedDevice],
    policy: &Policy,
    (roots, now): (&Roots, UnixTime),
) -> Result<Vec<(Found, VerifiedRim)>, AdmitError> {
    let mut ids: BTreeSet<RimId> = BTreeSet::new();
    for (device, verified) in devices.iter().enumerate() {
        // step 5: versions are allowed
        ids.extend(gpu::required_rims(verified, policy).map_err(|source| AdmitError::Evidence {
            source: MachineError::Appraisal { device, source: Box::new(source) },
        })?);
    }
    let mut rims = Vec::with_capacity(ids.len());
    for (place, id) in ids.iter().enumerate() {
        let id = privatemode_collateral::RimId::new(id.as_str())
            .map_err(|source| AdmitError::NoSuchRim { source })?;
        let found = collector.rim(&id).await.map_err(|source| AdmitError::Fetch { source })?.found;
        // step 6: its signers are among those that are asked about
        match rim::verify(&found.document.bytes, roots, now) {
            Ok(rim) => rims.push((found, rim)),
            Err(source) => {
                collector.reject(&found).await;
                return Err(AdmitError::Evidence { source: MachineError::Rim { rim: place, source } });
            }
        }
    }
    Ok(rims)
}

async fn ask(
    collector: &Collector,
    request: &OcspRequest<'_>,
    (subject, issuer): (&Certificate, &Certificate),
    earlier: &Fetched,
    (policy, now): (OcspPolicy, UnixTime),
) -> Result<Option<Answer>, AdmitError> {
    match collector.ocsp(request).await {
        Ok(answer) => {
            let found = answer.found;
            let next_update = match ocsp::verify_signature(&answer.bytes, subject, issuer) {
                Ok(genuine) => genuine.at(SentNonce::None, 0, now).ok().map(|status| status.next_update()),
                Err(_) => {
                    // the bundle has it all the same: the verification says what is wrong with it
                    collector.reject(&found).await;
                    None
                }
            };
            Ok(Some(Answer { found, next_update }))
        }
        Err(source) => match earlier.answers.get(&request.key()) {
            Some(answer) => {
                let until = answer.next_update;
                tracing::warn!(error = %source, ?until, "the last answer about a certificate stands in for a new one");
                Ok(Some(answer.clone()))
            }
            None if policy.allow_unknown => {
                tracing::warn!(error = %source, "the state of a certificate is unknown, which the policy accepts");
                Ok(None)
            }
            None => Err(AdmitError::Fetch { source }),
        },
    }
}

impl Fetched {
    /// When half of the time has passed for which all answers count: time to ask again, with as much left for trying. `None`
    /// if nothing that was answered ends.
    #[must_use]
    pub fn renew_at(&self, now: UnixTime) -> Option<UnixTime> {
        self.answers.values().filter_map(|answer| answer.next_update).min().map(|end| middle(now, end))
    }

    /// Keeps the answers for the next start, now that they were verified, until it is time to ask again.
    pub async fn confirm(&self, collector: &Collector, now: UnixTime) {
        for Answer { found, next_update } in self.answers.values() {
            if let Some(end) = next_update {
                collector.confirm(found, Freshness::Until(middle(now, *end))).await;
            }
        }
    }
}

fn middle(now: UnixTime, end: UnixTime) -> UnixTime {
    now.saturating_add(end.as_secs().saturating_sub(now.as_secs()) / 2)
}

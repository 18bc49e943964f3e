//! Step 10 of `attestation.md` §5: GPUs take work once all of them were verified, and not otherwise.
//!
//! What is verified here is what was collected, and the permit that comes out of it goes to the driver at once.

use privatemode_attest::{
    UnixTime,
    gpu::{AppraisedFleet, Fleet, MachineError, NotReady, Policy, ReadyPermit, Roots},
};
use privatemode_collateral::{FetchError, InvalidRimId};
use thiserror::Error;

use crate::{Collected, GpuError, GpuQuoter, TellError};

/// What the GPUs must be.
#[derive(Debug)]
pub struct Requirements<'a> {
    /// How many devices there are, and how they were asked.
    pub fleet: &'a Fleet,
    /// Versions, and states of certificates.
    pub policy: &'a Policy,
    /// NVIDIA's roots.
    pub roots: &'a Roots,
}

/// Why GPUs may not be used.
#[derive(Debug, Error)]
pub enum AdmitError {
    /// There is no evidence.
    #[error("the GPUs give no evidence; no GPU takes work")]
    Collect {
        /// Why.
        source: GpuError,
    },
    /// Steps 6 and 8: what they are compared with is not to be had.
    #[error("what NVIDIA publishes about these GPUs cannot be had; no GPU takes work")]
    Fetch {
        /// Why.
        source: FetchError,
    },
    /// The report names firmware under a name that no reference manifest has.
    #[error("the GPUs' firmware has no name under which NVIDIA could publish it; no GPU takes work")]
    NoSuchRim {
        /// Why.
        source: InvalidRimId,
    },
    /// After step 10: who relies on the GPUs' state would not learn it.
    #[error("the GPUs were verified, but nobody can be told so; no GPU takes work")]
    Tell {
        /// Why.
        source: TellError,
    },
    /// Steps 1 to 9, for the devices.
    #[error("the GPUs' evidence is refused; no GPU takes work")]
    Evidence {
        /// Why.
        source: MachineError,
    },
    /// Step 9, for the mode.
    #[error("the GPUs' mode is refused; no GPU takes work")]
    Mode {
        /// Why.
        source: NotReady,
    },
    /// Step 10, right before it: the driver can no longer be asked what it would set ready.
    #[error("the GPUs were verified, but cannot be asked again; no GPU takes work")]
    AskAgain {
        /// Why.
        source: GpuError,
    },
    /// Step 10, right before it: the driver has other GPUs than those that were verified, and would set them ready too.
    #[error("GPUs came, went or changed places since they were verified; no GPU takes work: collect again")]
    Changed,
    /// Step 10.
    #[error("the GPUs were verified, but could not be set ready")]
    SetReady {
        /// Why.
        source: GpuError,
    },
    /// This process ends.
    #[error("the verification of the GPUs was cut short; no GPU takes work")]
    CutShort,
    /// They were refused, and could not be stopped: whoever runs work here has to.
    #[error("the GPUs were refused, and could not be kept from taking work: stop this machine")]
    StillReady {
        /// Why they were refused.
        refused: Box<AdmitError>,
        /// Why they could not be stopped.
        source: GpuError,
    },
}

/// Verifies what was collected, whose bundle has its collateral by now, and sets the GPUs ready. GPUs that are refused are
/// set not ready, whatever they were before.
///
/// # Errors
/// [`AdmitError`].
pub fn admit(
    quoter: &dyn GpuQuoter,
    collected: &Collected,
    requirements: &Requirements<'_>,
    now: UnixTime,
) -> Result<AppraisedFleet, AdmitError> {
    verify(quoter, collected, requirements, now)
        .and_then(|(fleet, permit)| {
            quoter.set_ready(permit).map_err(|source| AdmitError::SetReady { source })?;
            Ok(fleet)
        })
        .map_err(|refused| stop(quoter, refused))
}

/// Keeps GPUs from taking work that are refused, whatever they were before.
pub(crate) fn stop(quoter: &dyn GpuQuoter, refused: AdmitError) -> AdmitError {
    match quoter.set_not_ready() {
        Ok(()) => refused,
        Err(source) => AdmitError::StillReady { refused: Box::new(refused), source },
    }
}

fn verify(
    quoter: &dyn GpuQuoter,
    collected: &Collected,
    requirements: &Requirements<'_>,
    now: UnixTime,
) -> Result<(AppraisedFleet, ReadyPermit), AdmitError> {
    let Requirements { fleet, policy, roots } = *requirements;
    let fleet = collected
        .bundle
        .verify(&collected.nonces, fleet, policy, roots, now)
        .map_err(|source| AdmitError::Evidence { source })?;
    // Collateral may have taken minutes. The host can plug a GPU meanwhile, and the driver sets all that it has ready; nor is the
    // mode the one of then for sure. So both are asked again, and both answers must do.
    let again = |source| AdmitError::AskAgain { source };
    if quoter.devices().map_err(again)? != collected.devices {
        return Err(AdmitError::Changed);
    }
    let mode = |source| AdmitError::Mode { source };
    ReadyPermit::for_fleet(&fleet, collected.state).map(drop).map_err(mode)?;
    let state = quoter.system().map_err(again)?.state;
    let permit = ReadyPermit::for_fleet(&fleet, state).map_err(mode)?;
    Ok((fleet, permit))
}

#[cfg(test)]
mod tests;

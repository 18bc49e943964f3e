//! The other coordinators of a deployment, whom a stale one asks for its state.

use privatemode_manifest::Manifest;
use privatemode_service::BoxFuture;
use thiserror::Error;

use crate::state::recover::PeerState;

/// Knows where the others are.
pub trait Peers: Send + Sync {
    /// Asks until one answers. `expected` is the manifest that they enforce as far as the store can be believed: its reference
    /// values and coordinator policies are what a peer has to prove. That it may be forged does no harm: who made it up does
    /// not have the seed that signed the history.
    fn ask<'a>(&'a self, expected: &'a Manifest) -> BoxFuture<'a, Result<PeerState, PeersError>>;
}

/// Nobody answered.
#[derive(Debug, Error)]
#[error("no other coordinator could give the state")]
pub struct PeersError {
    /// Each one with its reason.
    pub refusals: Vec<(String, Box<dyn std::error::Error + Send + Sync>)>,
}

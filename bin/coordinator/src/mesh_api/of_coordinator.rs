//! The coordinator of this process, as the mesh API wants it.

use std::sync::Arc;

use p384::elliptic_curve::zeroize::Zeroizing;
use p384::pkcs8::LineEnding;
use privatemode_collateral::Collector;
use privatemode_mesh::atls::{Appraiser, Peer};

use super::{Certified, MeshBackend, MeshFault, NotReady, Secrets};
use crate::Coordinator;
use crate::state::{InForce, NotInForce};

/// A coordinator behind the mesh API.
pub struct OfCoordinator {
    coordinator: Arc<Coordinator>,
    collector: Option<Collector>,
}

impl OfCoordinator {
    /// Callers' evidence is appraised with `collector`'s help, or must bring everything.
    pub fn new(coordinator: Arc<Coordinator>, collector: Option<Collector>) -> Self {
        Self { coordinator, collector }
    }

    /// What is in force, if it is what the caller was verified under. It cannot change below the caller: it is a snapshot.
    fn for_caller(&self, caller: &Peer) -> Result<Arc<InForce>, NotReady> {
        let in_force = self.coordinator.in_force()?;
        if in_force.manifest().digest() == caller.manifest() { Ok(in_force) } else { Err(NotReady::Changed) }
    }
}

impl From<NotInForce> for NotReady {
    fn from(reason: NotInForce) -> Self {
        match reason {
            NotInForce::NoManifest => Self::NoManifest,
            NotInForce::NeedsRecovery { .. } => Self::NeedsRecovery,
        }
    }
}

fn internal(source: impl std::error::Error + Send + Sync + 'static) -> MeshFault {
    MeshFault::Internal { source: Box::new(source) }
}

impl MeshBackend for OfCoordinator {
    fn appraiser(&self) -> Result<Appraiser, NotReady> {
        let in_force = self.coordinator.in_force()?;
        let clock = {
            let coordinator = Arc::clone(&self.coordinator);
            Arc::new(move || coordinator.now())
        };
        let options = self.coordinator.options().clone();
        let appraiser = Appraiser::new(in_force.manifest().clone(), options, clock);
        Ok(match &self.collector {
            Some(collector) => appraiser.with_collateral(collector.clone()),
            None => appraiser,
        })
    }

    fn new_mesh_cert(&self, caller: &Peer) -> Result<Certified, MeshFault> {
        let in_force = self.for_caller(caller)?;
        let (authority, entry) = (in_force.authority(), &caller.workload().entry);
        let cert_chain = authority.issue(entry, caller.key(), self.coordinator.now()).map_err(internal)?;
        let id = entry.workload_secret_id.as_deref();
        Ok(Certified {
            mesh_ca: authority.mesh_ca().pem().to_owned(),
            cert_chain,
            root_ca: authority.root_pem().to_owned(),
            workload_secret: id.and_then(|id| in_force.seed().workload_secret(id)),
        })
    }

    fn recover_peer(&self, caller: &Peer) -> Result<Secrets, MeshFault> {
        let in_force = self.for_caller(caller)?;
        let (authority, seed) = (in_force.authority(), in_force.seed());
        Ok(Secrets {
            seed: Zeroizing::new(seed.expose().to_vec()),
            salt: seed.salt().to_vec(),
            mesh_ca_key: authority.mesh_key().to_sec1_pem(LineEnding::LF).map_err(internal)?,
            manifest: in_force.manifest().raw().to_vec(),
            mesh_ca: authority.mesh_ca().pem().to_owned(),
            root_ca: authority.root_pem().to_owned(),
        })
    }

    fn mesh_ca(&self) -> Result<String, NotReady> {
        Ok(self.coordinator.in_force()?.authority().mesh_ca().pem().to_owned())
    }
}

//! The other coordinators over the mesh API: each proves itself by mutual attested TLS before it is asked, and we to it.

use std::sync::Arc;

use privatemode_collateral::Collector;
use privatemode_manifest::{Manifest, VerifyOptions};
use privatemode_mesh::atls::{Appraiser, Clock, Identity};
use privatemode_mesh::{MeshKey, Quoter};
use privatemode_service::BoxFuture;

use crate::mesh_api::MeshClient;
use crate::peers::{Peers, PeersError};
use crate::state::recover::PeerState;

/// Asks the mesh ports of other coordinators.
pub(crate) struct MeshPeers {
    addresses: Vec<String>,
    quoter: Arc<dyn Quoter>,
    options: VerifyOptions,
    collector: Option<Collector>,
    clock: Clock,
}

impl MeshPeers {
    /// Asks at `addresses` (`HOST:PORT`), and proves itself with `quoter`.
    pub(crate) fn new(
        addresses: Vec<String>,
        quoter: Arc<dyn Quoter>,
        options: VerifyOptions,
        collector: Option<Collector>,
        clock: Clock,
    ) -> Self {
        Self { addresses, quoter, options, collector, clock }
    }

    async fn ask_all(&self, expected: &Manifest) -> Result<PeerState, PeersError> {
        let appraiser = Appraiser::new(expected.clone(), self.options.clone(), Arc::clone(&self.clock));
        let appraiser = match &self.collector {
            Some(collector) => appraiser.with_collateral(collector.clone()),
            None => appraiser,
        };
        let mut refusals = Vec::new();
        for address in &self.addresses {
            match self.ask_one(address, &appraiser).await {
                Ok(state) => return Ok(state),
                Err(refusal) => {
                    tracing::info!(peer = address, error = %privatemode_service::Chain(&*refusal), "another coordinator did not give its state");
                    refusals.push((address.clone(), refusal));
                }
            }
        }
        Err(PeersError { refusals })
    }

    async fn ask_one(
        &self,
        address: &str,
        appraiser: &Appraiser,
    ) -> Result<PeerState, Box<dyn std::error::Error + Send + Sync>> {
        // a key for this one connection
        let key = Arc::new(MeshKey::generate()?);
        let identity = Identity { quoter: Arc::clone(&self.quoter), key };
        let client = MeshClient::new(address, identity, Arc::clone(&self.clock));
        Ok(client.recover(appraiser).await?)
    }
}

impl Peers for MeshPeers {
    fn ask<'a>(&'a self, expected: &'a Manifest) -> BoxFuture<'a, Result<PeerState, PeersError>> {
        Box::pin(self.ask_all(expected))
    }
}

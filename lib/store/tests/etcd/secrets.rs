//! What every store of secrets does: the same cases over the one in this process and over a real etcd. Without an etcd its
//! half says so and passes.

mod etcd;
mod suite;

use std::{sync::Arc, time::Duration};

use privatemode_store::{Embedded, EtcdSecrets, ManualClock, MonotonicClock, SecretStore};
use privatemode_test_kit::EtcdCluster;

use self::suite::Place;
use crate::common;

struct InProcess(Arc<ManualClock>);

impl Place for InProcess {
    fn store(&self, capacity: usize) -> Arc<dyn SecretStore> {
        Arc::new(Embedded::new(self.0.clone(), capacity))
    }

    async fn pass(&self) {
        self.0.advance(Duration::from_secs(1));
    }

    async fn ids(&self) -> Option<usize> {
        None
    }
}

struct InEtcd(EtcdCluster);

impl InEtcd {
    async fn start() -> Option<Self> {
        EtcdCluster::start(1, None).await.map(Self)
    }

    fn etcd_store(&self, capacity: usize) -> EtcdSecrets {
        let etcd = privatemode_store::etcd::Etcd::new(&common::urls(&self.0), None, common::timeouts());
        EtcdSecrets::new(etcd.unwrap(), Arc::new(MonotonicClock::new()), capacity)
    }
}

impl Place for InEtcd {
    fn store(&self, capacity: usize) -> Arc<dyn SecretStore> {
        Arc::new(self.etcd_store(capacity))
    }

    async fn pass(&self) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    async fn ids(&self) -> Option<usize> {
        Some(self.etcd_store(0).count().await.unwrap())
    }
}

macro_rules! both {
    ($($case:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $case() {
                super::suite::$case(&super::InProcess(Default::default())).await;
            })*
        }
        mod in_etcd {
            $(#[tokio::test]
            async fn $case() {
                let Some(place) = super::InEtcd::start().await else { return };
                super::suite::$case(&place).await;
            })*
        }
    };
}

both!(
    a_live_id_is_refused,
    an_expired_secret_is_gone_and_its_id_is_free,
    of_many_creates_of_one_id_one_wins,
    capacity_counts_live_secrets,
    hostile_lengths_are_refused,
    a_ttl_beyond_the_end_of_time_does_not_wrap,
);

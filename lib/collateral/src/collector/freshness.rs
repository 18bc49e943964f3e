//! How long a document counts that nobody has verified yet.

use privatemode_attest::UnixTime;

use super::Inner;
use crate::{
    document::{Document, Freshness},
    key::{Key, Kind},
};

impl Inner {
    pub(super) fn freshness(
        &self,
        key: &Key,
        document: &Document,
        fetched_at: Option<UnixTime>,
    ) -> Freshness {
        match key.kind() {
            Kind::AmdVcek | Kind::AmdCertChain => Freshness::Forever,
            Kind::NvidiaRim => fetched_at.map_or(Freshness::Unknown, |fetched_at| {
                Freshness::Until(fetched_at.saturating_add(self.manifest_age.as_secs()))
            }),
            Kind::AmdCrl
            | Kind::IntelTcbInfo
            | Kind::IntelQeIdentity
            | Kind::IntelPckCrl
            | Kind::IntelRootCrl
            | Kind::NvidiaOcsp => {
                (self.next_update)(key, document).map_or(Freshness::Unknown, Freshness::Until)
            }
        }
    }

    /// Whether something that ended at `since` may still stand in for what cannot be fetched.
    pub(super) fn in_grace(&self, since: UnixTime) -> bool {
        self.timing.now().0.saturating_sub(since.0) < self.grace.as_secs()
    }
}

//! How long a document counts, as far as fetching is concerned.
//!
//! What is read here is *declared*, not verified: a document that fails verification is dropped with
//! [`crate::Collector::reject`], so that a forged date far away cannot keep it in the cache.

use privatemode_attest::{UnixTime, x509::Crl};
use serde::{Deserialize, Serialize};

use super::Document;
use crate::key::{Key, Kind};

/// How long a document counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// It never changes: certificates of chips and their issuers.
    Forever,
    /// Until its next update.
    Until(#[serde(with = "seconds")] UnixTime),
    /// Nobody has said yet ([`crate::Collector::confirm`]): it is not taken from the cache while the network can be asked.
    Unknown,
}

impl Freshness {
    /// When it ended, if that is not later than `now`.
    #[must_use]
    pub fn ended(self, now: UnixTime) -> Option<UnixTime> {
        match self {
            Self::Until(end) if end <= now => Some(end),
            _ => None,
        }
    }
}

mod seconds {
    use super::{Deserialize, Serialize, UnixTime};

    pub(super) fn serialize<S: serde::Serializer>(time: &UnixTime, to: S) -> Result<S::Ok, S::Error> {
        time.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<UnixTime, D::Error> {
        u64::deserialize(from).map(UnixTime)
    }
}

#[derive(Deserialize)]
struct Signed {
    #[serde(alias = "tcbInfo", alias = "enclaveIdentity")]
    body: Dated,
}

#[derive(Deserialize)]
struct Dated {
    #[serde(rename = "nextUpdate")]
    next_update: String,
}

/// The next update that a document declares; `None` where it declares none or it cannot be read.
#[must_use]
pub fn declared_next_update(key: &Key, document: &Document) -> Option<UnixTime> {
    match key.kind() {
        Kind::IntelTcbInfo | Kind::IntelQeIdentity => {
            let signed: Signed = serde_json::from_slice(&document.bytes).ok()?;
            let time: jiff::Timestamp = signed.body.next_update.parse().ok()?;
            u64::try_from(time.as_second()).ok().map(UnixTime)
        }
        Kind::AmdCrl | Kind::IntelPckCrl | Kind::IntelRootCrl => {
            Crl::parse_der(&document.bytes).ok().map(|list| list.next_update())
        }
        // a status has one, but only verification reads it; the others have none
        Kind::AmdVcek | Kind::AmdCertChain | Kind::NvidiaRim | Kind::NvidiaOcsp => None,
    }
}

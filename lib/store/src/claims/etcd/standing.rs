//! How far etcd can be believed: the keys `floor` and `alive`, and the revisions that were seen.

use std::{sync::Arc, time::Duration};

use privatemode_wire::stream::UnixMillis;

use super::{CLAIMS_PREFIX, CLOCKS_DIFFER, Shared};
use crate::{
    Clock,
    etcd::{
        Etcd, EtcdError,
        messages::{Compare, PutRequest, RangeRequest, RequestOp, ResponseHeader, TxnRequest, TxnResponse},
    },
};

/// How long `alive` lives, in seconds.
const ALIVE: i64 = 30;
/// How old a standing may be before claims wait for a new one.
const STALE: Duration = Duration::from_secs(20);
/// Others may be renewing it at the same moment.
const ATTEMPTS: usize = 8;

/// Why nothing can be granted.
#[derive(Debug, thiserror::Error)]
pub(super) enum StandingError {
    /// etcd cannot be asked.
    #[error("the claims' memory in etcd cannot be asked")]
    Etcd(#[source] EtcdError),
    /// One of the clocks is wrong.
    #[error(
        "this machine's clock differs from another secret service's by {} s: set both, then wait for half a minute",
        .by / 1000
    )]
    Clocks {
        /// Milliseconds.
        by: u64,
    },
    /// Neither is what we write there.
    #[error("`inference-claims/floor` or `inference-claims/alive` in etcd is not a time: delete it")]
    Record,
    /// Others were always faster.
    #[error("the claims' record in etcd changes too often")]
    Contended,
}

/// Until when, and from when on, claims may be granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// What was sent before is refused.
    pub(super) floor: UnixMillis,
    /// As many claims as etcd may hold.
    pub(super) full: bool,
    at: Duration,
    wall: UnixMillis,
}

/// Where the store was when it was seen last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    cluster: u64,
    revision: i64,
}

/// Keeps the standing.
pub(super) struct Keeper {
    etcd: Etcd,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    seen: Option<Seen>,
    /// The store went back: the floor has yet to rise.
    rolled_back: bool,
    standing: Option<Standing>,
    mine: Option<Mine>,
}

/// `alive` as this process wrote it last. While it is still there, nobody else has been: its age is known.
#[derive(Debug, Clone, Copy)]
struct Mine {
    revision: i64,
    wall: UnixMillis,
    at: Duration,
}

impl Keeper {
    pub(super) fn new(etcd: Etcd, clock: Arc<dyn Clock>, shared: Arc<Shared>) -> Self {
        Self { etcd, clock, shared, seen: None, rolled_back: false, standing: None, mine: None }
    }

    /// The standing, if it is fresh and the clock has not been set since.
    pub(super) fn fresh(&self) -> Option<Standing> {
        let standing = self.standing?;
        let age = self.clock.now().saturating_sub(standing.at);
        let age_millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let expected = standing.wall.plus(age_millis);
        let set_by = expected.0.abs_diff((self.shared.now)().0);
        (age < STALE && set_by < CLOCKS_DIFFER / 2).then_some(standing)
    }

    /// Notes a header; false if the store is behind what was seen before. Then nothing that it said counts.
    pub(super) fn note(&mut self, header: Option<ResponseHeader>) -> bool {
        let Some(ResponseHeader { cluster_id: cluster, revision, .. }) = header else { return false };
        let forward = self.seen.is_none_or(|seen| seen.cluster == cluster && seen.revision <= revision);
        if !forward {
            tracing::error!(
                revision,
                seen = self.seen.map(|seen| seen.revision),
                "etcd went back, or is another one: requests are dated anew, as after a restart"
            );
            self.rolled_back = true;
            self.standing = None;
        }
        self.seen = Some(Seen { cluster, revision });
        forward
    }

    /// Reads and renews the record.
    pub(super) async fn renew(&mut self) -> Result<Standing, StandingError> {
        self.standing = None;
        for _ in 0..ATTEMPTS {
            let read = TxnRequest {
                compare: vec![],
                success: vec![range("floor", false), range("alive", false), range("r/", true)],
                failure: vec![],
            };
            let read = self.etcd.txn_repeatable(&read).await.map_err(StandingError::Etcd)?;
            self.note(read.header);
            let record = Record::of(&read)?;
            if let Some(standing) = self.write(record).await? {
                self.standing = Some(standing);
                return Ok(standing);
            }
        }
        Err(StandingError::Contended)
    }

    /// None: somebody else was faster.
    async fn write(&mut self, record: Record) -> Result<Option<Standing>, StandingError> {
        let (at, wall) = (self.clock.now(), (self.shared.now)());
        let floor = self.floor(&record, wall)?;
        let lease = self.etcd.lease_grant(ALIVE).await.map_err(StandingError::Etcd)?.id;
        let put = |name, time: UnixMillis, lease| PutRequest {
            key: key(name),
            value: time.0.to_be_bytes().to_vec(),
            lease,
        };
        let write = TxnRequest {
            compare: vec![
                Compare::unchanged_since(key("floor"), record.floor_revision),
                Compare::unchanged_since(key("alive"), record.alive_revision),
            ],
            success: vec![put("floor", floor, 0).into(), put("alive", wall, lease).into()],
            failure: vec![],
        };
        // once: a second attempt of the same would not find what it expects
        let written = self.etcd.txn(&write).await.map_err(StandingError::Etcd)?;
        if !self.note(written.header) || !written.succeeded {
            return Ok(None);
        }
        if Some(floor) != record.floor {
            tracing::warn!(not_before = floor.0, "the claims' memory begins: requests are dated anew");
        }
        self.rolled_back = false;
        let revision = written.header.map_or(0, |header| header.revision);
        self.mine = Some(Mine { revision, wall, at });
        let full = record.claims >= self.shared.limits.capacity;
        Ok(Some(Standing { floor, full, at, wall }))
    }

    fn floor(&self, record: &Record, wall: UnixMillis) -> Result<UnixMillis, StandingError> {
        let begin = wall.plus(self.shared.limits.future);
        if let Some(alive) = record.alive {
            let by = self.today(record, alive).0.abs_diff(wall.0);
            if by > CLOCKS_DIFFER {
                return Err(StandingError::Clocks { by });
            }
        }
        Ok(match (record.floor, record.alive) {
            (Some(floor), Some(_)) if !self.rolled_back => floor,
            (floor, _) => floor.unwrap_or_default().max(begin),
        })
    }

    /// What the clock that wrote `alive` shows now. Another's is at most some seconds old, ours may be as old as an outage of
    /// etcd was long.
    fn today(&self, record: &Record, alive: UnixMillis) -> UnixMillis {
        match self.mine {
            Some(mine) if mine.revision == record.alive_revision && mine.wall == alive => {
                let age = self.clock.now().saturating_sub(mine.at);
                alive.plus(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
            }
            _ => alive,
        }
    }
}

/// What etcd holds.
struct Record {
    floor: Option<UnixMillis>,
    floor_revision: i64,
    alive: Option<UnixMillis>,
    alive_revision: i64,
    claims: usize,
}

impl Record {
    fn of(read: &TxnResponse) -> Result<Self, StandingError> {
        let [floor, alive, claims] = read.responses.as_slice() else { return Err(StandingError::Record) };
        let time = |response: &crate::etcd::messages::ResponseOp| {
            let Some(kv) = response.range().and_then(|range| range.kvs.first()) else { return Ok((None, 0)) };
            let bytes: [u8; 8] = kv.value.as_slice().try_into().map_err(|_| StandingError::Record)?;
            Ok((Some(UnixMillis(u64::from_be_bytes(bytes))), kv.mod_revision))
        };
        let ((floor, floor_revision), (alive, alive_revision)) = (time(floor)?, time(alive)?);
        let claims = claims.range().map_or(0, |range| usize::try_from(range.count).unwrap_or(0));
        Ok(Self { floor, floor_revision, alive, alive_revision, claims })
    }
}

fn key(name: &str) -> Vec<u8> {
    format!("{CLAIMS_PREFIX}{name}").into_bytes()
}

fn range(name: &str, count: bool) -> RequestOp {
    let request = if count { RangeRequest::prefix(&key(name)) } else { RangeRequest::one(key(name)) };
    RangeRequest { count_only: count, ..request }.into()
}

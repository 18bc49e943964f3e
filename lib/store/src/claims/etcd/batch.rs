//! The task that asks: many claims in one transaction, each deciding for itself.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use privatemode_wire::{
    replay::{Refusal, ReplayKey},
    stream::UnixMillis,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{
    CLAIMS_PREFIX, Pending, Shared,
    standing::{Keeper, Standing, StandingError},
};
use crate::{
    Clock,
    claims::ClaimFailure,
    etcd::{
        Etcd, EtcdError,
        messages::{Compare, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse},
    },
    leases::SharedLeases,
};

/// etcd takes 128 operations in a transaction unless it is told otherwise.
const BATCH: usize = 100;
const RENEW_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Batcher {
    etcd: Etcd,
    leases: SharedLeases,
    shared: Arc<Shared>,
    keeper: Keeper,
}

impl Batcher {
    pub(super) fn new(etcd: Etcd, clock: Arc<dyn Clock>, shared: Arc<Shared>) -> Self {
        let leases = SharedLeases::new(etcd.clone(), Arc::clone(&clock));
        let keeper = Keeper::new(etcd.clone(), clock, Arc::clone(&shared));
        Self { etcd, leases, shared, keeper }
    }

    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Pending>) {
        let mut renewal = interval(RENEW_EVERY);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                _ = renewal.tick() => {
                    let _told_elsewhere = self.renew().await;
                }
                received = waiting.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        return;
                    }
                    self.answer(std::mem::take(&mut batch)).await;
                }
            }
        }
    }

    async fn renew(&mut self) -> Result<Standing, Arc<StandingError>> {
        let renewed = self.keeper.renew().await.map_err(Arc::new);
        self.shared.set_trouble(renewed.as_ref().err().map(ToString::to_string));
        if let Err(error) = &renewed {
            tracing::warn!(%error, "no claim can be granted");
        }
        renewed
    }

    async fn answer(&mut self, batch: Vec<Pending>) {
        let standing = match self.keeper.fresh() {
            Some(standing) => Ok(standing),
            None => self.renew().await,
        };
        match standing {
            Ok(standing) => self.claim(standing, batch).await,
            Err(error) => refuse_all(batch, || ClaimFailure::Unavailable(Of(Arc::clone(&error)).into())),
        }
    }

    async fn claim(&mut self, standing: Standing, batch: Vec<Pending>) {
        let batch = self.admit(standing, batch);
        if batch.is_empty() {
            return;
        }
        let done = match self.create(&batch).await {
            Ok(done) => done,
            Err(error) => {
                let error = Arc::new(error);
                // what may have been done stays claimed: nobody is told that it was not
                return refuse_all(batch, || ClaimFailure::Unavailable(Of(Arc::clone(&error)).into()));
            }
        };
        if !self.keeper.note(done.header) {
            let server_time = (self.shared.now)();
            let not_before = server_time.plus(self.shared.limits.future);
            let refusal = Refusal::BeforeStart { server_time, not_before };
            return refuse_all(batch, || ClaimFailure::Refused(refusal));
        }
        for (number, Pending { answer, holder, .. }) in batch.into_iter().enumerate() {
            // a caller that has left claimed it nevertheless
            let _gone = answer.send(outcome(&done, number, &holder));
        }
    }

    /// What this process can decide by itself.
    fn admit(&self, standing: Standing, batch: Vec<Pending>) -> Vec<Pending> {
        let now = (self.shared.now)();
        let mut memory = self.shared.memory();
        let mut check = |key: &ReplayKey, sent: UnixMillis| {
            if sent < standing.floor {
                return Err(Refusal::BeforeStart { server_time: now, not_before: standing.floor });
            }
            if standing.full {
                return Err(Refusal::Full);
            }
            memory.claim(key, sent, now)
        };
        let mut admitted = Vec::with_capacity(batch.len());
        for pending in batch {
            match check(&pending.key, pending.sent) {
                Ok(()) => admitted.push(pending),
                Err(refusal) => {
                    let _gone = pending.answer.send(Err(ClaimFailure::Refused(refusal)));
                }
            }
        }
        admitted
    }

    /// Creates those that are not there. No key is in it twice: this process's memory has seen to that.
    async fn create(&self, batch: &[Pending]) -> Result<TxnResponse, EtcdError> {
        match self.create_under_lease(batch).await {
            Err((lease, EtcdError::NoLease)) => {
                self.leases.forget(lease);
                self.create_under_lease(batch).await.map_err(|(_, error)| error)
            }
            done => done.map_err(|(_, error)| error),
        }
    }

    async fn create_under_lease(&self, batch: &[Pending]) -> Result<TxnResponse, (i64, EtcdError)> {
        // A transaction that takes longer than the lease's slice eats into what clocks may differ by, no more.
        let lease = self.leases.lease(self.shared.remember_for()).await.map_err(|error| (0, error))?.id;
        let create = |pending: &Pending| -> RequestOp {
            let key = key(&pending.key);
            let put = PutRequest { key: key.clone(), value: pending.holder.to_vec(), lease };
            TxnRequest {
                compare: vec![Compare::absent(key.clone())],
                success: vec![put.into()],
                failure: vec![RangeRequest::one(key).into()],
            }
            .into()
        };
        let request =
            TxnRequest { compare: vec![], success: batch.iter().map(create).collect(), failure: vec![] };
        // a second attempt finds the first one by its holder
        self.etcd.txn_repeatable(&request).await.map_err(|error| (lease, error))
    }
}

fn outcome(done: &TxnResponse, number: usize, holder: &[u8; 16]) -> Result<(), ClaimFailure> {
    let of = done.responses.get(number).and_then(|response| response.txn());
    let Some(of) = of else {
        let error = EtcdError::Protocol("a transaction without its answers");
        return Err(ClaimFailure::Unavailable(error.into()));
    };
    let found = || of.responses.first()?.range()?.kvs.first();
    if of.succeeded || found().is_some_and(|kv| kv.value == *holder) {
        Ok(())
    } else {
        Err(ClaimFailure::Refused(Refusal::Replayed))
    }
}

fn key(key: &ReplayKey) -> Vec<u8> {
    format!("{CLAIMS_PREFIX}r/{}", URL_SAFE_NO_PAD.encode(key.as_bytes())).into_bytes()
}

fn refuse_all(batch: Vec<Pending>, mut why: impl FnMut() -> ClaimFailure) {
    for Pending { answer, .. } in batch {
        let _gone = answer.send(Err(why()));
    }
}

/// One error for all of a batch.
struct Of<E>(Arc<E>);

impl<E: Error> fmt::Display for Of<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<E: Error> fmt::Debug for Of<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<E: Error> Error for Of<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

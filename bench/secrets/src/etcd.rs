//! Exchanges and claims over a real etcd, one at a time and many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use getrandom::{SysRng, rand_core::UnwrapErr};
use privatemode_secret_service::Secrets;
use privatemode_store::{
    EtcdSecrets, MonotonicClock,
    claims::{ClaimFailure, ClaimStore, EtcdClaims, system_now},
    etcd::{
        Etcd, EtcdError, EtcdTimeouts,
        messages::{Compare, PutRequest, RangeRequest, TxnRequest},
    },
};
use privatemode_test_kit::EtcdCluster;
use privatemode_wire::{
    SecretId,
    exchange::ClientExchange,
    replay::{Refusal, ReplayKey, ReplayLimits},
    stream::{RequestId, UnixMillis},
};
use tokio::task::JoinSet;

use crate::{MEASURE, exchange::Key};

const AT_ONCE: [usize; 3] = [1, 16, 256];

pub(crate) async fn run() -> Result<()> {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return Ok(()) };
    let urls = cluster.urls().iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>()?;
    let etcd = Etcd::new(&urls, None, EtcdTimeouts::default())?;
    show("| at once | exchanges per second | claims per second | claim, median | a transaction for each |");
    show("| ---: | ---: | ---: | ---: | ---: |");
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let clock = Arc::new(MonotonicClock::new());
    let claims = EtcdClaims::begin(
        etcd.clone(),
        ReplayLimits { share: 4_000_000, ..ReplayLimits::default() },
        system_now(),
        clock.clone(),
        seed,
    );
    let claims = Arc::new(claims);
    let sent = first_date(&claims).await?;
    let store = Arc::new(EtcdSecrets::new(etcd.clone(), clock, 1_000_000));
    let secrets = Arc::new(Secrets::new(store, Arc::new(Key::new()?), Duration::from_secs(3600)));
    for at_once in AT_ONCE {
        let exchanges = exchanges(&secrets, at_once).await?;
        let (claims, median) = claimed(&claims, sent, at_once).await?;
        let single = single(&etcd, at_once).await?;
        let median = median * 1e3;
        show(&format!("| {at_once} | {exchanges:.0} | {claims:.0} | {median:.1} ms | {single:.0} |"));
    }
    Ok(())
}

async fn first_date(claims: &EtcdClaims) -> Result<UnixMillis> {
    match claims.claim_once(&key(0), claims.now()).await {
        Err(ClaimFailure::Refused(Refusal::BeforeStart { not_before, .. })) => Ok(not_before),
        other => anyhow::bail!("a new memory begins: {other:?}"),
    }
}

fn key(number: u64) -> ReplayKey {
    let id = SecretId::of_public_key(b"bench");
    ReplayKey::new(&id, &RequestId::from_bytes(u128::from(number).to_be_bytes()))
}

async fn exchanges(secrets: &Arc<Secrets>, at_once: usize) -> Result<f64> {
    // made beforehand: the client's half is not the service's work
    let mut requests: Vec<String> =
        (0..1000).map(|_| ClientExchange::new(&mut UnwrapErr(SysRng)).request_json()).collect();
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let count = requests.len() as f64;
    let start = Instant::now();
    let mut running = JoinSet::new();
    loop {
        while running.len() < at_once
            && let Some(request) = requests.pop()
        {
            let secrets = Arc::clone(secrets);
            running.spawn(async move { secrets.exchange(request.as_bytes()).await.map(drop) });
        }
        match running.join_next().await {
            Some(done) => done??,
            None => return Ok(count / start.elapsed().as_secs_f64()),
        }
    }
}

/// Claims per second, and the median time of one in seconds.
async fn claimed(claims: &Arc<EtcdClaims>, sent: UnixMillis, at_once: usize) -> Result<(f64, f64)> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..at_once {
        let claims = Arc::clone(claims);
        running.spawn(async move {
            let mut times = Vec::new();
            while start.elapsed() < MEASURE {
                let key = key(NEXT.fetch_add(1, Ordering::Relaxed));
                let began = Instant::now();
                claims.claim_once(&key, sent).await?;
                times.push(began.elapsed().as_secs_f64());
            }
            Ok::<_, ClaimFailure>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = running.join_next().await {
        times.extend(done??);
    }
    times.sort_by(f64::total_cmp);
    let median = *times.get(times.len() / 2).context("some claims were granted")?;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok((times.len() as f64 / start.elapsed().as_secs_f64(), median))
}

/// The same keys without batches: creations per second, each in a transaction of its own.
async fn single(etcd: &Etcd, at_once: usize) -> Result<f64> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..at_once {
        let etcd = etcd.clone();
        running.spawn(async move {
            let mut done = 0_u32;
            while start.elapsed() < MEASURE {
                let key = format!("single/{:043}", NEXT.fetch_add(1, Ordering::Relaxed)).into_bytes();
                let put = PutRequest { key: key.clone(), value: vec![7; 16], lease: 0 };
                let create = TxnRequest {
                    compare: vec![Compare::absent(key.clone())],
                    success: vec![put.into()],
                    failure: vec![RangeRequest::one(key).into()],
                };
                etcd.txn_repeatable(&create).await?;
                done += 1;
            }
            Ok::<_, EtcdError>(done)
        });
    }
    let mut all = 0;
    while let Some(done) = running.join_next().await {
        all += done??;
    }
    Ok(f64::from(all) / start.elapsed().as_secs_f64())
}

fn show(line: &str) {
    println!("{line}");
}

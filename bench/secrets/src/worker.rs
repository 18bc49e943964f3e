//! Many live secrets in a worker.

use std::{hint::black_box, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use privatemode_inference_proxy::{Found, Metrics, SecretCache, StoreSource};
use privatemode_service::metrics::Registry;
use privatemode_store::{Embedded, MonotonicClock};
use privatemode_wire::{Secret, SecretId};

use crate::rate;

/// What every secret has at least.
const KEY_MATERIAL: i64 = 32;

pub(crate) async fn run(count: u32) -> Result<()> {
    let clock = Arc::new(MonotonicClock::new());
    let nobody = Arc::new(StoreSource::new(Arc::new(Embedded::new(clock.clone(), 0))));
    let cache = SecretCache::new(nobody, clock, 100_000, Metrics::new(&Registry::new()));
    let resident = resident()?;
    let memory = allocation_counter::measure(|| {
        for number in 0..count {
            let secret = Secret::init(32, |bytes| bytes.fill(7)).expect("32 is a legal length");
            cache.insert(id(number), Found { secret, expires_in: Duration::from_secs(3600) });
        }
    });
    let resident = (self::resident()? - resident) / i64::from(count);
    let each = memory.bytes_current / i64::from(count);
    // in an order that no cache of the processor likes
    let ids: Vec<SecretId> =
        (0..count).map(|number| id(number.wrapping_mul(2_654_435_761) % count)).collect();
    let mut ids = ids.iter().cycle();
    let lookups = rate(|| {
        for _ in 0..100 {
            let id = ids.next().context("there are some")?;
            let found = cache.get(id).now_or_never().context("it is in memory")?;
            black_box(found.ok().flatten().context("it is there")?);
        }
        Ok(())
    })?;
    let lookup = 1e9 / (lookups * 100.0);
    println!("| {count} | {lookup:.0} ns | {} | {} |", each - KEY_MATERIAL, resident - KEY_MATERIAL);
    Ok(())
}

/// As long as ours are: 44 characters.
fn id(number: u32) -> SecretId {
    SecretId::of_public_key(&number.to_be_bytes())
}

/// Bytes of this process in memory.
fn resident() -> Result<i64> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: i64 = text.split(' ').nth(1).context("statm has two numbers")?.parse()?;
    Ok(pages * 4096)
}

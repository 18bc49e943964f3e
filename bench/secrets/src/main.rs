//! What secrets cost, in one run on one machine: exchanges beside bare HPKE, lookups and memory of a worker with many
//! secrets, and claims over a real etcd.
//!
//! ```sh
//! cargo run --release -p bench-secrets
//! ```
//!
//! Everything but etcd runs on one thread, so that a rate is a rate per core. Prints Markdown; asserts no times. Without an
//! etcd its rows are left out.

#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

mod etcd;
mod exchange;
mod worker;

use std::time::{Duration, Instant};

use anyhow::Result;

/// Long enough for thousands of exchanges.
const MEASURE: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    println!("## Exchanges, one core\n");
    println!("| | per second | of bare HPKE |");
    println!("| --- | ---: | ---: |");
    exchange::run().await?;
    println!("\n## A worker's secrets\n");
    println!("| secrets | lookup | bytes per secret above its 32 | of them resident |");
    println!("| ---: | ---: | ---: | ---: |");
    for count in [1_000, 10_000, 100_000] {
        worker::run(count).await?;
    }
    println!("\n## etcd, one member on this disk\n");
    etcd::run().await
}

/// Calls per second of `work`.
fn rate(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut done = 0_u32;
    while start.elapsed() < MEASURE {
        work()?;
        done += 1;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

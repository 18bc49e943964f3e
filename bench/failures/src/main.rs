//! Three coordinators, three secret services on three members of etcd, two workers, a gateway and a client proxy, each a
//! process of its own on this machine; a load of small requests and of key exchanges; and one member after the other fails.
//!
//! ```sh
//! cargo build --release --bin privatemode && cargo run --release -p bench-failures
//! ```
//!
//! Prints for each fault how many requests were sent and failed, the longest time without a success, and at the end how many
//! secrets that were acknowledged are not in etcd. The engine is a stub that answers at once. Evidence is SIMULATED.
//! Needs etcd (Debian: etcd-server). Asserts nothing.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

mod faults;
mod forward;
mod load;
mod secrets;
mod stack;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

/// What to run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The program `privatemode` [default: beside this one]
    #[arg(long)]
    program: Option<PathBuf>,
    /// Requests that are under way at a time
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Seconds of load before a fault, while it lasts, and after it, each
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only the faults whose names contain this
    #[arg(long, default_value = "")]
    only: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // reqwest brings none of its own
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("privatemode"),
    };
    anyhow::ensure!(
        program.exists(),
        "`{}` is not there: build it first, `cargo build --release --bin privatemode`",
        program.display()
    );
    let Some(mut stack) = stack::Stack::start(&program).await? else { return Ok(()) };
    let load = load::Load::start(&stack.endpoint, &stack.key, arguments.connections);
    let exchanges = secrets::Exchanges::start(&stack.gateway_url, &stack.key, &stack.roots)?;
    // the memory of claims is young: clients date their requests anew for two minutes, at the cost of a second round trip
    load.settle().await.context("the stack never answered")?;
    println!("| fault | requests | failed | longest gap, s | secrets exchanged | refused |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    let pause = Duration::from_secs(arguments.seconds);
    for fault in faults::ALL {
        if fault.name().contains(&arguments.only) {
            let (before, exchanged) = (load.mark(), exchanges.mark());
            fault.happen(&mut stack, pause).await.with_context(|| fault.name())?;
            tokio::time::sleep(pause).await;
            let seen = load.since(&before);
            let (acknowledged, refused) = exchanges.since(&exchanged);
            println!(
                "| {} | {} | {} | {:.2} | {acknowledged} | {refused} |",
                fault.name(),
                seen.requests,
                seen.failed,
                seen.gap.as_secs_f64()
            );
            for (reason, count) in seen.reasons {
                eprintln!("    {count} × {reason}");
            }
        }
    }
    let acknowledged = exchanges.stop();
    let lost = secrets::missing(&stack.etcd_urls, &acknowledged).await?;
    println!("\nsecrets acknowledged: {}, of these not in etcd: {lost}", acknowledged.len());
    load.stop();
    Ok(())
}

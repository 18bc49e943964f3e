//! What the path costs, measured against the same upstream without it, in one run on one machine.
//!
//! ```sh
//! cargo build --release --bin privatemode && cargo run --release -p bench-path
//! ```
//!
//! The upstream answers at once. Each request is a 1 KiB chat request with a unary answer; the same client asks the upstream
//! directly and through client proxy, gateway and inference proxy. Prints Markdown; asserts nothing.

mod load;
mod stack;
mod upstream;

use std::time::Duration;

use anyhow::Result;

use load::{Figures, Target};
use stack::Stack;

/// Long enough for thousands of requests, short enough for a coffee.
const MEASURE: Duration = Duration::from_secs(8);
const WARM_UP: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<()> {
    let upstream = upstream::start().await?;
    let stack = Stack::start(&upstream).await?;
    let direct = Target { address: upstream.clone(), key: String::new() };
    let through = Target { address: stack.endpoint.clone(), key: stack.api_key.clone() };
    let idle = stack.memory();

    say("| connections | way | p50 | p99 | requests/s |");
    say("| --- | --- | --- | --- | --- |");
    let mut added = Vec::new();
    for connections in [1, 64] {
        let plain = load::run(&direct, connections, WARM_UP, MEASURE).await?;
        let sealed = load::run(&through, connections, WARM_UP, MEASURE).await?;
        row(connections, "upstream directly", &plain);
        row(connections, "through the path", &sealed);
        added.push((connections, plain, sealed));
    }
    say("");
    for (connections, plain, sealed) in added {
        let p50 = sealed.p50.saturating_sub(plain.p50);
        let p99 = sealed.p99.saturating_sub(plain.p99);
        say(&format!(
            "added at {connections} connections: p50 {}, p99 {}",
            milliseconds(p50),
            milliseconds(p99)
        ));
    }
    let loaded = stack.memory();
    say("\n| process | resident when ready | after the load |");
    say("| --- | --- | --- |");
    for (name, before) in &idle {
        let after = loaded.iter().find(|(other, _)| other == name).map_or(0, |(_, kib)| *kib);
        say(&format!("| {name} | {} KiB | {after} KiB |", before));
    }
    say(&format!(
        "\nstart to ready (verified, first answer through the path): {}",
        milliseconds(stack.start_to_ready)
    ));
    say(&format!("size of the `privatemode` program: {} KiB", stack.program_size / 1024));
    stack.stop().await
}

fn row(connections: usize, way: &str, figures: &Figures) {
    let Figures { p50, p99, per_second, failed } = figures;
    let failed = if *failed > 0 { format!(" ({failed} failed)") } else { String::new() };
    say(&format!(
        "| {connections} | {way} | {} | {} | {per_second:.0}{failed} |",
        milliseconds(*p50),
        milliseconds(*p99)
    ));
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn say(line: &str) {
    println!("{line}");
}

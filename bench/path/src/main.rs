//! What the path costs, measured against the same upstream without it, in one run on one machine.
//!
//! ```sh
//! cargo build --release --bin privatemode && cargo run --release -p bench-path
//! ```
//!
//! The upstream answers at once. Each request is a chat request with a unary answer; the same client asks the upstream directly
//! and through client proxy, gateway and inference proxy, with the compatible and with the sealed protocol. Prints Markdown;
//! asserts nothing.

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

/// Connections and bytes of a request.
const LOADS: [(usize, usize); 4] = [(1, 1 << 10), (64, 1 << 10), (16, 64 << 10), (4, 1 << 20)];
const PROTOCOLS: [&str; 2] = ["compatible", "sealed"];

#[tokio::main]
async fn main() -> Result<()> {
    let upstream = upstream::start().await?;
    let direct = Target { address: upstream.clone(), key: String::new() };
    say("| body | connections | way | p50 | p99 | requests/s | added p50 | added p99 |");
    say("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let mut plain = Vec::new();
    for (connections, length) in LOADS {
        let figures = load::run(&direct, connections, length, WARM_UP, MEASURE).await?;
        row(connections, length, "upstream directly", &figures, None);
        plain.push(figures);
    }
    let mut after = Vec::new();
    for protocol in PROTOCOLS {
        let stack = Stack::start(&upstream, protocol).await?;
        let idle = stack.memory();
        let through = Target { address: stack.endpoint.clone(), key: stack.api_key.clone() };
        for ((connections, length), plain) in LOADS.into_iter().zip(&plain) {
            let figures = load::run(&through, connections, length, WARM_UP, MEASURE).await?;
            row(connections, length, protocol, &figures, Some(plain));
        }
        after.push((protocol, idle, stack.memory(), stack.start_to_ready, stack.program_size));
        stack.stop().await?;
    }
    for (protocol, idle, loaded, start_to_ready, program_size) in after {
        say(&format!("\n| process ({protocol}) | resident when ready | after the load |"));
        say("| --- | --- | --- |");
        for (name, before) in &idle {
            let after = loaded.iter().find(|(other, _)| other == name).map_or(0, |(_, kib)| *kib);
            say(&format!("| {name} | {before} KiB | {after} KiB |"));
        }
        say(&format!(
            "\nstart to ready (verified, first answer through the path): {}",
            milliseconds(start_to_ready)
        ));
        say(&format!("size of the `privatemode` program: {} KiB", program_size / 1024));
    }
    Ok(())
}

fn row(connections: usize, length: usize, way: &str, figures: &Figures, plain: Option<&Figures>) {
    let Figures { p50, p99, per_second, failed } = figures;
    let failed = if *failed > 0 { format!(" ({failed} failed)") } else { String::new() };
    let added = plain.map_or(["–".to_owned(), "–".to_owned()], |plain| {
        [milliseconds(p50.saturating_sub(plain.p50)), milliseconds(p99.saturating_sub(plain.p99))]
    });
    say(&format!(
        "| {} KiB | {connections} | {way} | {} | {} | {per_second:.0}{failed} | {} | {} |",
        length / 1024,
        milliseconds(*p50),
        milliseconds(*p99),
        added[0],
        added[1]
    ));
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn say(line: &str) {
    println!("{line}");
}

//! What the path costs, measured against the same upstream without it, in one run on one machine.
//!
//! ```sh
//! cargo build --release --bin privatemode && cargo run --release -p bench-path -- [STREAMS]
//! ```
//!
//! The upstream answers at once. The same client asks it directly and through client proxy, gateway and inference proxy, with the
//! compatible and with the sealed protocol: unary answers, streamed answers (each delta says when it was sent), and STREAMS
//! (1000) streams that stay open. Prints Markdown; asserts nothing.

mod load;
mod stack;
mod streams;
mod upstream;

use std::time::Duration;

use anyhow::{Context, Result};

use load::{Figures, Target};
use stack::{Part, Stack};
use streams::{Delays, Held};

/// Long enough for thousands of requests, short enough for a coffee.
const MEASURE: Duration = Duration::from_secs(8);
const WARM_UP: Duration = Duration::from_secs(2);

/// Connections and bytes of a request.
const LOADS: [(usize, usize); 4] = [(1, 1 << 10), (64, 1 << 10), (16, 64 << 10), (4, 1 << 20)];
const PROTOCOLS: [&str; 2] = ["compatible", "sealed"];

/// Streams at a time.
const STREAMS: [usize; 2] = [1, 64];
const DELTAS: u64 = 400;
const GAP: Duration = Duration::from_millis(10);
/// Streams that stay open, unless another number is given: four file descriptors each.
const HELD: usize = 1000;

struct Table {
    unary: Vec<String>,
    deltas: Vec<String>,
    held: Vec<String>,
    memory: Vec<String>,
    start: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let held =
        std::env::args().nth(1).map(|streams| streams.parse()).transpose().context("STREAMS is a number")?;
    let held = held.unwrap_or(HELD);
    let upstream = upstream::start().await?;
    let direct = Target { address: upstream.clone(), key: String::new() };
    let mut table = Table { unary: vec![], deltas: vec![], held: vec![], memory: vec![], start: vec![] };
    let (mut plain, mut plain_delays) = (Vec::new(), Vec::new());
    for (connections, length) in LOADS {
        let figures = load::run(&direct, connections, length, WARM_UP, MEASURE).await?;
        table.unary.push(row(
            connections,
            length,
            "upstream directly",
            &figures,
            None,
            ["–", "–"].map(str::to_owned),
        ));
        plain.push(figures);
    }
    for streams in STREAMS {
        let delays = streams::delays(&direct, streams, DELTAS, GAP).await?;
        table.deltas.push(delay_row(streams, "upstream directly", &delays, None));
        plain_delays.push(delays);
    }
    for protocol in PROTOCOLS {
        let stack = Stack::start(&upstream, protocol).await?;
        let through = Target { address: stack.endpoint.clone(), key: stack.api_key.clone() };
        let idle = stack.parts();
        for ((connections, length), plain) in LOADS.into_iter().zip(&plain) {
            let (before, wire_before) = (stack.parts(), stack.wire().await);
            let figures = load::run(&through, connections, length, WARM_UP, MEASURE).await?;
            let wire = stack.wire().await.zip(wire_before);
            let costs =
                [per_request(&before, &stack.parts(), figures.sent), per_byte(wire, length, figures.sent)];
            table.unary.push(row(connections, length, protocol, &figures, Some(plain), costs));
        }
        for (streams, plain) in STREAMS.into_iter().zip(&plain_delays) {
            let delays = streams::delays(&through, streams, DELTAS, GAP).await?;
            table.deltas.push(delay_row(streams, protocol, &delays, Some(plain)));
        }
        let loaded = stack.parts();
        let open = Held::open(&through, held, Duration::from_secs(60)).await?;
        let holding = stack.parts();
        let failed = open.finish().await;
        table.held.extend(held_rows(protocol, held, failed, &loaded, &holding));
        table.memory.extend(memory_rows(protocol, &idle, &loaded));
        table.start.push(format!(
            "Start to ready with `--protocol {protocol}` (verified, first answer through the path): {}; the program has {} KiB.",
            milliseconds(stack.start_to_ready),
            stack.program_size / 1024
        ));
        stack.stop().await?;
    }
    table.print();
    Ok(())
}

impl Table {
    fn print(&self) {
        say(
            "| body | connections | way | p50 | p99 | requests/s | added p50 | added p99 | CPU per request | wire per byte |",
        );
        say("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        self.unary.iter().for_each(|line| say(line));
        say("\n| streams | way | delay of a delta p50 | p99 | added p50 | added p99 | deltas |");
        say("| ---: | --- | ---: | ---: | ---: | ---: | ---: |");
        self.deltas.iter().for_each(|line| say(line));
        say("\n| open streams | way | process | KiB for each |");
        say("| ---: | --- | --- | ---: |");
        self.held.iter().for_each(|line| say(line));
        say("\n| process | way | resident when ready | after the load |");
        say("| --- | --- | ---: | ---: |");
        self.memory.iter().for_each(|line| say(line));
        say("");
        self.start.iter().for_each(|line| say(line));
    }
}

fn row(
    connections: usize,
    length: usize,
    way: &str,
    figures: &Figures,
    plain: Option<&Figures>,
    [cpu, wire]: [String; 2],
) -> String {
    let Figures { p50, p99, per_second, failed, .. } = figures;
    let failed = if *failed > 0 { format!(" ({failed} failed)") } else { String::new() };
    let added = plain.map_or(["–".to_owned(), "–".to_owned()], |plain| {
        [milliseconds(p50.saturating_sub(plain.p50)), milliseconds(p99.saturating_sub(plain.p99))]
    });
    format!(
        "| {} KiB | {connections} | {way} | {} | {} | {per_second:.0}{failed} | {} | {} | {cpu} | {wire} |",
        length / 1024,
        milliseconds(*p50),
        milliseconds(*p99),
        added[0],
        added[1]
    )
}

/// Processor time of all parts together.
fn per_request(before: &[Part], after: &[Part], requests: usize) -> String {
    let sum = |parts: &[Part]| parts.iter().map(|part| part.cpu).sum::<Duration>();
    let micros = sum(after).saturating_sub(sum(before)).as_micros() as f64 / requests.max(1) as f64;
    format!("{micros:.0} µs")
}

/// Bytes between client proxy and gateway for each byte of the requests' bodies.
fn per_byte(wire: Option<((u64, u64), (u64, u64))>, length: usize, requests: usize) -> String {
    // connections that closed in between take their counts along
    let sent = wire.and_then(|((after, _), (before, _))| after.checked_sub(before));
    let plain = length as f64 * requests as f64;
    sent.map_or_else(|| "not known".to_owned(), |sent| format!("{:.3}", sent as f64 / plain))
}

fn delay_row(streams: usize, way: &str, delays: &Delays, plain: Option<&Delays>) -> String {
    let added = plain.map_or(["–".to_owned(), "–".to_owned()], |plain| {
        [
            microseconds(delays.p50.saturating_sub(plain.p50)),
            microseconds(delays.p99.saturating_sub(plain.p99)),
        ]
    });
    let Delays { p50, p99, deltas } = delays;
    let (p50, p99) = (microseconds(*p50), microseconds(*p99));
    format!("| {streams} | {way} | {p50} | {p99} | {} | {} | {deltas} |", added[0], added[1])
}

fn held_rows(
    protocol: &str,
    streams: usize,
    failed: usize,
    before: &[Part],
    holding: &[Part],
) -> Vec<String> {
    let failed = if failed > 0 { format!(" ({failed} failed)") } else { String::new() };
    let of = |part: &Part| {
        let before =
            before.iter().find(|other| other.name == part.name).map_or(0, |other| other.resident_kib);
        part.resident_kib.saturating_sub(before) as f64 / streams.max(1) as f64
    };
    let line = |name: &str, kib: f64| format!("| {streams}{failed} | {protocol} | {name} | {kib:.1} |");
    let mut lines: Vec<String> = holding.iter().map(|part| line(&part.name, of(part))).collect();
    lines.push(line("all", holding.iter().map(of).sum()));
    lines
}

fn memory_rows(protocol: &str, idle: &[Part], loaded: &[Part]) -> Vec<String> {
    let after = |name: &str| loaded.iter().find(|part| part.name == name).map_or(0, |part| part.resident_kib);
    let line = |part: &Part| {
        let Part { name, resident_kib, .. } = part;
        format!("| {name} | {protocol} | {resident_kib} KiB | {} KiB |", after(name))
    };
    idle.iter().map(line).collect()
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1000.0)
}

fn microseconds(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1e6)
}

#[expect(clippy::print_stdout, reason = "the figures are this program's output")]
fn say(line: &str) {
    println!("{line}");
}

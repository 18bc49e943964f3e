//! A closed loop: each connection sends its next request when the answer to the last one is complete.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) key: String,
}

pub(crate) struct Figures {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) per_second: f64,
    pub(crate) failed: usize,
    /// Requests, those of the warming up too.
    pub(crate) sent: usize,
}

/// The value below which `share` of the sorted `times` lie.
pub(crate) fn share(times: &[Duration], share: f64) -> Duration {
    times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default()
}

/// Loads `target` from `connections` connections with requests of `length` bytes, and measures after `warm_up`.
pub(crate) async fn run(
    target: &Target,
    connections: usize,
    length: usize,
    warm_up: Duration,
    measure: Duration,
) -> Result<Figures> {
    let body = Bytes::from(request_body(length));
    let begin = Instant::now() + warm_up;
    let end = begin + measure;
    let mut tasks = Vec::new();
    for _ in 0..connections {
        tasks.push(tokio::spawn(connection(
            target.address.clone(),
            target.key.clone(),
            body.clone(),
            begin,
            end,
        )));
    }
    let (mut times, mut failed, mut sent) = (Vec::new(), 0, 0);
    for task in tasks {
        let of_one = task.await??;
        times.extend(of_one.times);
        failed += of_one.failed;
        sent += of_one.sent;
    }
    times.sort_unstable();
    Ok(Figures {
        p50: share(&times, 0.5),
        p99: share(&times, 0.99),
        per_second: times.len() as f64 / measure.as_secs_f64(),
        failed,
        sent,
    })
}

/// What one connection saw.
#[derive(Default)]
struct OfOne {
    times: Vec<Duration>,
    failed: usize,
    sent: usize,
}

async fn connection(
    address: String,
    key: String,
    body: Bytes,
    begin: Instant,
    end: Instant,
) -> Result<OfOne> {
    let stream = TcpStream::connect(&address).await.with_context(|| format!("cannot reach {address}"))?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut seen = OfOne::default();
    while Instant::now() < end {
        let request = Request::post("/v1/chat/completions")
            .header("host", &address)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {key}"))
            .body(Full::new(body.clone()))?;
        let sent = Instant::now();
        let response = sender.send_request(request).await?;
        let good = response.status().is_success();
        response.into_body().collect().await?;
        seen.sent += 1;
        if sent >= begin {
            if good { seen.times.push(sent.elapsed()) } else { seen.failed += 1 }
        }
    }
    Ok(seen)
}

/// A chat request of `length` bytes.
fn request_body(length: usize) -> Vec<u8> {
    let empty = serde_json::json!({"model": "instant", "messages": [{"role": "user", "content": ""}]})
        .to_string()
        .len();
    let content = "x".repeat(length.saturating_sub(empty));
    serde_json::json!({"model": "instant", "messages": [{"role": "user", "content": content}]})
        .to_string()
        .into_bytes()
}

//! Resident memory of real processes while much passes through them. The figures are printed; the bound is generous, so that
//! noise does not fail it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use privatemode_test_kit::{Recorded, Reply, StubUpstream};
use serde_json::json;

use crate::harness::{Up, skipped};

const PARTS: [&str; 3] = ["proxy", "gateway", "inference-proxy"];
/// Above idle. The aim is 4 MiB; allocators and a busy machine get the rest.
const BOUND: u64 = 64 << 20;

/// The highest resident memory of each part while `work` runs, above what it was before.
async fn growth<T>(up: &Up, work: impl Future<Output = T>) -> (Vec<u64>, T) {
    let idle: Vec<u64> = PARTS.iter().map(|part| up.resident(part)).collect();
    let pids: Vec<u32> = PARTS.iter().map(|part| up.pid_of(part)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let watch = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || {
            let mut peaks = vec![0; pids.len()];
            while !over.load(Ordering::Relaxed) {
                for (peak, pid) in peaks.iter_mut().zip(&pids) {
                    *peak = (*peak).max(crate::harness::resident_of(*pid));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            peaks
        })
    };
    let outcome = work.await;
    over.store(true, Ordering::Relaxed);
    let peaks = tokio::task::spawn_blocking(move || watch.join().unwrap()).await.unwrap();
    (peaks.iter().zip(&idle).map(|(peak, idle)| peak.saturating_sub(*idle)).collect(), outcome)
}

fn report(what: &str, growth: &[u64]) {
    let figures: Vec<String> = PARTS
        .iter()
        .zip(growth)
        .map(|(part, bytes)| format!("{part} +{:.1} MiB", *bytes as f64 / f64::from(1 << 20)))
        .collect();
    let line = format!("\nresident memory above idle, {what}: {}\n", figures.join(", "));
    // Past the capture of a passing test: the figures are what it is for.
    let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), line.as_bytes());
    for (part, bytes) in PARTS.iter().zip(growth) {
        assert!(*bytes <= BOUND, "{what}: the {part} grew by {bytes} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_and_a_long_stream_pass_through_little_memory() {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub", "unstructured"]));
    upstream.on("/unstructured/general/v0/general", Reply::json(200, "[]".to_owned()));
    let up = Up::start(&["--upstream", &upstream.url()]);
    if up.resident("proxy") == 0 {
        return skipped("memory", "this system has no /proc");
    }
    up.settled().await;

    let length = 128 << 20;
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let body = reqwest::Body::wrap(Pieces { piece, left: length });
    let request = Up::client()
        .post(up.endpoint().replace("/v1", "/unstructured/general/v0/general"))
        .bearer_auth(up.api_key())
        .timeout(Duration::from_secs(300))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(body);
    let (upload, answer) = growth(&up, request.send()).await;
    let answer = answer.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    // Not the last request of all: the gateway asks for models every few seconds.
    let documents = |request: &Recorded| request.path.ends_with("/general/v0/general");
    let got = upstream.requests().into_iter().rfind(documents).unwrap();
    assert_eq!(got.body.len(), length);

    let words: Vec<&str> = std::iter::repeat_n("word ", 20_000).collect();
    upstream.on("/v1/chat/completions", Reply::chat_stream(&words, true));
    let chat = json!({"model": "stub", "stream": true, "messages": []});
    let request = up.post("/chat/completions", chat.to_string()).timeout(Duration::from_secs(300));
    let (stream, events) = growth(&up, async {
        let mut answer = request.send().await.unwrap();
        let mut events = 0;
        while let Some(chunk) = answer.chunk().await.unwrap() {
            events += chunk.windows(2).filter(|window| window == b"\n\n").count();
        }
        events
    })
    .await;
    assert!(events > 20_000, "{events}");
    report("128 MiB upload", &upload);
    report("20,000 events", &stream);
}

/// So much, without ever holding it.
struct Pieces {
    piece: bytes::Bytes,
    left: usize,
}

impl http_body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        let piece = self.piece.slice(..self.left.min(self.piece.len()));
        self.left -= piece.len();
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }
}

//! Streamed answers: how late a delta is, and what an open stream holds.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::load::{Target, share};
use crate::upstream::{Wish, now};

/// How late deltas are.
pub(crate) struct Delays {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) deltas: usize,
}

/// Reads `streams` answers at a time to their ends, and takes the delay of every delta but the first of each stream.
pub(crate) async fn delays(target: &Target, streams: usize, deltas: u64, gap: Duration) -> Result<Delays> {
    let gap_us = u64::try_from(gap.as_micros())?;
    let mut readers = JoinSet::new();
    for number in 0..streams {
        let (target, wish) = (target.clone(), Wish { deltas, gap_us, hold_us: 0 });
        // spread over one gap: engines do not speak for all their streams at once
        let offset = gap * u32::try_from(number)? / u32::try_from(streams)?;
        readers.spawn(async move {
            tokio::time::sleep(offset).await;
            let mut answer = open(&target, wish).await?;
            read(&mut answer).await
        });
    }
    let mut all = Vec::new();
    while let Some(read) = readers.join_next().await {
        let read = read??;
        if read.len() as u64 != deltas {
            bail!("a stream of {deltas} deltas brought {}", read.len());
        }
        all.extend(read.into_iter().skip(1));
    }
    all.sort_unstable();
    Ok(Delays { p50: share(&all, 0.5), p99: share(&all, 0.99), deltas: all.len() })
}

/// Streams that stay open, each after its first delta.
pub(crate) struct Held(JoinSet<Result<()>>);

impl Held {
    /// Opens `streams` of them, a few at a time, and returns once each has had its delta.
    pub(crate) async fn open(target: &Target, streams: usize, hold: Duration) -> Result<Self> {
        const AT_A_TIME: usize = 64;
        let hold_us = u64::try_from(hold.as_micros())?;
        let (opened, mut waiting) = tokio::sync::mpsc::channel(AT_A_TIME);
        let mut readers = JoinSet::new();
        for number in 0..streams {
            if number >= AT_A_TIME {
                // a reader that failed never reports: its error is what matters
                tokio::select! {
                    Some(()) = waiting.recv() => {}
                    Some(ended) = readers.join_next() => ended??,
                }
            }
            let (target, opened) = (target.clone(), opened.clone());
            readers.spawn(async move {
                let mut answer = open(&target, Wish { deltas: 1, gap_us: 0, hold_us }).await?;
                answer.frame().await.context("the stream ended before its first delta")??;
                let _ = opened.send(()).await;
                read(&mut answer).await.map(drop)
            });
        }
        for _ in 0..streams.min(AT_A_TIME) {
            tokio::select! {
                Some(()) = waiting.recv() => {}
                Some(ended) = readers.join_next() => ended??,
            }
        }
        Ok(Self(readers))
    }

    /// Waits for all of them; how many did not end well.
    pub(crate) async fn finish(mut self) -> usize {
        let mut failed = 0;
        while let Some(ended) = self.0.join_next().await {
            failed += usize::from(!matches!(ended, Ok(Ok(()))));
        }
        failed
    }
}

async fn open(target: &Target, wish: Wish) -> Result<Incoming> {
    let stream = TcpStream::connect(&target.address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = serde_json::json!({
        "model": "instant", "messages": [{"role": "user", "content": "go"}], "stream": true,
        "stream_options": {"include_usage": true},
        "deltas": wish.deltas, "gap_us": wish.gap_us, "hold_us": wish.hold_us,
    });
    let request = Request::post("/v1/chat/completions")
        .header("host", &target.address)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {}", target.key))
        .body(Full::new(Bytes::from(body.to_string())))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    if !status.is_success() {
        let body = response.into_body().collect().await?.to_bytes();
        bail!("{status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(response.into_body())
}

/// The delay of each delta, in the order of their arrival.
async fn read(answer: &mut Incoming) -> Result<Vec<Duration>> {
    const MARK: &[u8] = b"\"content\":\"";
    let (mut delays, mut text, mut done) = (Vec::new(), Vec::new(), false);
    while let Some(frame) = answer.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let arrived = now();
        text.extend_from_slice(&data);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            done |= event.starts_with(b"data: [DONE]");
            let Some(at) = event.windows(MARK.len()).position(|window| window == MARK) else { continue };
            let digits: Vec<u8> =
                event.iter().skip(at + MARK.len()).copied().take_while(u8::is_ascii_digit).collect();
            let sent: u64 = String::from_utf8(digits)?.parse().context("a delta without its time")?;
            delays.push(Duration::from_nanos(arrived.saturating_sub(sent)));
        }
    }
    if !done {
        bail!("a stream ended without its end mark");
    }
    Ok(delays)
}

//! Small chat requests through the client proxy, a few at a time, for as long as it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;

/// Between two requests of one connection: the machine is shared with everything that is measured.
const PAUSE: Duration = Duration::from_millis(20);
/// A request that takes longer counts as failed.
const LIMIT: Duration = Duration::from_secs(30);

/// One request that ended.
#[derive(Clone)]
struct Ended {
    at: Instant,
    failed: Option<String>,
}

/// The running load.
pub(crate) struct Load {
    ended: Arc<Mutex<Vec<Ended>>>,
    tasks: JoinSet<()>,
}

/// A moment in it.
pub(crate) struct Mark {
    index: usize,
    at: Instant,
}

/// What happened since.
pub(crate) struct Seen {
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    /// Longest time without a request that succeeded.
    pub(crate) gap: Duration,
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl Load {
    pub(crate) fn start(endpoint: &str, key: &str, connections: usize) -> Self {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let client =
            reqwest::Client::builder().no_proxy().timeout(LIMIT).build().expect("no settings to be wrong");
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (client, ended) = (client.clone(), Arc::clone(&ended));
            let (url, key) = (format!("{endpoint}/chat/completions"), key.to_owned());
            tasks.spawn(async move {
                loop {
                    let failed = ask(&client, &url, &key).await.err().map(|error| error.to_string());
                    let done = Ended { at: Instant::now(), failed };
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push(done);
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { ended, tasks }
    }

    /// Waits until requests succeed.
    pub(crate) async fn settle(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let mark = self.mark();
            tokio::time::sleep(Duration::from_secs(2)).await;
            let seen = self.since(&mark);
            if seen.requests > 10 && seen.failed == 0 {
                return Ok(());
            }
            if start.elapsed() > Duration::from_secs(60) {
                bail!("{} of {} requests fail: {:?}", seen.failed, seen.requests, seen.reasons);
            }
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        Mark { index: ended.len(), at: Instant::now() }
    }

    pub(crate) fn since(&self, mark: &Mark) -> Seen {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = ended.get(mark.index..).unwrap_or_default();
        let (mut last, mut gap, mut reasons) = (mark.at, Duration::ZERO, BTreeMap::new());
        for one in ended {
            match &one.failed {
                None => {
                    gap = gap.max(one.at.saturating_duration_since(last));
                    last = one.at;
                }
                Some(reason) => *reasons.entry(reason.clone()).or_insert(0) += 1,
            }
        }
        gap = gap.max(last.elapsed());
        Seen { requests: ended.len(), failed: reasons.values().sum(), gap, reasons }
    }

    pub(crate) fn stop(mut self) {
        self.tasks.abort_all();
    }
}

async fn ask(client: &reqwest::Client, url: &str, key: &str) -> Result<()> {
    let body = serde_json::json!({
        "model": "instant",
        "messages": [{"role": "user", "content": "x".repeat(900)}],
    });
    let answer = client.post(url).bearer_auth(key).json(&body).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if status.is_success() && text.contains("At once.") {
        return Ok(());
    }
    let error: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    bail!("{status} {}", error["error"]["code"].as_str().unwrap_or(&text))
}

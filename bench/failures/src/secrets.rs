//! Key exchanges with the gateway, one after the other. What was acknowledged must be in etcd in the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use getrandom::{SysRng, rand_core::UnwrapErr};
use privatemode_store::SECRETS_PREFIX;
use privatemode_store::etcd::{Etcd, EtcdTimeouts, messages::RangeRequest};
use privatemode_wire::exchange::ClientExchange;
use tokio::task::JoinHandle;

/// Between two exchanges.
const PAUSE: Duration = Duration::from_millis(25);
/// An exchange that takes longer counts as refused.
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Outcome {
    acknowledged: Vec<String>,
    refused: usize,
}

/// The running exchanges.
pub(crate) struct Exchanges {
    outcome: Arc<Mutex<Outcome>>,
    task: JoinHandle<()>,
}

impl Exchanges {
    pub(crate) fn start(gateway: &str, key: &str, roots: &[u8]) -> Result<Self> {
        let roots = reqwest::Certificate::from_pem(roots)?;
        let client = reqwest::Client::builder().no_proxy().timeout(LIMIT).tls_certs_only([roots]).build()?;
        let outcome = Arc::<Mutex<Outcome>>::default();
        let (url, key) = (format!("{gateway}/privatemode/v1/secret"), key.to_owned());
        let task = tokio::spawn({
            let outcome = Arc::clone(&outcome);
            async move {
                loop {
                    let acknowledged = exchange(&client, &url, &key).await;
                    {
                        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                        match acknowledged {
                            Ok(id) => outcome.acknowledged.push(id),
                            Err(_) => outcome.refused += 1,
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Ok(Self { outcome, task })
    }

    pub(crate) fn mark(&self) -> (usize, usize) {
        let outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        (outcome.acknowledged.len(), outcome.refused)
    }

    /// How many were acknowledged and refused since.
    pub(crate) fn since(&self, mark: &(usize, usize)) -> (usize, usize) {
        let now = self.mark();
        (now.0 - mark.0, now.1 - mark.1)
    }

    /// The IDs of all that were acknowledged.
    pub(crate) fn stop(self) -> Vec<String> {
        self.task.abort();
        std::mem::take(&mut self.outcome.lock().unwrap_or_else(PoisonError::into_inner).acknowledged)
    }
}

/// The ID of the secret, if the service said that it has it.
async fn exchange(client: &reqwest::Client, url: &str, key: &str) -> Result<String> {
    let exchange = ClientExchange::new(&mut UnwrapErr(SysRng));
    let (id, request) = (exchange.secret_id(), exchange.request_json());
    let answer = client.post(url).bearer_auth(key).header("content-type", "application/json").body(request);
    let answer = answer.send().await?.error_for_status()?;
    answer.bytes().await?;
    Ok(id.as_str().to_owned())
}

/// How many of these secrets are not in etcd.
pub(crate) async fn missing(urls: &[String], ids: &[String]) -> Result<usize> {
    let urls = urls.iter().map(|url| url.parse()).collect::<Result<Vec<_>, _>>()?;
    let etcd = Etcd::new(&urls, None, EtcdTimeouts::default())?;
    let mut missing = 0;
    for id in ids {
        let found = etcd.range(&RangeRequest::one(format!("{SECRETS_PREFIX}{id}"))).await?;
        missing += usize::from(found.kvs.is_empty());
    }
    Ok(missing)
}

mod attacks;
mod exchange;
mod gateway;
mod pages;
mod sealed;
mod sealed_attacks;
mod worker;

use std::{net::SocketAddr, path::Path, sync::Arc};

use http::StatusCode;
use privatemode_client::testing::Deployment;
use privatemode_service::{Process, Shutdown, parse_config};
use serde_json::Value;
use tokio::task::JoinHandle;

use self::gateway::Gateway;
use crate::Config;

const KEY: &str = "pm-good";
const CHAT: &str = "/v1/chat/completions";
const PROMPT: &str = r#"{"model":"demo","messages":[{"role":"user","content":"hi"}]}"#;

/// A gateway, a proxy in front of it, and a tool.
struct World {
    gateway: Gateway,
    proxy: SocketAddr,
    workspace: tempfile::TempDir,
    tool: reqwest::Client,
    shutdown: Shutdown,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl World {
    /// With the configured key and simulated evidence accepted.
    async fn new() -> Self {
        Self::with(Arc::new(Deployment::new("1")), &["--apiKey", KEY, "--danger-simulated"]).await
    }

    async fn with(deployment: Arc<Deployment>, flags: &[&str]) -> Self {
        let workspace = tempfile::tempdir().unwrap();
        let gateway = Gateway::start(deployment, workspace.path()).await;
        let config = config(&gateway, workspace.path(), flags);
        let shutdown = Shutdown::new();
        let (process, announced) = Process::embedded("proxy", shutdown.clone());
        let running = tokio::spawn(crate::run(config, process));
        let Ok(announcement) = announced.await else {
            panic!("the proxy did not start: {:?}", running.await);
        };
        let proxy = announcement.addresses["http"].parse().unwrap();
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default(); // another test may have
        let tool = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { gateway, proxy, workspace, tool, shutdown, running: Some(running) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy)
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.tool.get(self.url(path)).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
        answer(self.tool.post(self.url(path)).body(body)).await
    }

    async fn chat(&self) -> (StatusCode, Value) {
        self.post(CHAT, PROMPT).await
    }

    async fn stop(mut self) {
        self.shutdown.trigger();
        self.running.take().unwrap().await.unwrap().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn config(gateway: &Gateway, workspace: &Path, flags: &[&str]) -> Config {
    let endpoint = format!("localhost:{}", gateway.address.port());
    let workspace = workspace.to_str().unwrap();
    let mut arguments =
        vec!["--port=0", "--apiEndpoint", &endpoint, "--workspace", workspace, "--attestationWait=5"];
    let cdn = format!("https://{endpoint}");
    let roots = gateway.roots.to_str().unwrap().to_owned();
    if !flags.iter().any(|flag| flag.starts_with("--manifestPath")) {
        arguments.extend(["--cdnBaseURL", &cdn]);
    }
    arguments.extend(["--sslCertFile", &roots]);
    arguments.extend(flags);
    parse_config("proxy", &arguments).unwrap_or_else(|error| panic!("{error}"))
}

async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text}")))
}

/// The error's code and message, after a check of its shape.
#[track_caller]
fn fault(answer: &(StatusCode, Value)) -> (u16, &str, &str) {
    let error = &answer.1["error"];
    let names = error.as_object().map(|error| error.len());
    assert_eq!(names, Some(4), "OpenAI's shape: {answer:?}");
    assert!(error["type"].is_string());
    (answer.0.as_u16(), error["code"].as_str().unwrap_or_default(), error["message"].as_str().unwrap())
}

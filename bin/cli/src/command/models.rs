//! `privatemode models`: what a running deployment serves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::Models;
use crate::directory::DataDirectory;
use crate::output;
use crate::up::Running;

pub(crate) fn run(arguments: &Models) -> Result<()> {
    let directory = DataDirectory::locate(arguments.directory.dir.as_deref())?;
    let endpoint = match &arguments.endpoint {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None => running(&directory)?,
    };
    let key =
        key(arguments.key_file.as_deref().unwrap_or(&directory.api_key()), arguments.key_file.is_some())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let list = runtime.block_on(list(&endpoint, key.as_deref()))?;
    if arguments.json {
        output::data(&list.to_string());
        return Ok(());
    }
    let models = list["data"].as_array().context("the endpoint's answer has no list of models")?;
    let rows: Vec<Vec<String>> = models.iter().map(row).collect();
    output::data(&output::table(&["MODEL", "TASKS"], &rows));
    Ok(())
}

fn running(directory: &DataDirectory) -> Result<String> {
    let text = std::fs::read(directory.running()).with_context(|| {
        format!(
            "nothing runs in `{}`: start `privatemode up`, or give --endpoint URL (or its --dir)",
            directory.root().display()
        )
    })?;
    let running: Running =
        serde_json::from_slice(&text).context("the state of the running deployment is unreadable")?;
    Ok(running.endpoint)
}

fn key(file: &Path, asked: bool) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(key) => Ok(Some(key.trim().to_owned())),
        // A proxy that holds the key itself needs none from us.
        Err(_) if !asked => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the key in `{}`", file.display())),
    }
}

async fn list(endpoint: &str, key: Option<&str>) -> Result<Value> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let mut request = client.get(format!("{endpoint}/models"));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    let response =
        request.send().await.with_context(|| format!("cannot reach `{endpoint}`: is it running?"))?;
    let status = response.status();
    let body: Value = response
        .json()
        .await
        .context("the endpoint's answer is not JSON: is this a Privatemode endpoint?")?;
    if !status.is_success() {
        bail!(
            "the endpoint refused ({status}): {}",
            body["error"]["message"].as_str().unwrap_or("no reason given")
        );
    }
    Ok(body)
}

fn row(model: &Value) -> Vec<String> {
    let tasks = model["tasks"].as_array();
    let tasks = tasks.map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
    vec![model["id"].as_str().unwrap_or("?").to_owned(), tasks.unwrap_or_default()]
}

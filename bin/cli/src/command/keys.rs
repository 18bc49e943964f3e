//! `privatemode keys create|list|revoke`: works beside a running gateway, which notices within a second.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use privatemode_gateway::accounts::{Accounts, KeyId, KeyInfo};
use serde_json::{Value, json};

use crate::args::{Directory, KeysAction};
use crate::directory::DataDirectory;
use crate::output;

pub(crate) fn run(action: KeysAction) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match action {
            KeysAction::Create { directory, name, json } => {
                create(&open(&directory, true).await?, &name, json).await
            }
            KeysAction::List { directory, json } => list(&open(&directory, false).await?, json).await,
            KeysAction::Revoke { directory, key, json } => {
                revoke(&open(&directory, false).await?, &key, json).await
            }
        }
    })
}

async fn open(directory: &Directory, make: bool) -> Result<Accounts> {
    let directory = DataDirectory::locate(directory.dir.as_deref())?;
    if make {
        directory.prepare()?;
    } else if !directory.database().exists() {
        bail!(
            "there are no accounts in `{}`: start `privatemode up` there once, or name its directory with --dir",
            directory.root().display()
        );
    }
    Accounts::open(directory.database()).await.context("cannot open the accounts")
}

async fn create(accounts: &Accounts, name: &str, json: bool) -> Result<()> {
    let created = accounts.create_key(name).await?;
    if json {
        let line = json!({ "id": created.id.as_str(), "name": created.name, "key": created.key.reveal() });
        output::data(&line.to_string());
    } else {
        output::say("This is the only time that the key is shown:");
        output::data(created.key.reveal());
    }
    Ok(())
}

/// What a key used of all models together.
#[derive(Debug, Default)]
struct Total {
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    audio_bytes: u64,
}

async fn list(accounts: &Accounts, json: bool) -> Result<()> {
    let mut totals: HashMap<KeyId, Total> = HashMap::new();
    for used in accounts.usage().await? {
        let total = totals.entry(used.key_id).or_default();
        total.requests = total.requests.saturating_add(used.requests);
        total.prompt_tokens = total.prompt_tokens.saturating_add(used.prompt_tokens);
        total.completion_tokens = total.completion_tokens.saturating_add(used.completion_tokens);
        total.audio_bytes = total.audio_bytes.saturating_add(used.audio_bytes);
    }
    let keys: Vec<(KeyInfo, Total)> = accounts
        .list_keys()
        .await?
        .into_iter()
        .map(|key| {
            let total = totals.remove(&key.id).unwrap_or_default();
            (key, total)
        })
        .collect();
    if json {
        let list: Vec<_> = keys.iter().map(|(key, total)| entry(key, total)).collect();
        output::data(&serde_json::to_string(&list)?);
    } else {
        let headings =
            ["ID", "PREFIX", "CREATED", "LAST USED", "STATE", "REQUESTS", "PROMPT", "COMPLETION", "NAME"];
        let rows: Vec<_> = keys.iter().map(|(key, total)| row(key, total)).collect();
        output::data(&output::table(&headings, &rows));
    }
    Ok(())
}

fn entry(key: &KeyInfo, total: &Total) -> Value {
    json!({
        "id": key.id.as_str(),
        "name": key.name,
        "prefix": key.prefix,
        "created": time(key.created_at),
        "last_used": key.last_used_at.map(time),
        "revoked": key.revoked_at.map(time),
        "requests": total.requests,
        "prompt_tokens": total.prompt_tokens,
        "completion_tokens": total.completion_tokens,
        "audio_bytes": total.audio_bytes,
    })
}

fn row(key: &KeyInfo, total: &Total) -> Vec<String> {
    vec![
        key.id.to_string(),
        key.prefix.clone(),
        time(key.created_at),
        key.last_used_at.map_or_else(|| "never".to_owned(), time),
        if key.revoked_at.is_some() { "revoked" } else { "active" }.to_owned(),
        total.requests.to_string(),
        total.prompt_tokens.to_string(),
        total.completion_tokens.to_string(),
        key.name.clone(),
    ]
}

/// RFC 3339, UTC.
fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

async fn revoke(accounts: &Accounts, key: &str, json: bool) -> Result<()> {
    let revoked = accounts.revoke_key(key).await?;
    if json {
        output::data(&json!({ "id": revoked.id.as_str(), "revoked": true }).to_string());
    } else {
        output::say(&format!(
            "Revoked {} ({}); running gateways refuse it within a second.",
            revoked.id, revoked.name
        ));
    }
    Ok(())
}

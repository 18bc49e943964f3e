//! `privatemode usage export`: the requests that a gateway has on record, read beside a running gateway and without a change
//! to its database.

use std::io::{BufWriter, Write};

use anyhow::{Context, Result, bail};
use privatemode_gateway::{BilledRequest, UsageFile};
use serde_json::json;

use crate::args::{UsageAction, UsageExport};
use crate::directory::DataDirectory;

const COLUMNS: &str = "request_id,ended,key,exchange,model,status,prompt_tokens,completion_tokens,cached_tokens,audio_seconds,audio_bytes";

pub(crate) fn run(action: &UsageAction) -> Result<()> {
    let UsageAction::Export(arguments) = action;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(export(arguments, std::io::stdout().lock()))
}

async fn export(arguments: &UsageExport, out: impl Write) -> Result<()> {
    let database = match &arguments.database {
        Some(path) => path.clone(),
        None => DataDirectory::locate(arguments.directory.dir.as_deref())?.database(),
    };
    if !database.exists() {
        bail!(
            "there is no database `{}`: name the gateway's with --database FILE, or the directory of `privatemode up` with \
             --dir",
            database.display()
        );
    }
    let file = UsageFile::open(&database).await.context("cannot read the usage")?;
    let mut out = BufWriter::new(out);
    let mut written = if arguments.csv { writeln!(out, "{COLUMNS}") } else { Ok(()) };
    let take = |request: BilledRequest| {
        // What cannot be written ends the export below; a reader that closed its end wants no more lines.
        if written.is_ok() {
            written = writeln!(out, "{}", if arguments.csv { csv(&request) } else { line(&request) });
        }
    };
    file.each(arguments.key.as_deref(), take).await.context("cannot read the usage")?;
    written.and_then(|()| out.flush()).context("cannot write the export")
}

fn line(request: &BilledRequest) -> String {
    json!({
        "request_id": request.id,
        "ended": ended(request),
        "key": request.key_id.as_str(),
        "exchange": request.exchange.map(|exchange| exchange.to_string()),
        "model": request.model,
        "status": request.status,
        "usage": {
            "prompt_tokens": request.prompt_tokens,
            "completion_tokens": request.completion_tokens,
            "cached_tokens": request.cached_tokens,
            "audio_seconds": request.audio_seconds,
            "audio_bytes": request.audio_bytes,
        },
    })
    .to_string()
}

/// RFC 4180.
fn csv(request: &BilledRequest) -> String {
    let BilledRequest { prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes, .. } =
        request;
    let figures = [prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes];
    let mut fields = vec![
        request.id.clone(),
        ended(request),
        request.key_id.to_string(),
        request.exchange.map_or_else(String::new, |exchange| exchange.to_string()),
        quoted(&request.model),
        request.status.to_string(),
    ];
    fields.extend(figures.map(u64::to_string));
    fields.join(",")
}

/// A model's name is its worker's word: it may hold anything.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// RFC 3339, UTC.
fn ended(request: &BilledRequest) -> String {
    jiff::Timestamp::from_second(request.ended_at).map_or_else(|_| "?".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use privatemode_gateway::accounts::Accounts;

    use super::*;
    use crate::args::Directory;

    fn arguments(database: std::path::PathBuf, csv: bool) -> UsageExport {
        let directory = Directory { dir: None };
        UsageExport { database: Some(database), directory, key: None, json: !csv, csv }
    }

    #[tokio::test]
    async fn both_forms_of_one_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.db");
        let accounts = Accounts::open(&path).await.unwrap();
        let key = accounts.create_key("a").await.unwrap().id;
        let request = BilledRequest {
            id: "one".to_owned(),
            key_id: key.clone(),
            exchange: None,
            model: "a \"b\", c".to_owned(),
            status: 200,
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 3,
            audio_seconds: 4,
            audio_bytes: 16384,
            ended_at: 1_800_000_000,
        };
        assert_eq!(
            csv(&request),
            format!("one,2027-01-15T08:00:00Z,{key},,\"a \"\"b\"\", c\",200,1,2,3,4,16384")
        );
        let parsed: serde_json::Value = serde_json::from_str(&line(&request)).unwrap();
        assert_eq!(parsed["exchange"], serde_json::Value::Null);
        assert_eq!((&parsed["model"], &parsed["usage"]["cached_tokens"]), (&"a \"b\", c".into(), &3.into()));
        assert_eq!(parsed["ended"], "2027-01-15T08:00:00Z");

        // A file without requests is an export without lines.
        let mut out = Vec::new();
        export(&arguments(path.clone(), true), &mut out).await.unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{COLUMNS}\n"));
        let mut out = Vec::new();
        export(&arguments(path, false), &mut out).await.unwrap();
        assert_eq!(out, b"");
    }

    #[tokio::test]
    async fn a_database_that_is_not_there_is_named() {
        let error = export(&arguments("/nowhere/accounts.db".into(), false), Vec::new()).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no database `/nowhere/accounts.db`"), "{error}");
    }
}

//! `privatemode manifest sign`: an owner's yes to an update, or what another tool has to sign for it.

use std::io::Write as _;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_manifest::history::{Transition, update_digest};
use serde_json::json;
use zeroize::Zeroizing;

use super::files::Readers;
use super::keys::{self, SigningKey};
use super::{Done, Failure, args::Sign, files, print, workspace};
use crate::command::attest::input::{Files, Unusable};
use crate::output;

pub(super) fn run(arguments: &Sign) -> Done {
    let mut input = Files::default();
    let manifest = files::manifest(&mut input, "MANIFEST", &arguments.manifest)?;
    let next = previous(arguments)?.then(manifest.raw());
    match &arguments.key {
        None => prepare(arguments, &next),
        Some(path) => {
            let text = Zeroizing::new(input.read("--key", path, keys::MAX)?);
            let unusable = || format!("--key `{}` cannot be used", path.display());
            let key = SigningKey::parse(&text).with_context(unusable)?;
            sign(arguments, &next, &key)
        }
    }
}

/// The transition that is in force.
fn previous(arguments: &Sign) -> Result<Transition, Failure> {
    match &arguments.previous {
        Some(text) => Ok(text.parse().map_err(|_| Unusable::Value {
            flag: "--previous",
            value: text.chars().take(80).collect(),
            what: "64 hexadecimal digits".to_owned(),
        })?),
        None => {
            let workspace = &arguments.workspace.workspace;
            workspace::latest_transition(workspace)?.with_context(|| {
                format!(
                    "there is no latest-transition in `{}`: name the --workspace that `set` wrote, or give --previous \
                     HEX, which `manifest history` shows; a first manifest needs no signature",
                    workspace.display()
                )
            }).map_err(Failure::from)
        }
    }
}

fn prepare(arguments: &Sign, next: &Transition) -> Done {
    // exactly these digits are hashed: a newline more would be another signature
    let digits = next.to_string();
    match &arguments.output {
        Some(path) => {
            files::write(path, digits.as_bytes(), Readers::Everybody)?;
            output::say(&format!("Written to `{}`: sign it with SHA-256 and ECDSA.", path.display()));
        }
        None if arguments.json => {}
        None => {
            let mut out = std::io::stdout();
            // a closed pipe is the reader's choice
            let _ = out.write_all(digits.as_bytes()).and_then(|()| out.flush());
        }
    }
    if arguments.json { print(&json!({"transition": digits})) } else { Ok(()) }
}

fn sign(arguments: &Sign, next: &Transition, key: &SigningKey) -> Done {
    let signature = key.sign(&update_digest(next))?;
    let text = STANDARD.encode(&signature);
    if let Some(path) = &arguments.output {
        files::write(path, &signature, Readers::Everybody)?;
        output::say(&format!("Written to `{}`.", path.display()));
    } else if !arguments.json {
        output::data(&text);
    }
    if arguments.json {
        let owner = STANDARD.encode(key.spki());
        return print(&json!({"transition": next.to_string(), "signature": text, "owner_key": owner}));
    }
    Ok(())
}

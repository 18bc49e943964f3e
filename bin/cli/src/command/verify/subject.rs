//! From the flags to what is to be verified: which deployment, against which manifest, at which time.

use std::path::Path;

use privatemode_attest::UnixTime;
use privatemode_manifest::Manifest;
use reqwest::Url;
use thiserror::Error;
use zeroize::Zeroizing;

use super::args::Verify;
use super::ask::{Kind, Whom};
use super::bundle::{MAX, Recorded};
use crate::command::attest::input::{Files, Unusable, wrong_form};
use crate::directory::DataDirectory;
use crate::up::Running;

const MAX_KEY: usize = 4096;

/// What is to be verified.
pub(super) enum Subject {
    /// A deployment that answers.
    Live { whom: Whom, manifest: Manifest },
    /// A verification of before.
    Bundle { recorded: Recorded, manifest: Manifest, own_manifest: bool },
}

/// Why there is nothing to verify: exit code 2.
#[derive(Debug, Error)]
pub(super) enum SubjectError {
    #[error(transparent)]
    Input(#[from] Unusable),
    #[error(
        "nothing runs in `{directory}`, so there is no deployment to verify by default: give a URL or a bundle, or start \
         `privatemode up` (or name its --dir)"
    )]
    NothingRuns { directory: String },
    #[error("there is no directory of a deployment: give a URL or a bundle, or --dir DIR")]
    NoDirectory,
    #[error("`{url}` is not a URL of the form https://HOST:PORT or http://HOST:PORT")]
    Url { url: String },
    #[error(
        "no manifest to expect: `{url}` is not the deployment that `privatemode up` runs here, and nothing is trusted \
         because it was seen first. Download the manifest from where its operator publishes it, review it, and give it \
         with --manifest FILE"
    )]
    NoManifest { url: String },
}

/// Reads what the flags name.
pub(super) fn find(arguments: &Verify, directory: Option<&DataDirectory>) -> Result<Subject, SubjectError> {
    let mut files = Files::default();
    let own = directory.and_then(|directory| running(directory).map(|running| (directory, running)));
    let target = match (&arguments.target, &own) {
        (Some(target), _) => target.clone(),
        (None, Some((_, running))) => running.gateway.clone(),
        (None, None) => {
            let directory = directory.ok_or(SubjectError::NoDirectory)?.root().display().to_string();
            return Err(SubjectError::NothingRuns { directory });
        }
    };
    let given = arguments.manifest.as_deref().map(|path| manifest(&mut files, path)).transpose()?;
    if !target.starts_with("https://") && !target.starts_with("http://") {
        return bundle(&mut files, Path::new(&target), given);
    }
    let mut url = Url::parse(&target).ok().filter(Url::has_host);
    let own = own.filter(|(_, running)| {
        [&running.gateway, &running.coordinator, &running.endpoint]
            .into_iter()
            .any(|own| same(own, url.as_ref()))
    });
    if let Some((_, running)) = own.as_ref().filter(|(_, running)| same(&running.endpoint, url.as_ref())) {
        // the proxy attests for itself alone; what it talks to is its gateway
        url = Url::parse(&running.gateway).ok();
    }
    let url = url.ok_or(SubjectError::Url { url: target.clone() })?;
    let kind = if url.scheme() == "https" { Kind::Gateway } else { Kind::Coordinator };
    let manifest = match (given, &own) {
        (Some(given), _) => given,
        (None, Some((directory, _))) => manifest(&mut files, &directory.manifest())?,
        (None, None) => return Err(SubjectError::NoManifest { url: target }),
    };
    let own = own.map(|(directory, _)| directory);
    let certificate =
        own.and_then(|directory| std::fs::read(directory.gateway().join("tls-certificate.pem")).ok());
    let key = if kind == Kind::Gateway { key(&mut files, arguments, own)? } else { None };
    Ok(Subject::Live { whom: Whom { url, kind, certificate, key }, manifest })
}

fn bundle(files: &mut Files, path: &Path, given: Option<Manifest>) -> Result<Subject, SubjectError> {
    const FLAG: &str = "BUNDLE";
    let form = "a bundle that `privatemode verify --save` wrote, nor a URL";
    let bytes = files.read(FLAG, path, MAX)?;
    let recorded = Recorded::parse(&bytes).map_err(|error| wrong_form(FLAG, path, form, &bytes, error))?;
    let own_manifest = given.is_none();
    let manifest = match given {
        Some(given) => given,
        None => Manifest::parse(&recorded.manifest)
            .map_err(|error| wrong_form(FLAG, path, form, &bytes, error))?,
    };
    Ok(Subject::Bundle { recorded, manifest, own_manifest })
}

fn manifest(files: &mut Files, path: &Path) -> Result<Manifest, SubjectError> {
    let bytes = files.read("--manifest", path, Manifest::MAX_LEN)?;
    let parsed = Manifest::parse(&bytes);
    Ok(parsed.map_err(|error| wrong_form("--manifest", path, "a manifest", &bytes, error))?)
}

fn key(
    files: &mut Files,
    arguments: &Verify,
    own: Option<&DataDirectory>,
) -> Result<Option<Zeroizing<String>>, SubjectError> {
    let bytes = match (arguments.key.as_deref().map(|key| (key, key.strip_prefix('@'))), own) {
        (Some((_, Some(path))), _) => files.read("--key", Path::new(path), MAX_KEY)?,
        (Some((key, None)), _) => key.as_bytes().to_vec(),
        (None, Some(directory)) => files.read("--key", &directory.api_key(), MAX_KEY)?,
        (None, None) => return Ok(None),
    };
    let bytes = Zeroizing::new(bytes);
    Ok(Some(Zeroizing::new(String::from_utf8_lossy(&bytes).trim().to_owned())))
}

fn running(directory: &DataDirectory) -> Option<Running> {
    serde_json::from_slice(&std::fs::read(directory.running()).ok()?).ok()
}

/// Same scheme, host and port.
fn same(own: &str, url: Option<&Url>) -> bool {
    Url::parse(own).ok().zip(url).is_some_and(|(own, url)| own.origin() == url.origin())
}

/// When: as the flag says, else as the bundle says, else now.
pub(super) fn time(arguments: &Verify, subject: &Subject) -> UnixTime {
    let now = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        UnixTime(now.map_or(0, |now| now.as_secs()))
    };
    let recorded = match subject {
        Subject::Live { .. } => None,
        Subject::Bundle { recorded, .. } => Some(recorded.at),
    };
    arguments.at.or(recorded).unwrap_or_else(now)
}

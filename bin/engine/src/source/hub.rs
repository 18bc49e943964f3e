//! Fetches a model from a hub over plain HTTPS: listing, choice of files, resumable download, check, cache.
//! Runs nothing of what it fetches. Once complete, a model is served from the cache and the hub is not asked again.
//!
//! Interface used: `GET /api/models/ORG/NAME/revision/REV?blobs=true` and `GET /ORG/NAME/resolve/COMMIT/FILE`.
//! Cache: `DIR/ORG--NAME/COMMIT/FILE` are the files; `DIR/ORG--NAME/refs/REV` names what to load of them, and is
//! written when all of them are there.

use futures_util::StreamExt;
use http::{StatusCode, header};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::progress::{Progress, Unit};

/// Why a model did not come from the hub: what, why, what next.
#[derive(Debug, Error)]
pub enum HubError {
    #[error(
        "cannot fetch the model `{model}`: no connection to {url}. Without a network, give --model a directory, \
         a .gguf file, or `demo`; behind a proxy, set HTTPS_PROXY; another hub is set with --hub-url"
    )]
    Connect { model: String, url: String, source: reqwest::Error },
    #[error(
        "the hub at {url} has no model `{model}` (or hides it: then set HF_TOKEN to a token with access)"
    )]
    NotFound { model: String, url: String },
    #[error("the hub refuses `{model}` with status {status}; it may want a token with access in HF_TOKEN")]
    Refused { model: String, status: u16 },
    #[error("the hub answered {status} for `{file}`; try again later, what was fetched is kept")]
    Status { file: String, status: u16 },
    #[error("the hub's listing of `{model}` cannot be understood")]
    Listing { model: String, source: reqwest::Error },
    #[error("the hub's listing of `{model}` contains the unsafe name `{name}`")]
    UnsafeName { model: String, name: String },
    #[error("`{model}` has neither safetensors nor GGUF weights; those are the formats this engine reads")]
    NoWeights { model: String },
    #[error("choose one of the GGUF files of `{model}` with --model {model}:FILE: {}", files.join(", "))]
    ChooseGguf { model: String, files: Vec<String> },
    #[error("`{model}` has no file `{file}`")]
    NoSuchFile { model: String, file: String },
    #[error("the download of `{file}` broke off; start again to resume it")]
    Interrupted { file: String, source: reqwest::Error },
    #[error("`{file}` has {got} bytes instead of {expected}")]
    Size { file: String, got: u64, expected: u64 },
    #[error("`{file}` has the SHA-256 {got} instead of {expected}; it was deleted, start again")]
    Digest { file: String, got: String, expected: String },
    #[error("cannot write `{}`", path.display())]
    Cache { path: PathBuf, source: std::io::Error },
    #[error("cannot set up HTTPS")]
    Client { source: reqwest::Error },
}

/// `ORG/NAME`, with an optional `@REVISION` and `:FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubName {
    pub(crate) organisation: String,
    pub(crate) name: String,
    pub(crate) revision: String,
    pub(crate) file: Option<String>,
}

/// Where and how to fetch.
pub(crate) struct Hub {
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) cache: PathBuf,
}

#[derive(Deserialize)]
struct Listing {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize, Clone)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize, Clone)]
struct Lfs {
    sha256: String,
}

/// Attempts per file; each goes on where the last one broke off.
const ATTEMPTS: usize = 4;
/// Before the second attempt twice this, then doubling.
const BACKOFF: Duration = if cfg!(test) { Duration::from_millis(1) } else { Duration::from_millis(500) };
const SIDE_FILES: [&str; 9] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "modules.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
];
/// Of several GGUF files, the first of these: closest to the original among those that are fast here.
const GGUF_PREFERENCE: [&str; 6] = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q5_k_s", "q4_k_s"];

impl HubName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (text, file) = match text.split_once(':') {
            Some((text, file)) if safe_name(file) => (text, Some(file.to_owned())),
            Some(_) => return None,
            None => (text, None),
        };
        let (text, revision) = text.split_once('@').unwrap_or((text, "main"));
        let (organisation, name) = text.split_once('/')?;
        let plain = |part: &str| safe_name(part) && !part.contains('/');
        (plain(organisation) && plain(name) && plain(revision)).then(|| Self {
            organisation: organisation.to_owned(),
            name: name.to_owned(),
            revision: revision.to_owned(),
            file,
        })
    }

    /// `ORG/NAME`
    pub(crate) fn model(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }
}

/// A relative path that stays below where it is put: names come from the network.
pub(crate) fn safe_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
    };
    name.len() <= 200 && name.split('/').all(part)
}

impl Hub {
    /// The directory of the model's files or, if that holds the weights, its GGUF file.
    pub(crate) async fn fetch(&self, name: &HubName) -> Result<PathBuf, HubError> {
        let home = self.cache.join(format!("{}--{}", name.organisation, name.name));
        let selection = name.file.as_deref().map(|file| format!("--{}", file.replace('/', "--")));
        let reference = home.join("refs").join(format!("{}{}", name.revision, selection.unwrap_or_default()));
        if let Ok(target) = fs::read_to_string(&reference).await
            && safe_name(&target)
            && home.join(&target).exists()
        {
            tracing::info!(model = name.model(), target, "model found in the cache");
            return Ok(home.join(target));
        }
        let client = self.client()?;
        let listing = self.listing(&client, name).await?;
        let files = choose(name, &listing)?;
        let directory = home.join(&listing.sha);
        let target = match files.last() {
            Some(file) if file.rfilename.ends_with(".gguf") => format!("{}/{}", listing.sha, file.rfilename),
            _ => listing.sha.clone(),
        };
        let total = files.iter().filter_map(|file| file.size).sum();
        let mut progress = Progress::start(format!("fetching {}", name.model()), Unit::Bytes, total);
        let mut before = 0;
        for file in files {
            let url = format!("{}/{}/resolve/{}/{}", self.url, name.model(), listing.sha, file.rfilename);
            let path = directory.join(&file.rfilename);
            self.download(&client, &url, &file, &path, &mut |done| progress.at(before + done)).await?;
            before += file.size.unwrap_or(0);
        }
        write_atomically(&reference, target.as_bytes()).await?;
        Ok(home.join(target))
    }

    fn client(&self) -> Result<reqwest::Client, HubError> {
        reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(Duration::from_secs(60))
            // A redirect from the hub must not take the weights or the token off TLS.
            .https_only(self.url.starts_with("https://"))
            .user_agent(concat!("privatemode-engine/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|source| HubError::Client { source })
    }

    fn get(&self, client: &reqwest::Client, url: &str) -> reqwest::RequestBuilder {
        let request = client.get(url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn listing(&self, client: &reqwest::Client, name: &HubName) -> Result<Listing, HubError> {
        let model = name.model();
        let url = format!("{}/api/models/{model}/revision/{}?blobs=true", self.url, name.revision);
        let response = self.get(client, &url).send().await.map_err(|source| HubError::Connect {
            model: model.clone(),
            url: self.url.clone(),
            source,
        })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(HubError::NotFound { model, url: self.url.clone() }),
            status => return Err(HubError::Refused { model, status: status.as_u16() }),
        }
        let listing: Listing = match response.json().await {
            Ok(listing) => listing,
            Err(source) => return Err(HubError::Listing { model, source }),
        };
        if !safe_name(&listing.sha) || listing.sha.contains('/') {
            return Err(HubError::UnsafeName { model, name: listing.sha });
        }
        Ok(listing)
    }

    async fn download(
        &self,
        client: &reqwest::Client,
        url: &str,
        file: &Sibling,
        path: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), HubError> {
        let cache = |source| HubError::Cache { path: path.to_owned(), source };
        if path.is_file() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).await.map_err(cache)?;
        }
        let partial = path.with_file_name(format!(
            "{}.part",
            path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default()
        ));
        let mut attempt = 1;
        let digest = loop {
            match self.attempt(client, url, file, &partial, progress).await {
                Ok(digest) => break digest,
                Err(HubError::Interrupted { source, .. }) if attempt < ATTEMPTS => {
                    tracing::warn!(attempt, reason = %source, "download interrupted, resuming");
                    tokio::time::sleep(BACKOFF * (1 << attempt)).await;
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        };
        if let Some(lfs) = &file.lfs
            && !lfs.sha256.eq_ignore_ascii_case(&digest)
        {
            fs::remove_file(&partial).await.map_err(cache)?;
            let (file, expected) = (file.rfilename.clone(), lfs.sha256.clone());
            return Err(HubError::Digest { file, got: digest, expected });
        }
        fs::rename(&partial, path).await.map_err(cache)
    }

    /// Adds what is missing to the partial file; returns the SHA-256 of the whole.
    async fn attempt(
        &self,
        client: &reqwest::Client,
        url: &str,
        file: &Sibling,
        partial: &Path,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<String, HubError> {
        let cache = |source| HubError::Cache { path: partial.to_owned(), source };
        let interrupted = |source| HubError::Interrupted { file: file.rfilename.clone(), source };
        let (mut hasher, mut have) = hash_existing(partial).await.map_err(cache)?;
        if file.size.is_none_or(|size| have < size) {
            let mut request = self.get(client, url);
            if have > 0 {
                request = request.header(header::RANGE, format!("bytes={have}-"));
            }
            let response = request.send().await.map_err(interrupted)?;
            let resumed = response.status() == StatusCode::PARTIAL_CONTENT;
            if !resumed && response.status() != StatusCode::OK {
                let (file, status) = (file.rfilename.clone(), response.status().as_u16());
                return Err(HubError::Status { file, status });
            }
            if !resumed {
                (hasher, have) = (Sha256::new(), 0);
            }
            let mut options = OpenOptions::new();
            options.create(true).write(true).append(resumed).truncate(!resumed);
            let mut output = options.open(partial).await.map_err(cache)?;
            let mut chunks = response.bytes_stream();
            let mut broken = None;
            while let Some(chunk) = chunks.next().await {
                let chunk = match chunk {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        broken = Some(interrupted(error));
                        break;
                    }
                };
                have += chunk.len() as u64;
                // More than announced is not what was announced, and could fill the disk.
                if file.size.is_some_and(|size| have > size) {
                    break;
                }
                hasher.update(&chunk);
                output.write_all(&chunk).await.map_err(cache)?;
                progress(have);
            }
            // Also after an interruption: what came is what the next attempt starts from.
            output.flush().await.map_err(cache)?;
            output.sync_all().await.map_err(cache)?;
            if let Some(error) = broken {
                return Err(error);
            }
        }
        if let Some(expected) = file.size.filter(|size| *size != have) {
            let _ = fs::remove_file(partial).await;
            return Err(HubError::Size { file: file.rfilename.clone(), got: have, expected });
        }
        Ok(hex::encode(hasher.finalize()))
    }
}

async fn hash_existing(path: &Path) -> std::io::Result<(Sha256, u64)> {
    let mut hasher = Sha256::new();
    let mut file = match File::open(path).await {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((hasher, 0)),
        Err(error) => return Err(error),
    };
    let (mut have, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer).await? {
            0 => return Ok((hasher, have)),
            count => {
                hasher.update(&buffer[..count]);
                have += count as u64;
            }
        }
    }
}

async fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), HubError> {
    let cache = |source| HubError::Cache { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).await.map_err(cache)?;
    }
    let partial = path.with_extension("part");
    fs::write(&partial, bytes).await.map_err(cache)?;
    fs::rename(&partial, path).await.map_err(cache)
}

/// Which files of a listing to fetch.
fn choose(name: &HubName, listing: &Listing) -> Result<Vec<Sibling>, HubError> {
    let model = name.model();
    let find = |file: &str| listing.siblings.iter().find(|sibling| sibling.rfilename == file).cloned();
    let mut chosen: Vec<Sibling> = SIDE_FILES.iter().filter_map(|file| find(file)).collect();
    let is_shard = |file: &str| file.starts_with("model-") && file.ends_with(".safetensors");
    let shards = || listing.siblings.iter().filter(|sibling| is_shard(&sibling.rfilename)).cloned();
    let gguf: Vec<&Sibling> =
        listing.siblings.iter().filter(|sibling| sibling.rfilename.ends_with(".gguf")).collect();
    if let Some(file) = &name.file {
        let found = find(file).ok_or_else(|| HubError::NoSuchFile { model, file: file.clone() })?;
        chosen.push(found);
    } else if let Some(single) = find("model.safetensors") {
        chosen.push(single);
    } else if let Some(index) = find("model.safetensors.index.json") {
        chosen.push(index);
        chosen.extend(shards());
    } else if let [single] = gguf.as_slice() {
        chosen.push((*single).clone());
    } else if gguf.is_empty() {
        return Err(HubError::NoWeights { model });
    } else {
        let preferred = GGUF_PREFERENCE.iter().find_map(|quantisation| {
            let matching = |sibling: &&&Sibling| sibling.rfilename.to_lowercase().contains(quantisation);
            gguf.iter().find(matching).filter(|found| !found.rfilename.contains("-of-"))
        });
        let files = || gguf.iter().map(|sibling| sibling.rfilename.clone()).collect();
        let preferred = preferred.ok_or_else(|| HubError::ChooseGguf { model, files: files() })?;
        chosen.push((*preferred).clone());
    }
    match chosen.iter().find(|sibling| !safe_name(&sibling.rfilename)) {
        Some(bad) => Err(HubError::UnsafeName { model: name.model(), name: bad.rfilename.clone() }),
        None => Ok(chosen),
    }
}

#[cfg(test)]
mod tests;

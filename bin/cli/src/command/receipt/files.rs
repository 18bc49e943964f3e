//! Reads receipts, what the proxy keeps beside them, and mesh CAs. Judges nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privatemode_attest::mesh::MeshCa;
use privatemode_wire::receipt::{Receipt, SealedDigest, SignedReceipt};
use privatemode_wire::stream::outer::ExchangeId;
use serde::Deserialize;

use super::args::Trust;
use crate::directory::DataDirectory;

/// What the proxy keeps beside a receipt.
#[derive(Debug, Deserialize)]
struct ExchangeFile {
    exchange: Option<String>,
    request_digest: Option<String>,
    response_digest: Option<String>,
}

/// What the client knows of an exchange that a receipt must say, too.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// `None` where digests were given by hand: they say more.
    pub(super) exchange: Option<ExchangeId>,
    /// `None` where it left before all of its request was sent.
    pub(super) request: Option<SealedDigest>,
    pub(super) response: SealedDigest,
}

/// A receipt from its file: canonical JSON, or that in base64.
pub(super) fn receipt(path: &Path) -> Result<SignedReceipt> {
    let what = || format!("cannot read the receipt in `{}`", path.display());
    let length = fs::metadata(path).with_context(what)?.len();
    let max = Receipt::MAX_LENGTH * 2;
    if length > max as u64 {
        bail!("`{}` has {length} bytes; no receipt is longer than {max}", path.display());
    }
    let bytes = fs::read(path).with_context(what)?;
    let bytes = bytes.trim_ascii();
    let decoded = if bytes.starts_with(b"{") {
        bytes.to_vec()
    } else {
        STANDARD.decode(bytes).map_err(anyhow::Error::from).with_context(what)?
    };
    SignedReceipt::parse(&decoded).with_context(what)
}

/// What the proxy knew of the exchange, if it kept it.
pub(super) fn known_beside(path: &Path) -> Result<Option<Known>> {
    let beside = path.with_extension("exchange.json");
    let Ok(bytes) = fs::read(&beside) else { return Ok(None) };
    let ExchangeFile { exchange, request_digest, response_digest } =
        serde_json::from_slice(&bytes).with_context(|| format!("cannot read `{}`", beside.display()))?;
    let (Some(exchange), Some(response)) = (exchange, response_digest) else { return Ok(None) };
    let request = request_digest.map(|hex| digest(&hex)).transpose()?;
    let exchange =
        ExchangeId::parse(&exchange).with_context(|| format!("cannot read `{}`", beside.display()))?;
    Ok(Some(Known { exchange: Some(exchange), request, response: digest(&response)? }))
}

/// 64 digits.
pub(super) fn digest(hex: &str) -> Result<SealedDigest> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex.trim(), &mut bytes)
        .with_context(|| format!("`{hex}` is no SHA-256 in hexadecimal"))?;
    Ok(SealedDigest(bytes))
}

/// The CAs that count, each with where it comes from.
pub(super) fn mesh_cas(trust: &Trust) -> Result<Vec<(PathBuf, MeshCa)>> {
    if let Some(path) = &trust.mesh_ca {
        return Ok(vec![(path.clone(), mesh_ca(path)?)]);
    }
    let workspace = match &trust.workspace {
        Some(workspace) => workspace.clone(),
        None => DataDirectory::locate(trust.directory.dir.as_deref())?.proxy(),
    };
    let folder = workspace.join("mesh");
    let entries = fs::read_dir(&folder).with_context(|| {
        format!(
            "there is no mesh CA in `{}`: give --mesh-ca FILE, or the --workspace of the proxy",
            folder.display()
        )
    })?;
    let mut cas = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let ca = mesh_ca(&path)?;
            cas.push((path, ca));
        }
    }
    cas.sort_by(|one, other| one.0.cmp(&other.0));
    if cas.is_empty() {
        bail!("there is no mesh CA in `{}`: give --mesh-ca FILE", folder.display());
    }
    Ok(cas)
}

fn mesh_ca(path: &Path) -> Result<MeshCa> {
    let what = || format!("cannot read the mesh CA in `{}`", path.display());
    let pem = fs::read(path).with_context(what)?;
    MeshCa::parse_pem(pem).with_context(what)
}

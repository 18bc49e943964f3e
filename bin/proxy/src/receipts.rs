//! Receipts: asked for always (`--receipts DIR`) or by a caller, checked when they come, and kept for an audit.
//! Specification: protocol.md §9.
//!
//! ```text
//! DIR/ID.json            the receipt, as the worker signed it
//! DIR/ID.exchange.json   the digests of what this proxy sent and received, for `privatemode receipt verify`
//! WORKSPACE/mesh/X.pem   each mesh CA that was attested while receipts came
//! ```
//!
//! A receipt that does not hold is kept all the same, and said so in the log: it is evidence, too.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use privatemode_attest::mesh::MeshCa;
use privatemode_client::{Verification, verify_receipt};
use privatemode_service::Chain;
use privatemode_wire::{
    receipt::{SealedDigest, SignedReceipt},
    stream::{RequestId, outer::ExchangeId},
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::forward::Caller;

/// What is done with receipts.
pub(crate) struct Receipts {
    folder: Option<PathBuf>,
    /// `mesh/` of the workspace.
    mesh: PathBuf,
}

/// What this side knows of an exchange.
pub(crate) struct Evidence {
    pub(crate) request_id: RequestId,
    pub(crate) exchange: ExchangeId,
    /// Set once all of the request was sent.
    pub(crate) request_digest: Arc<OnceLock<SealedDigest>>,
    pub(crate) verification: Arc<Verification>,
}

/// `ID.exchange.json`.
#[derive(Serialize)]
struct ExchangeFile<'a> {
    request_id: String,
    exchange: String,
    request_digest: Option<String>,
    response_digest: Option<String>,
    manifest: &'a str,
    mesh_ca: String,
}

impl Receipts {
    /// Keeps receipts in `folder`, which is made; without one they are only handed on.
    pub(crate) fn open(folder: Option<&Path>, workspace: &Path) -> io::Result<Self> {
        if let Some(folder) = folder {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder)?;
        }
        Ok(Self { folder: folder.map(Path::to_owned), mesh: workspace.join("mesh") })
    }

    /// Whether a request asks for one.
    pub(crate) fn wanted(&self, caller: &Caller) -> bool {
        caller.wants_receipt || self.folder.is_some()
    }

    /// Whether there is a use for a receipt whose caller has left.
    pub(crate) fn are_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Checks a receipt and writes it down. A full disk ends the record, not the request.
    pub(crate) fn keep(&self, receipt: &SignedReceipt, evidence: &Evidence, response: Option<SealedDigest>) {
        let request = evidence.request_digest.get().copied();
        let id = evidence.request_id;
        match check(receipt, evidence, request, response) {
            Ok(()) => tracing::debug!(request.sealed_id = %id, "a receipt came, and holds"),
            Err(reason) => {
                tracing::warn!(request.sealed_id = %id, reason, "a receipt came that does not hold");
            }
        }
        if let Some(folder) = &self.folder
            && let Err(error) = self.write(folder, receipt, evidence, request, response)
        {
            tracing::warn!(%error, folder = %folder.display(), "cannot write a receipt");
        }
    }

    fn write(
        &self,
        folder: &Path,
        receipt: &SignedReceipt,
        evidence: &Evidence,
        request: Option<SealedDigest>,
        response: Option<SealedDigest>,
    ) -> io::Result<()> {
        let Evidence { request_id, exchange, verification, .. } = evidence;
        let hex = |digest: SealedDigest| hex::encode(digest.0);
        let exchange = ExchangeFile {
            request_id: request_id.to_string(),
            exchange: exchange.to_string(),
            request_digest: request.map(hex),
            response_digest: response.map(hex),
            manifest: &verification.manifest_digest,
            mesh_ca: self.keep_ca(&verification.mesh_ca_pem)?,
        };
        create(&folder.join(format!("{request_id}.json")), receipt.to_json().as_bytes())?;
        create(&folder.join(format!("{request_id}.exchange.json")), &serde_json::to_vec(&exchange)?)
    }

    /// The CA under a name that says which one it is.
    fn keep_ca(&self, pem: &str) -> io::Result<String> {
        let name = format!("{}.pem", hex::encode(Sha256::digest(pem)));
        let path = self.mesh.join(&name);
        if !path.exists() {
            fs::create_dir_all(&self.mesh)?;
            match create(&path, pem.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another request was faster
                outcome => outcome?,
            }
        }
        Ok(name)
    }
}

/// The signature, and that it is about this exchange.
fn check(
    receipt: &SignedReceipt,
    evidence: &Evidence,
    request: Option<SealedDigest>,
    response: Option<SealedDigest>,
) -> Result<(), String> {
    let ca =
        MeshCa::parse_pem(&evidence.verification.mesh_ca_pem).map_err(|error| Chain(&error).to_string())?;
    let verified = verify_receipt(receipt.clone(), &ca).map_err(|error| Chain(&error).to_string())?;
    if verified.request_id != evidence.request_id {
        return Err("it names another request".to_owned());
    }
    if verified.exchange != evidence.exchange {
        return Err("it names another exchange".to_owned());
    }
    if verified.manifest != evidence.verification.manifest {
        return Err("it names another manifest".to_owned());
    }
    // Without a digest of the answer there was no end, and so no receipt.
    let Some(response) = response else { return Ok(()) };
    // An answer may come before all of the request was sent; then only the worker knows what it read.
    verified.check_exchange(evidence.exchange, request, response).map_err(|error| error.to_string())
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

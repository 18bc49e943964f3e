//! The files that `set` keeps for later commands.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use privatemode_manifest::history::Transition;

use super::api::SeedShares;
use super::files::{self, Readers};

const LATEST: &str = "latest-transition";
const ROOT_CA: &str = "coordinator-root-ca.pem";
const MESH_CA: &str = "mesh-ca.pem";
/// The encrypted seed.
pub(super) const SHARES: &str = "seed-shares.json";

/// The latest transition that was proved here; none if there was none.
pub(super) fn latest_transition(workspace: &Path) -> Result<Option<Transition>> {
    let path = workspace.join(LATEST);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    };
    let transition = text.trim().parse();
    Ok(Some(transition.with_context(|| format!("`{}` has no transition in it", path.display()))?))
}

/// Keeps a first set from taking the place of shares that somebody may still need.
pub(super) fn keep_shares(workspace: &Path) -> Result<()> {
    let path = workspace.join(SHARES);
    if path.try_exists().unwrap_or(true) {
        bail!(
            "there is `{}` already: an update needs --signature; for another deployment name another --workspace",
            path.display()
        );
    }
    fs::create_dir_all(workspace)
        .with_context(|| format!("cannot make --workspace `{}`", workspace.display()))
}

/// Writes the shares, which come once, and in nobody's place. Returns where.
pub(super) fn write_shares(workspace: &Path, shares: &SeedShares) -> Result<PathBuf> {
    let mut json = serde_json::to_vec_pretty(shares)?;
    json.push(b'\n');
    let mut path = workspace.join(SHARES);
    for number in 2.. {
        if !path.try_exists().unwrap_or(true) {
            break;
        }
        path = workspace.join(format!("seed-shares-{number}.json"));
    }
    files::write(&path, &json, Readers::Owner)?;
    Ok(path)
}

/// Writes what was proved.
pub(super) fn write(workspace: &Path, latest: &Transition, root_ca: &[u8], mesh_ca: &[u8]) -> Result<()> {
    fs::create_dir_all(workspace)
        .with_context(|| format!("cannot make --workspace `{}`", workspace.display()))?;
    files::write(&workspace.join(ROOT_CA), root_ca, Readers::Everybody)?;
    files::write(&workspace.join(MESH_CA), mesh_ca, Readers::Everybody)?;
    // last: who finds it finds the others
    files::write(&workspace.join(LATEST), format!("{latest}\n").as_bytes(), Readers::Everybody)
}

//! Writes the files. Whoever reads them at any moment finds all of one generation or all of the next, never a key beside
//! another key's certificate: the folder `tls-config` is made aside and exchanged as a whole, and a renewal keeps the key, so
//! that not even a reader who opens one file before the exchange and one after it sees a mismatch.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use privatemode_mesh::MeshKey;
use thiserror::Error;
use zeroize::Zeroizing;

use super::enrol::Enrolled;

const TLS: &str = "tls-config";
const SECRETS: &str = "secrets";
const SECRET: &str = "workload-secret-seed";

/// Why the files could not be written.
#[derive(Debug, Error)]
#[error("cannot {action} `{}`; the folder of --output must exist or be creatable, and be writable", .path.display())]
pub struct WriteError {
    /// What did not work.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes everything below `output`, the secret first: who waits for the certificate finds the secret too.
pub(super) fn write(output: &Path, enrolled: &Enrolled, key: &MeshKey) -> Result<(), WriteError> {
    let new = &enrolled.new;
    folder(output, 0o755)?;
    secret(&output.join(SECRETS), new.workload_secret.as_deref().map(<[u8; 64]>::as_slice))?;
    let key = key.to_pkcs8_pem().map_err(|error| WriteError {
        action: "encode the key for",
        path: output.join(TLS),
        source: io::Error::other(error),
    })?;
    let aside = output.join(format!(".{TLS}.new"));
    remove_folder(&aside)?;
    folder(&aside, 0o755)?;
    for (name, content, mode) in [
        ("key.pem", key.as_bytes(), 0o400),
        ("mesh-ca.pem", new.mesh_ca.as_bytes(), 0o444),
        ("certChain.pem", new.cert_chain.as_bytes(), 0o444),
        ("coordinator-root-ca.pem", new.root_ca.as_bytes(), 0o444),
    ] {
        file(&aside.join(name), content, mode)?;
    }
    sync(&aside)?;
    put_in_place(&aside, &output.join(TLS))?;
    sync(output)
}

/// A secret that this workload no longer has is removed.
fn secret(folder_path: &Path, secret: Option<&[u8]>) -> Result<(), WriteError> {
    let path = folder_path.join(SECRET);
    let Some(secret) = secret else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(failed("remove", &path)),
        };
    };
    folder(folder_path, 0o700)?;
    let mut text = Zeroizing::new(vec![0; secret.len() * 2]);
    hex::encode_to_slice(secret, &mut text)
        .map_err(|error| failed("encode the secret for", &path)(io::Error::other(error)))?;
    let aside = folder_path.join(format!(".{SECRET}.new"));
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &aside)(error));
        }
        _ => {}
    }
    file(&aside, &text, 0o400)?;
    fs::rename(&aside, &path).map_err(failed("write", &path))?;
    sync(folder_path)
}

/// Exchanges the folders. Where the file system cannot do that, the old one goes first: then there is a moment without any,
/// but never one with a mixture.
fn put_in_place(aside: &Path, target: &Path) -> Result<(), WriteError> {
    if !target.exists() {
        return fs::rename(aside, target).map_err(failed("write", target));
    }
    if exchange(aside, target).is_err() {
        let old = target.with_extension("old");
        remove_folder(&old)?;
        fs::rename(target, &old).map_err(failed("replace", target))?;
        fs::rename(aside, target).map_err(failed("write", target))?;
        return remove_folder(&old);
    }
    remove_folder(aside)
}

#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A new file with its permissions from the first moment on, on disk when this returns.
fn file(path: &Path, content: &[u8], mode: u32) -> Result<(), WriteError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(path).map_err(failed("create", path))?;
    file.write_all(content).map_err(failed("write", path))?;
    permissions(path, mode)?;
    file.sync_all().map_err(failed("write", path))
}

fn folder(path: &Path, mode: u32) -> Result<(), WriteError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).map_err(failed("create", path))?;
    permissions(path, mode)
}

/// Whatever the process's mask is.
#[cfg(unix)]
fn permissions(path: &Path, mode: u32) -> Result<(), WriteError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(failed("set the permissions of", path))
}

#[cfg(not(unix))]
fn permissions(_: &Path, _: u32) -> Result<(), WriteError> {
    Ok(())
}

fn remove_folder(path: &Path) -> Result<(), WriteError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(failed("remove", path)),
    }
}

/// Makes what was created in a folder, or renamed, survive.
fn sync(folder: &Path) -> Result<(), WriteError> {
    #[cfg(unix)]
    File::open(folder).and_then(|file| file.sync_all()).map_err(failed("write", folder))?;
    Ok(())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WriteError {
    let path = path.to_owned();
    move |source| WriteError { action, path, source }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;

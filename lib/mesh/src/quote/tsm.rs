//! Quotes by configfs-tsm: a folder is a request, its files are question and answer (Linux 6.7,
//! `Documentation/ABI/testing/configfs-tsm-report`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use privatemode_attest::{EvidenceKind, ReportData};

use super::{QuoteError, Quoter, evidence};

/// Where the kernel has it.
pub(super) const ROOT: &str = "/sys/kernel/config/tsm/report";
/// Longest report or table of certificates that is read.
const MAX_BLOB: usize = 64 * 1024;
/// Longest number or name that is read.
const MAX_TEXT: usize = 256;
/// How many names are tried for a request: one of a process before us, with the same number, may be left.
const MAX_NAMES: usize = 16;

/// Asks the kernel.
#[derive(Debug)]
pub struct TsmQuoter<K = Kernel> {
    platform: EvidenceKind,
    root: PathBuf,
    kernel: K,
}

impl TsmQuoter {
    /// A quoter of `platform`, which is SNP or TDX, if the kernel gives its reports under `root`.
    ///
    /// # Errors
    /// [`QuoteError::NoHardware`] says what is missing and how to mend it.
    pub fn open(platform: EvidenceKind, root: impl Into<PathBuf>) -> Result<Self, QuoteError> {
        Self::with(platform, root.into(), Kernel)
    }
}

impl<K: Files> TsmQuoter<K> {
    fn with(platform: EvidenceKind, root: PathBuf, kernel: K) -> Result<Self, QuoteError> {
        if !root.is_dir() {
            return Err(no_root(platform, &root));
        }
        let quoter = Self { platform, root, kernel };
        let request = quoter.request()?;
        let provider = request.text("provider")?;
        drop(request);
        if provider_of(platform) != Some(&provider) {
            return Err(other_provider(platform, &provider));
        }
        Ok(quoter)
    }

    /// A folder of our own, so that requests of one process cannot disturb each other.
    fn request(&self) -> Result<Request<'_, K>, QuoteError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut last = io::ErrorKind::AlreadyExists.into();
        for _ in 0..MAX_NAMES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(format!("privatemode-{}-{number}", std::process::id()));
            match self.kernel.make(&path) {
                Ok(()) => return Ok(Request { quoter: self, path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(no_request(self.platform, &self.root, &error)),
            }
        }
        Err(no_request(self.platform, &self.root, &last))
    }
}

impl<K: Files> Quoter for TsmQuoter<K> {
    fn kind(&self) -> EvidenceKind {
        self.platform
    }

    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
        let request = self.request()?;
        let before = request.generation()?;
        request.write("inblob", bind.as_bytes())?;
        let report = request.read("outblob", MAX_BLOB)?;
        // the kernel has this file only where a platform has something to say in it
        let table = match self.platform {
            EvidenceKind::Snp => request.read_if_any("auxblob", MAX_BLOB)?,
            _ => Vec::new(),
        };
        // Exactly our own write may have happened, or the report answers somebody else's question.
        if request.generation()? != before.wrapping_add(1) {
            return Err(QuoteError::Raced { path: request.path.clone() });
        }
        match self.platform {
            EvidenceKind::Snp => evidence::snp(&report, &table, bind),
            _ => evidence::tdx(&report, bind),
        }
    }
}

/// One request; its folder goes with it.
struct Request<'a, K: Files> {
    quoter: &'a TsmQuoter<K>,
    path: PathBuf,
}

impl<K: Files> Request<'_, K> {
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), QuoteError> {
        let path = self.path.join(name);
        self.quoter.kernel.write(&path, bytes).map_err(|source| self.device("write", path, source))
    }

    fn read(&self, name: &str, max: usize) -> Result<Vec<u8>, QuoteError> {
        let path = self.path.join(name);
        match self.quoter.kernel.read(&path, max + 1) {
            Ok(bytes) if bytes.len() > max => Err(QuoteError::TooLong { path, max }),
            Ok(bytes) => Ok(bytes),
            Err(source) => Err(self.device("read", path, source)),
        }
    }

    fn read_if_any(&self, name: &str, max: usize) -> Result<Vec<u8>, QuoteError> {
        match self.read(name, max) {
            Err(QuoteError::Device { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(Vec::new())
            }
            other => other,
        }
    }

    fn text(&self, name: &str) -> Result<String, QuoteError> {
        let bytes = self.read(name, MAX_TEXT)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    fn generation(&self) -> Result<u64, QuoteError> {
        let text = self.text("generation")?;
        text.parse()
            .map_err(|_| self.device("read", self.path.join("generation"), io::ErrorKind::InvalidData.into()))
    }

    fn device(&self, action: &'static str, path: PathBuf, source: io::Error) -> QuoteError {
        let platform = self.quoter.platform;
        let next = match source.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy | io::ErrorKind::Interrupted => {
                "the host did not answer: try again; on TDX, see that its quote generation service runs"
            }
            io::ErrorKind::PermissionDenied => "run this as root, or let its user write below that folder",
            _ => "the kernel's log (`dmesg`) may say more",
        };
        QuoteError::Device { platform, action, path, next, source }
    }
}

impl<K: Files> Drop for Request<'_, K> {
    fn drop(&mut self) {
        // a folder that stays is memory in the kernel, and no more
        if let Err(error) = self.quoter.kernel.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %error, "a report request could not be removed");
        }
    }
}

/// What the kernel does to the files of a request. Tests have another, because making a folder fills it here.
pub trait Files: Send + Sync {
    /// Makes the folder of a request.
    fn make(&self, path: &Path) -> io::Result<()>;
    /// Writes a file in one call, as the kernel demands.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Reads `max` bytes at most.
    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>>;
    /// Removes the folder of a request.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The kernel's own file system.
#[derive(Debug, Clone, Copy)]
pub struct Kernel;

impl Files for Kernel {
    fn make(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // not created: in configfs a file that is not there has no meaning
        let mut file = OpenOptions::new().write(true).open(path)?;
        match file.write(bytes)? {
            len if len == bytes.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }
}

/// What the kernel calls the driver of a platform.
fn provider_of(platform: EvidenceKind) -> Option<&'static str> {
    match platform {
        EvidenceKind::Snp => Some("sev_guest"),
        EvidenceKind::Tdx => Some("tdx_guest"),
        EvidenceKind::Simulated => None,
    }
}

const OR_SIMULATE: &str =
    "run this inside a confidential virtual machine, or use `--platform simulated` for development";

/// Why the folder of reports is not there: the first of its parents that is missing tells.
fn no_root(platform: EvidenceKind, root: &Path) -> QuoteError {
    let tsm = root.parent().unwrap_or(root);
    let config = tsm.parent().unwrap_or(tsm);
    let empty = fs::read_dir(config).is_ok_and(|mut entries| entries.next().is_none());
    let (why, next) = if !config.is_dir() {
        (
            format!(
                "there is no `{}`: this kernel has no configfs, or this container hides it",
                config.display()
            ),
            "mount it with `mount -t configfs none /sys/kernel/config`, and into the container; outside confidential \
             virtual machines use `--platform simulated` for development",
        )
    } else if empty {
        (
            format!("`{}` is empty: configfs is not mounted", config.display()),
            "mount it with `mount -t configfs none /sys/kernel/config`; outside confidential virtual machines use \
             `--platform simulated` for development",
        )
    } else if kernel_is_older_than(6, 7) {
        (
            format!("there is no `{}`: the kernel is older than 6.7", root.display()),
            "use Linux 6.7 or newer, inside a confidential virtual machine, or `--platform simulated` for development",
        )
    } else {
        (
            format!(
                "there is no `{}`: no driver of a confidential virtual machine is loaded",
                root.display()
            ),
            "load it with `modprobe sev-guest` or `modprobe tdx-guest`; if that fails this is not a confidential \
             virtual machine: use `--platform simulated` for development",
        )
    };
    QuoteError::NoHardware { platform, why, next }
}

fn no_request(platform: EvidenceKind, root: &Path, error: &io::Error) -> QuoteError {
    /// No such device or address: what configfs-tsm says when no driver gives reports.
    const ENXIO: i32 = 6;
    let root = root.display();
    let (why, next) = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (
            format!("we may not make a request in `{root}`: {error}"),
            "run this as root, or let its user write to that folder; outside confidential virtual machines use \
             `--platform simulated` for development",
        ),
        _ if error.raw_os_error() == Some(ENXIO) => (
            format!(
                "no driver gives reports in `{root}`: this is not a confidential virtual machine, or its driver is not loaded"
            ),
            OR_SIMULATE,
        ),
        _ => (format!("a request in `{root}` cannot be made: {error}"), OR_SIMULATE),
    };
    QuoteError::NoHardware { platform, why, next }
}

fn other_provider(platform: EvidenceKind, provider: &str) -> QuoteError {
    let (what, next) = match provider {
        "sev_guest" => {
            ("an AMD SEV-SNP guest", "use `--platform snp`; `--platform simulated` is for development")
        }
        "tdx_guest" => {
            ("an Intel TDX guest", "use `--platform tdx`; `--platform simulated` is for development")
        }
        _ => ("of a kind that this version does not know", OR_SIMULATE),
    };
    QuoteError::NoHardware { platform, why: format!("this machine is {what} (provider `{provider}`)"), next }
}

/// Whether the running kernel says that it is older; a version that cannot be read is not.
fn kernel_is_older_than(major: u32, minor: u32) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    version_of(&release).is_some_and(|version| version < (major, minor))
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests;

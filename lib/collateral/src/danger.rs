//! A test's root in the place of AMD's (`--danger-amd-root`). Not in released builds.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use privatemode_attest::{
    snp::Product,
    x509::{Certificate, CertificateError},
};
use privatemode_manifest::Roots;

const MAX_ROOT: u64 = 16 << 10;

/// Why there is no such root.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` has more than {MAX_ROOT} bytes, which no certificate has", path.display())]
    TooLong { path: PathBuf },
    #[error("`{}` is not a certificate in DER", path.display())]
    Form { path: PathBuf, source: CertificateError },
    #[error("`{}` is not named ARK-Milan, ARK-Genoa or ARK-Turin", path.display())]
    Name { path: PathBuf },
}

/// The root at `path`, whose name says for which product line it is.
pub(crate) fn amd_roots(path: &Path) -> Result<Roots, RootError> {
    let path = path.to_owned();
    let mut der = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_ROOT + 1).read_to_end(&mut der));
    match read {
        Err(source) => return Err(RootError::Read { path, source }),
        Ok(len) if len as u64 > MAX_ROOT => return Err(RootError::TooLong { path }),
        Ok(_) => {}
    }
    let certificate = match Certificate::parse_der(&der) {
        Ok(certificate) => certificate,
        Err(source) => return Err(RootError::Form { path, source }),
    };
    let line = certificate.common_name().and_then(|name| name.strip_prefix("ARK-"));
    let Some(product) = line.and_then(Product::from_name) else { return Err(RootError::Name { path }) };
    Roots::danger_test_snp(product, &der).map_err(|source| RootError::Form { path, source })
}

//! Where the vendors publish: base addresses, which an operator's mirror may replace, and the path of each document.

use reqwest::{Method, Url};

use crate::key::{AmdProduct, AmdTcb, Key};

/// AMD's key distribution service.
pub const AMD_KDS: &str = "https://kdsintf.amd.com/";
/// Intel's provisioning certification service.
pub const INTEL_PCS: &str = "https://api.trustedservices.intel.com/";
/// What Intel's root revoked: a file beside the service.
pub const INTEL_ROOT_CRL: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";
/// NVIDIA's reference manifests.
pub const NVIDIA_RIM: &str = "https://rim.attestation.nvidia.com/";
/// NVIDIA's certificate status.
pub const NVIDIA_OCSP: &str = "https://ocsp.ndis.nvidia.com/";

/// An address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No URL.
    #[error("the address of {vendor} is no URL; give one as https://host/")]
    Malformed {
        /// Whose.
        vendor: &'static str,
    },
    /// Readable on the way.
    #[error(
        "the address of {vendor} must begin with https://; plain HTTP is for this machine's loopback alone"
    )]
    Insecure {
        /// Whose.
        vendor: &'static str,
    },
    /// It would leak into logs and errors, or break the paths.
    #[error("the address of {vendor} must have no user name, password, query or fragment")]
    Decorated {
        /// Whose.
        vendor: &'static str,
    },
}

/// The base addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoints {
    amd_kds: Url,
    intel_pcs: Url,
    intel_root_crl: Url,
    nvidia_rim: Url,
    nvidia_ocsp: Url,
}

impl Default for Endpoints {
    fn default() -> Self {
        let url = |text: &str| Url::parse(text).expect("a constant that a test parses");
        Self {
            amd_kds: url(AMD_KDS),
            intel_pcs: url(INTEL_PCS),
            intel_root_crl: url(INTEL_ROOT_CRL),
            nvidia_rim: url(NVIDIA_RIM),
            nvidia_ocsp: url(NVIDIA_OCSP),
        }
    }
}

impl Endpoints {
    /// Asks `base` instead of AMD; a mirror serves the paths of the key distribution service below it.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn amd_kds(mut self, base: &str) -> Result<Self, EndpointError> {
        self.amd_kds = parse(base, "AMD KDS")?;
        Ok(self)
    }

    /// Asks `base` instead of Intel for all but the root's revocation list.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn intel_pcs(mut self, base: &str) -> Result<Self, EndpointError> {
        self.intel_pcs = parse(base, "Intel PCS")?;
        Ok(self)
    }

    /// Asks a caching service (PCCS) for everything of Intel's; it serves the root's revocation list under a path of its own.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn intel_pccs(mut self, base: &str) -> Result<Self, EndpointError> {
        self.intel_pcs = parse(base, "Intel PCCS")?;
        self.intel_root_crl = join(&self.intel_pcs, "/sgx/certification/v4/rootcacrl");
        Ok(self)
    }

    /// The whole address of the root's revocation list.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn intel_root_crl(mut self, url: &str) -> Result<Self, EndpointError> {
        self.intel_root_crl = parse(url, "Intel's root revocation list")?;
        Ok(self)
    }

    /// Asks `base` for reference manifests.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn nvidia_rim(mut self, base: &str) -> Result<Self, EndpointError> {
        self.nvidia_rim = parse(base, "NVIDIA RIM")?;
        Ok(self)
    }

    /// Asks `url` for certificate status.
    ///
    /// # Errors
    /// [`EndpointError`]
    pub fn nvidia_ocsp(mut self, url: &str) -> Result<Self, EndpointError> {
        self.nvidia_ocsp = parse(url, "NVIDIA OCSP")?;
        Ok(self)
    }

    pub(crate) fn request(&self, key: &Key) -> (Method, Url) {
        match key {
            Key::AmdVcek { product, chip_id, tcb } => {
                let AmdTcb { fmc, bootloader, tee, snp, microcode } = tcb;
                // Turin's chips have 8 bytes of identity; the rest of the field is zero
                let bytes = if *product == AmdProduct::Turin { 8 } else { chip_id.0.len() };
                let hwid = hex::encode(chip_id.0.get(..bytes).unwrap_or_default());
                let fmc = fmc.map(|fmc| format!("&fmcSPL={fmc:02}")).unwrap_or_default();
                let product = product.as_str();
                let path = format!(
                    "/vcek/v1/{product}/{hwid}?blSPL={bootloader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}{fmc}"
                );
                (Method::GET, join(&self.amd_kds, &path))
            }
            Key::AmdCertChain { product, signer } => {
                let path = format!("/{}/v1/{}/cert_chain", signer.as_str(), product.as_str());
                (Method::GET, join(&self.amd_kds, &path))
            }
            Key::AmdCrl { product, signer } => {
                let path = format!("/{}/v1/{}/crl", signer.as_str(), product.as_str());
                (Method::GET, join(&self.amd_kds, &path))
            }
            Key::IntelTcbInfo { fmspc } => {
                let path = format!("/tdx/certification/v4/tcb?fmspc={}", hex::encode_upper(fmspc.0));
                (Method::GET, join(&self.intel_pcs, &path))
            }
            Key::IntelQeIdentity => (Method::GET, join(&self.intel_pcs, "/tdx/certification/v4/qe/identity")),
            Key::IntelPckCrl { ca } => {
                let path = format!("/sgx/certification/v4/pckcrl?ca={}&encoding=der", ca.as_str());
                (Method::GET, join(&self.intel_pcs, &path))
            }
            Key::IntelRootCrl => (Method::GET, self.intel_root_crl.clone()),
            Key::NvidiaRim { id } => {
                (Method::GET, join(&self.nvidia_rim, &format!("/v1/rim/{}", id.as_str())))
            }
            Key::NvidiaOcsp { .. } => (Method::POST, self.nvidia_ocsp.clone()),
        }
    }

    /// Host and port of the vendor that is asked for `key`, for messages and for the pause after a refusal.
    pub(crate) fn host(&self, key: &Key) -> String {
        let (_, url) = self.request(key);
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn parse(text: &str, vendor: &'static str) -> Result<Url, EndpointError> {
    let url = Url::parse(text).map_err(|_| EndpointError::Malformed { vendor })?;
    if !url.has_host() {
        return Err(EndpointError::Malformed { vendor });
    }
    // What is fetched is signed, but who reads along learns which machines are verified, and who writes can refuse.
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
        return Err(EndpointError::Insecure { vendor });
    }
    let named = !url.username().is_empty() || url.password().is_some();
    if named || url.query().is_some() || url.fragment().is_some() {
        return Err(EndpointError::Decorated { vendor });
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `base` may have a path of its own, which `Url::join` would drop.
fn join(base: &Url, path: &str) -> Url {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url.set_query(query);
    url
}

#[cfg(test)]
mod tests;

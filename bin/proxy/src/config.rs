//! The proxy's settings: the documented flags with their names and defaults, and what they mean together.
//!
//! Each flag is also an environment variable (`--apiKey` is `PRIVATEMODE_PROXY_API_KEY`) and a key of the file that
//! `--config` names; `privatemode-service` does that. Contradictions are collected and refused together, before
//! anything is opened. Specification: product.md P3, P5 to P9, P13.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{ArgAction, builder::BoolishValueParser};
use privatemode_client::ProtocolChoice;
use privatemode_collateral::{CollateralArgs, CollateralPlan};
use privatemode_service::config::Faults;
use privatemode_wire::{
    salt::MIN_SALT,
    stream::{Padding, PaddingError},
};

use crate::key::ApiKey;

/// The public service.
const API_ENDPOINT: &str = "api.privatemode.ai:443";
/// Where its manifest is.
const CDN_BASE_URL: &str = "https://cdn.confidential.cloud/privatemode/v2";
/// Where a manifest is on a host that serves it (`protocol.md` §8, G7).
const MANIFEST_FOLDER: &str = "/privatemode/v2";
/// In the workspace: what the hardware vendors publish.
const COLLATERAL_FOLDER: &str = "collateral";
const HOUR: u64 = 3600;
const CONSTANT: &str = "constant/1024/50";

/// The flags.
#[derive(clap::Args, Clone)]
pub struct Config {
    /// Endpoint of the Privatemode API.
    #[arg(long = "apiEndpoint", value_name = "HOST:PORT", default_value = API_ENDPOINT)]
    pub api_endpoint: String,

    /// API key, or `@FILE` to read it from a file. Without one, each request needs its own `Authorization` header.
    #[arg(long = "apiKey", value_name = "KEY|@FILE", hide_default_value = true)]
    pub api_key: Option<String>,

    /// The same, under the name that all Privatemode tools read (`PRIVATEMODE_API_KEY`).
    #[arg(long = "sharedApiKey", env = "PRIVATEMODE_API_KEY", hide = true)]
    pub shared_api_key: Option<String>,

    /// Address to listen on. Anything but a loopback address lets other machines use this proxy: set TLS for that.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,

    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,

    /// How requests are encrypted: `auto` takes sealed bodies where the attested manifest has them, else the compatible
    /// protocol; `sealed` refuses a deployment without; `compatible` is a downgrade where the manifest has better.
    #[arg(long, value_name = "auto|sealed|compatible", default_value = "auto")]
    pub protocol: ProtocolChoice,

    /// How sealed bodies hide lengths: `bucket` rounds them up to a multiple of 256 bytes or by at most 12 %, `constant` sends records of one size at a
    /// fixed cadence, also as `constant/BYTES/MILLISECONDS`.
    #[arg(long, value_name = "off|bucket|constant", default_value = "bucket", value_parser = padding)]
    pub padding: Padding,

    /// Ask for the worker's signed receipt of every request and keep it in this folder. Only sealed bodies have receipts.
    #[arg(long, value_name = "DIR")]
    pub receipts: Option<PathBuf>,

    /// Folder for what the proxy writes: the log of enforced manifests in `manifests/`, dumps in `requests/`, the hardware
    /// vendors' documents in `collateral/`.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub workspace: PathBuf,

    /// Manifest file to enforce. Without it, the newest one is fetched and logged.
    #[arg(long = "manifestPath", value_name = "FILE")]
    pub manifest_path: Option<PathBuf>,

    /// Accept workers whose GPU certificates NVIDIA's OCSP service says nothing about.
    #[arg(
        long = "nvidiaOCSPAllowUnknown", value_name = "BOOL", action = ArgAction::Set, default_value_t = true,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new()
    )]
    pub nvidia_ocsp_allow_unknown: bool,

    /// Hours for which GPU certificates are still accepted after NVIDIA revoked them; 0 refuses them at once.
    #[arg(long = "nvidiaOCSPRevokedGracePeriod", value_name = "HOURS", default_value_t = 48)]
    pub nvidia_ocsp_revoked_grace_period: u64,

    /// Share the prompt cache between all users of this proxy.
    #[arg(
        long = "sharedPromptCache", value_name = "BOOL", action = ArgAction::Set, default_value_t = false,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new()
    )]
    pub shared_prompt_cache: bool,

    /// Salt of the shared prompt cache, at least 32 characters, to share it between proxies and restarts.
    #[arg(long = "promptCacheSalt", value_name = "SALT", hide_default_value = true)]
    pub prompt_cache_salt: Option<String>,

    /// Certificate chain (PEM) to serve HTTPS with; read again when it changes.
    #[arg(long = "tlsCertPath", value_name = "FILE")]
    pub tls_cert_path: Option<PathBuf>,

    /// Key (PEM) of that certificate.
    #[arg(long = "tlsKeyPath", value_name = "FILE")]
    pub tls_key_path: Option<PathBuf>,

    /// Write every request and answer in clear text into `requests/` of the workspace. For debugging only.
    #[arg(
        long = "dumpRequests", value_name = "BOOL", action = ArgAction::Set, default_value_t = false,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new()
    )]
    pub dump_requests: bool,

    /// Base URL from which the manifest is fetched; the public service's by default.
    #[arg(
        long = "cdnBaseURL", value_name = "URL",
        help = format!("Base URL from which the manifest is fetched [default: {CDN_BASE_URL}]")
    )]
    pub cdn_base_url: Option<String>,

    /// Do not check the API endpoint's TLS certificate. The encryption end to end stays; the API key is at risk.
    #[arg(
        long = "insecureAPIConnection", value_name = "BOOL", action = ArgAction::Set, default_value_t = false,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new()
    )]
    pub insecure_api_connection: bool,

    /// Web page origins that may use this proxy from a browser, besides local applications (repeatable).
    #[arg(long = "allowOrigin", value_name = "ORIGIN", action = ArgAction::Append)]
    pub allow_origin: Vec<String>,

    /// Further TLS roots (PEM), for networks that inspect TLS.
    #[arg(long = "sslCertFile", value_name = "FILE", env = "SSL_CERT_FILE")]
    pub ssl_cert_file: Option<PathBuf>,

    #[command(flatten)]
    pub collateral: CollateralArgs,

    /// Seconds that a request waits for a verified deployment before it is refused.
    #[arg(long = "attestationWait", value_name = "SECONDS", default_value_t = 30, hide = true)]
    pub attestation_wait: u64,

    /// Deprecated, without effect: the secret service is reached through the API endpoint.
    #[arg(long = "ssEndpoint", hide = true)]
    pub ss_endpoint: Option<String>,

    /// Deprecated, without effect: the coordinator is reached through the API endpoint.
    #[arg(long = "coordinatorEndpoint", hide = true)]
    pub coordinator_endpoint: Option<String>,

    /// DANGER: accept simulated evidence, which proves nothing. Only for development.
    #[cfg(feature = "simulated")]
    #[arg(long = "danger-simulated")]
    pub danger_simulated: bool,
}

/// What the flags mean together.
pub struct Settings {
    pub(crate) listen: SocketAddr,
    /// `https://host:port`
    pub(crate) api: String,
    pub(crate) api_key: Option<ApiKey>,
    pub(crate) workspace: PathBuf,
    pub(crate) manifest: ManifestOrigin,
    pub(crate) ocsp: OcspSettings,
    pub(crate) cache: PromptCache,
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    pub(crate) dump_requests: bool,
    pub(crate) insecure_api: bool,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) extra_roots: Option<PathBuf>,
    pub(crate) collateral: CollateralPlan,
    pub(crate) collateral_downgrade: Option<String>,
    pub(crate) attestation_wait: std::time::Duration,
    pub(crate) simulated: bool,
    pub(crate) protocol: ProtocolChoice,
    pub(crate) padding: Padding,
    pub(crate) receipts: Option<PathBuf>,
}

/// Where the expected manifest comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManifestOrigin {
    /// This file, for good.
    Pinned(PathBuf),
    /// The newest one at this URL.
    Url(String),
}

/// What is tolerated of GPU certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OcspSettings {
    pub(crate) allow_unknown: bool,
    /// Seconds; 0 refuses revoked certificates at once.
    pub(crate) revoked_grace: u64,
}

/// Who shares a prompt cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PromptCache {
    /// Nobody: a salt for each request.
    Off,
    /// The users of this proxy, until it ends.
    Process,
    /// Whoever uses this salt.
    Salt(String),
}

impl Config {
    /// Checks the flags against each other.
    ///
    /// # Errors
    /// Everything that is wrong, with the reason.
    pub fn settings(&self) -> Result<Settings, Faults> {
        let mut faults = Faults::new();
        let api = faults.check(self.api());
        let manifest = faults.check(self.manifest());
        let api_key = faults.check(self.key()).flatten();
        let cache = faults.check(self.cache());
        let ocsp = faults.check(self.ocsp());
        let tls = faults.check(self.tls()).flatten();
        let allow_origins = faults.check(self.origins());
        faults.append(self.needs_sealed_bodies());
        let folder = self.workspace.join(COLLATERAL_FOLDER);
        let collateral = self.collateral.plan(Some(&folder)).map_err(|wrong| faults.append(wrong)).ok();
        if let Some(path) = &self.ssl_cert_file
            && let Err(error) = fs::metadata(path)
        {
            faults.add(format!("SSL_CERT_FILE: cannot read `{}`: {error}", path.display()));
        }
        faults.into_result()?;
        let missing = "a missing part is a fault, and there was none";
        Ok(Settings {
            listen: SocketAddr::new(self.host, self.port),
            api: api.expect(missing),
            api_key,
            workspace: self.workspace.clone(),
            manifest: manifest.expect(missing),
            ocsp: ocsp.expect(missing),
            cache: cache.expect(missing),
            tls,
            dump_requests: self.dump_requests,
            insecure_api: self.insecure_api_connection,
            allow_origins: allow_origins.expect(missing),
            extra_roots: self.ssl_cert_file.clone(),
            collateral: collateral.expect(missing),
            collateral_downgrade: self.collateral.downgrade(),
            attestation_wait: std::time::Duration::from_secs(self.attestation_wait),
            simulated: self.accepts_simulated(),
            protocol: self.protocol,
            padding: self.padding,
            receipts: self.receipts.clone(),
        })
    }

    #[cfg(feature = "simulated")]
    fn accepts_simulated(&self) -> bool {
        self.danger_simulated
    }

    #[cfg(not(feature = "simulated"))]
    #[expect(clippy::unused_self, reason = "the twin of the function that reads the switch")]
    fn accepts_simulated(&self) -> bool {
        false
    }

    fn api(&self) -> Result<String, String> {
        let endpoint = self.api_endpoint.trim();
        let fault = |why: &str| {
            format!("--apiEndpoint `{endpoint}` {why}; give HOST:PORT, for example {API_ENDPOINT}")
        };
        if endpoint.contains("://") {
            return Err(fault("is a URL"));
        }
        let authority: http::uri::Authority =
            endpoint.parse().map_err(|_| fault("is not a host and port"))?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(fault("is not a host and port"));
        }
        if authority.port().is_some() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(fault("has no usable port"));
        }
        Ok(format!("https://{authority}"))
    }

    fn manifest(&self) -> Result<ManifestOrigin, String> {
        if let Some(path) = &self.manifest_path {
            return Ok(ManifestOrigin::Pinned(path.clone()));
        }
        let base = self.cdn_base_url.as_deref().unwrap_or(CDN_BASE_URL).trim().trim_end_matches('/');
        let fault = |why: &str| format!("--cdnBaseURL `{base}` {why}");
        let uri: http::Uri = base.parse().map_err(|_| fault("is not a URL"))?;
        let host = uri.host().unwrap_or_default();
        match uri.scheme_str() {
            Some("https") if !host.is_empty() => {}
            // Whoever is on the path could hand out an old manifest.
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err(fault("is not HTTPS; plain HTTP is accepted for this machine only")),
            _ => return Err(fault("is not an https:// URL")),
        }
        let folder = if base.ends_with(MANIFEST_FOLDER) { "" } else { MANIFEST_FOLDER };
        Ok(ManifestOrigin::Url(format!("{base}{folder}/manifest.json")))
    }

    /// What only sealed bodies have cannot be had from the compatible protocol: silence would pass for a record that is not
    /// kept, or for lengths that are not hidden.
    fn needs_sealed_bodies(&self) -> Faults {
        let mut faults = Faults::new();
        if self.protocol != ProtocolChoice::Compatible {
            return faults;
        }
        if self.receipts.is_some() {
            faults.add(
                "--receipts with --protocol compatible: only sealed bodies have receipts; use --protocol sealed, which refuses \
                 a deployment without, or leave --receipts out",
            );
        }
        if matches!(self.padding, Padding::Constant(_)) {
            faults.add(
                "--padding constant with --protocol compatible: only sealed bodies are padded, so exact lengths would be \
                 visible; use --protocol sealed, or leave --padding out",
            );
        }
        faults
    }

    fn key(&self) -> Result<Option<ApiKey>, String> {
        let (name, text) = match (&self.api_key, &self.shared_api_key) {
            (Some(text), _) => ("--apiKey", text),
            (None, Some(text)) => ("PRIVATEMODE_API_KEY", text),
            (None, None) => return Ok(None),
        };
        let key = match text.strip_prefix('@') {
            None => ApiKey::parse(text),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map(zeroize::Zeroizing::new)
                    .map_err(|error| format!("{name}: cannot read the key's file `{path}`: {error}"))?;
                ApiKey::parse(&text)
            }
        };
        key.map(Some).map_err(|error| {
            format!("{name}: {error}; leave it out if each caller sends its own `Authorization` header")
        })
    }

    fn cache(&self) -> Result<PromptCache, String> {
        match (&self.prompt_cache_salt, self.shared_prompt_cache) {
            (None, false) => Ok(PromptCache::Off),
            (None, true) => Ok(PromptCache::Process),
            (Some(_), false) => {
                Err("--promptCacheSalt is set but the prompt cache is not shared, so the salt would \
                 have no effect; add --sharedPromptCache, or leave the salt out"
                    .to_owned())
            }
            (Some(salt), true) if salt.chars().count() < MIN_SALT => Err(format!(
                "--promptCacheSalt has {} characters, at least {MIN_SALT} are needed so that nobody can guess it; \
                 `openssl rand -base64 32` makes one",
                salt.chars().count()
            )),
            (Some(salt), true) => Ok(PromptCache::Salt(salt.clone())),
        }
    }

    fn ocsp(&self) -> Result<OcspSettings, String> {
        let hours = self.nvidia_ocsp_revoked_grace_period;
        if !self.nvidia_ocsp_allow_unknown && hours > 0 {
            return Err(format!(
                "--nvidiaOCSPAllowUnknown=false refuses certificates of unknown state while \
                 --nvidiaOCSPRevokedGracePeriod={hours} accepts revoked ones for {hours} hours; \
                 set the grace period to 0 as well, or allow unknown"
            ));
        }
        let revoked_grace = hours
            .checked_mul(HOUR)
            .ok_or_else(|| format!("--nvidiaOCSPRevokedGracePeriod={hours} is more hours than there are"))?;
        Ok(OcspSettings { allow_unknown: self.nvidia_ocsp_allow_unknown, revoked_grace })
    }

    fn tls(&self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        match (&self.tls_cert_path, &self.tls_key_path) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err("--tlsCertPath is set without --tlsKeyPath; HTTPS needs both".to_owned()),
            (None, Some(_)) => Err("--tlsKeyPath is set without --tlsCertPath; HTTPS needs both".to_owned()),
        }
    }

    fn origins(&self) -> Result<Vec<String>, String> {
        let normal = |origin: &String| {
            let trimmed = origin.trim().trim_end_matches('/').to_ascii_lowercase();
            let is_origin =
                trimmed.split_once("://").is_some_and(|(_, host)| !host.is_empty() && !host.contains('/'));
            if is_origin {
                Ok(trimmed)
            } else {
                Err(format!(
                    "--allowOrigin `{origin}` is not an origin, for example https://chat.example.com"
                ))
            }
        };
        self.allow_origin.iter().map(normal).collect()
    }

    /// What is accepted but should be told.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (flag, value) in
            [("--ssEndpoint", &self.ss_endpoint), ("--coordinatorEndpoint", &self.coordinator_endpoint)]
        {
            if value.is_some() {
                warnings.push(format!(
                    "{flag} is deprecated and has no effect: everything goes through --apiEndpoint; leave it out"
                ));
            }
        }
        if self.manifest_path.is_some() && self.cdn_base_url.is_some() {
            warnings.push("--cdnBaseURL has no effect: --manifestPath pins the manifest".to_owned());
        }
        if self.api_key.is_none() && self.shared_api_key.is_none() {
            warnings.push(
                "no API key is configured: each request needs its own `Authorization: Bearer KEY`, and the \
                 deployment is verified when the first one comes"
                    .to_owned(),
            );
        }
        if !self.host.is_loopback() && self.tls_cert_path.is_none() {
            warnings.push(format!(
                "listening on {} without TLS: prompts and answers cross the network unencrypted between the callers \
                 and this proxy; set --tlsCertPath and --tlsKeyPath",
                self.host
            ));
        }
        if self.dump_requests {
            warnings.push(format!(
                "--dumpRequests writes every prompt and answer in CLEAR TEXT into `{}`; switch it off when you are done",
                self.workspace.join("requests").display()
            ));
        }
        if self.protocol == ProtocolChoice::Compatible {
            warnings.push(
                "--protocol compatible: sealed bodies are not used even where the deployment has them; the gateway sees \
                 exact lengths and plain fields, and could replay requests"
                    .to_owned(),
            );
        }
        if self.insecure_api_connection {
            warnings.push(
                "--insecureAPIConnection: the API endpoint's certificate is not checked; whoever is on the path can \
                 read the API key"
                    .to_owned(),
            );
        }
        warnings
    }
}

/// `constant` alone is 20 records of 1 KiB a second: 20 KB/s for each answer that is under way.
fn padding(text: &str) -> Result<Padding, PaddingError> {
    if text == "constant" { CONSTANT.parse() } else { text.parse() }
}

/// `localhost`, `127.0.0.0/8`, `::1`.
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;

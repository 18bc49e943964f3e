//! The files of `attest nvidia`: one device's report and chain, or NVIDIA's list of several devices.

use std::path::{Path, PathBuf};

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::ocsp::MAX_RESPONSE;
use privatemode_attest::gpu::rim::{self, RimError, VerifiedRim};
use privatemode_attest::gpu::{
    Bundle, DeviceEvidence, MAX_BUNDLE, Nonce, OcspPolicy, Report, ReportError, Roots,
};
use privatemode_attest::x509::{Certificate, MAX_CERTIFICATE};

use super::super::args::Nvidia;
use super::super::input::{Files, Unusable, wrong_form};

/// Far more than a device's five certificates: how many there may be is a verdict's matter.
const MAX_CHAIN: usize = 32;
const MAX_CHAIN_FILE: usize = 2 * MAX_CHAIN * MAX_CERTIFICATE;
/// Genuine ones have 60 KB.
const MAX_RIM_FILE: usize = 4 << 20;
const MAX_RESPONSES: usize = 512;

/// What the flags name, read and in its form.
pub(super) struct Input {
    pub(super) devices: Vec<Device>,
    pub(super) nonce: Nonce,
    pub(super) rims: Rims,
    pub(super) ocsp: Vec<Vec<u8>>,
    /// `None` when nobody asked about revocation.
    pub(super) ocsp_policy: Option<OcspPolicy>,
    pub(super) roots: Roots,
}

pub(super) struct Device {
    /// Its place in a list.
    pub(super) place: Option<u32>,
    pub(super) report: Vec<u8>,
    /// PEM, leaf first.
    pub(super) chain: Vec<u8>,
}

/// Reference values that were given, verified or refused.
pub(super) struct Rims {
    pub(super) driver: Option<Result<VerifiedRim, RimError>>,
    pub(super) vbios: Option<Result<VerifiedRim, RimError>>,
}

impl Input {
    pub(super) fn ocsp_asked(&self) -> bool {
        self.ocsp_policy.is_some()
    }
}

/// One that was given and is genuine.
pub(super) fn good(rim: &Option<Result<VerifiedRim, RimError>>) -> Option<&VerifiedRim> {
    rim.as_ref()?.as_ref().ok()
}

pub(super) fn read(arguments: &Nvidia) -> Result<Input, Unusable> {
    let nonce = nonce(&arguments.nonce)?;
    let ocsp_policy = match (&arguments.require_ocsp, &arguments.ocsp) {
        (Some(text), _) => Some(ocsp_policy(text)?),
        (None, Some(_)) => Some(OcspPolicy::REQUIRE_GOOD),
        (None, None) => None,
    };
    let mut files = Files::default();
    let devices = devices(&mut files, arguments)?;
    let roots = match &arguments.common.danger_root {
        None => Roots::embedded(),
        Some(path) => danger_roots(&mut files, path)?,
    };
    let at = arguments.common.at;
    let driver = arguments.driver_rim.as_deref();
    let driver = driver.map(|path| rim(&mut files, "--driver-rim", path, &roots, at)).transpose()?;
    let vbios = arguments.vbios_rim.as_deref();
    let vbios = vbios.map(|path| rim(&mut files, "--vbios-rim", path, &roots, at)).transpose()?;
    let ocsp = match &arguments.ocsp {
        None => Vec::new(),
        Some(folder) => responses(&mut files, folder)?,
    };
    Ok(Input { devices, nonce, rims: Rims { driver, vbios }, ocsp, ocsp_policy, roots })
}

fn nonce(text: &str) -> Result<Nonce, Unusable> {
    let bytes = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Nonce).ok_or_else(|| Unusable::Value {
        flag: "--nonce",
        value: text.to_owned(),
        what: "32 bytes in hexadecimal (64 digits)".to_owned(),
    })
}

/// `good`, `unknown`, `revoked-grace=H`, or the last two together with a comma.
fn ocsp_policy(text: &str) -> Result<OcspPolicy, Unusable> {
    let refused = || Unusable::Value {
        flag: "--require-ocsp",
        value: text.to_owned(),
        what: "`good`, `unknown` or `revoked-grace=H` with a number of hours".to_owned(),
    };
    text.split(',').try_fold(OcspPolicy::REQUIRE_GOOD, |policy, part| match part.split_once('=') {
        None if part == "good" && text == part => Ok(policy),
        None if part == "unknown" => Ok(OcspPolicy { allow_unknown: true, ..policy }),
        Some(("revoked-grace", hours)) => {
            let hours = hours.parse().map_err(|_| refused())?;
            Ok(OcspPolicy { revoked_grace: OcspPolicy::allow_revoked(hours).revoked_grace, ..policy })
        }
        _ => Err(refused()),
    })
}

/// One device, or those of NVIDIA's list, which carries the chains.
fn devices(files: &mut Files, arguments: &Nvidia) -> Result<Vec<Device>, Unusable> {
    let path = &arguments.evidence;
    let evidence = files.read("--evidence", path, MAX_BUNDLE)?;
    if evidence.trim_ascii_start().starts_with(b"[") {
        let bundle = Bundle::from_nvidia_list(&evidence).map_err(|source| {
            wrong_form("--evidence", path, "a list of devices as NVIDIA's tools write it", &evidence, source)
        })?;
        let chain = arguments.chain.as_deref().map(|chain| Unusable::Value {
            flag: "--chain",
            value: chain.display().to_string(),
            what: "needed: the list in --evidence carries the chains".to_owned(),
        });
        if let Some(unusable) = chain {
            return Err(unusable);
        }
        if bundle.devices.is_empty() {
            return Err(Unusable::Empty { flag: "--evidence", path: path.clone() });
        }
        for device in &bundle.devices {
            check_forms(path, &device.report, path, &device.chain)?;
        }
        let numbered = (0_u32..).zip(bundle.devices);
        let device = |(place, device): (u32, DeviceEvidence)| Device {
            place: Some(place),
            report: device.report,
            chain: device.chain,
        };
        return Ok(numbered.map(device).collect());
    }
    let chain_path = arguments.chain.as_deref().ok_or_else(|| Unusable::Value {
        flag: "--chain",
        value: String::new(),
        what: "a file: it is needed for one device's report".to_owned(),
    })?;
    let chain = files.read("--chain", chain_path, MAX_CHAIN_FILE)?;
    check_forms(path, &evidence, chain_path, &chain)?;
    Ok(vec![Device { place: None, report: evidence, chain }])
}

fn check_forms(report_path: &Path, report: &[u8], chain_path: &Path, chain: &[u8]) -> Result<(), Unusable> {
    match Report::parse(report) {
        Err(source) if is_of_no_form(&source) => {
            return Err(wrong_form("--evidence", report_path, "a measurement report", report, source));
        }
        _ => {}
    }
    Certificate::parse_pem_chain(chain, MAX_CHAIN)
        .map(|_| ())
        .map_err(|source| wrong_form("--chain", chain_path, "a chain of certificates in PEM", chain, source))
}

/// Cut, of no known layout, or with lengths that do not fit. Whatever else is wrong is a whole report's fault, and gets a
/// verdict.
fn is_of_no_form(error: &ReportError) -> bool {
    !matches!(error, ReportError::VersionsDiffer { .. } | ReportError::Request)
}

/// One test root for both, or the devices' followed by the RIMs'.
fn danger_roots(files: &mut Files, path: &Path) -> Result<Roots, Unusable> {
    let flag = "--danger-root";
    let bytes = files.read(flag, path, 4 * MAX_CERTIFICATE)?;
    let what = "one or two certificates in PEM, or one in DER";
    let refused = |source| wrong_form(flag, path, what, &bytes, source);
    let roots = match Certificate::parse_pem_chain(&bytes, 2) {
        Ok(roots) => roots,
        Err(_) => vec![Certificate::parse(&bytes).map_err(refused)?],
    };
    match &roots[..] {
        [device, rim] => Ok(Roots::danger_test(device.clone(), rim.clone())),
        [both] => Ok(Roots::danger_test(both.clone(), both.clone())),
        _ => Err(Unusable::Empty { flag, path: path.to_owned() }),
    }
}

/// What is no XML is unusable; a RIM that is refused is a verdict.
fn rim(
    files: &mut Files,
    flag: &'static str,
    path: &Path,
    roots: &Roots,
    at: UnixTime,
) -> Result<Result<VerifiedRim, RimError>, Unusable> {
    let xml = files.read(flag, path, MAX_RIM_FILE)?;
    match rim::verify(&xml, roots, at) {
        Err(source @ RimError::Xml(_)) => Err(wrong_form(flag, path, "a RIM in XML", &xml, source)),
        verified => Ok(verified),
    }
}

/// All `*.der` of a directory. Which certificate a response is about is its own word, and checked with it.
fn responses(files: &mut Files, folder: &Path) -> Result<Vec<Vec<u8>>, Unusable> {
    let flag = "--ocsp";
    let failed = |source| Unusable::Read { flag, path: folder.to_owned(), source };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "der") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    if paths.is_empty() {
        return Err(Unusable::Empty { flag, path: folder.to_owned() });
    }
    if paths.len() > MAX_RESPONSES {
        let what = format!("a folder of at most {MAX_RESPONSES} responses");
        return Err(Unusable::Value { flag, value: folder.display().to_string(), what });
    }
    paths.iter().map(|path| files.read(flag, path, MAX_RESPONSE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_of_revocation() {
        assert_eq!(ocsp_policy("good").unwrap(), OcspPolicy::REQUIRE_GOOD);
        assert_eq!(ocsp_policy("unknown").unwrap(), OcspPolicy::ALLOW_UNKNOWN);
        assert_eq!(ocsp_policy("revoked-grace=48").unwrap(), OcspPolicy::allow_revoked(48));
        let both = OcspPolicy { allow_unknown: true, ..OcspPolicy::allow_revoked(48) };
        assert_eq!(ocsp_policy("unknown,revoked-grace=48").unwrap(), both);
        for text in
            ["", "bad", "good,unknown", "revoked-grace", "revoked-grace=", "revoked-grace=-1", "unknown,"]
        {
            assert!(ocsp_policy(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_nonce_has_32_bytes() {
        assert_eq!(nonce(&"a0".repeat(32)).unwrap(), Nonce([0xa0; 32]));
        for text in ["", "a0", &"a0".repeat(31), &"a0".repeat(33), &"zz".repeat(32)] {
            assert!(nonce(text).is_err(), "{text}");
        }
    }
}

//! Settings.

use std::path::PathBuf;

use privatemode_attest::{
    ReportData,
    gpu::{OcspPolicy, Policy, Versions},
};
use privatemode_collateral::{Collector, Endpoints, Settings};
use privatemode_service::{Chain, Faults};

use crate::Tell;

/// How long past its time a document may stand in for one that NVIDIA does not give, in days. It only keeps the document at
/// hand: the verification decides by the document's own dates whether it counts.
const KEPT_DAYS: u64 = 14;

/// The settings of the attestation agent.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// The report data of the CPU's evidence, 64 bytes in hexadecimal: the GPUs' nonces are derived from it.
    #[arg(long, value_name = "HEX", value_parser = report_data)]
    pub report_data: ReportData,
    /// How many GPUs this machine has. All of them are attested, or none.
    #[arg(long, value_name = "COUNT")]
    pub gpus: Option<usize>,
    /// A driver version that is accepted; give it several times for several. Without it, every version for which NVIDIA
    /// publishes reference values.
    #[arg(long = "allow-driver", value_name = "VERSION")]
    pub allow_driver: Vec<String>,
    /// A VBIOS version that is accepted, as `--allow-driver`.
    #[arg(long = "allow-vbios", value_name = "VERSION")]
    pub allow_vbios: Vec<String>,
    /// Accept certificates of which NVIDIA's responder says nothing, or cannot be asked. Lenient.
    #[arg(long)]
    pub ocsp_allow_unknown: bool,
    /// Accept certificates that were revoked at most so many hours ago. Lenient.
    #[arg(long, value_name = "HOURS")]
    pub ocsp_revoked_grace: Option<u32>,
    /// Folder where NVIDIA's documents are kept between starts.
    #[arg(long, value_name = "DIR")]
    pub collateral_dir: Option<PathBuf>,
    /// Mirror of NVIDIA's reference manifests.
    #[arg(long, value_name = "URL")]
    pub nvidia_rim_url: Option<String>,
    /// Mirror of NVIDIA's OCSP responder.
    #[arg(long, value_name = "URL")]
    pub nvidia_ocsp_url: Option<String>,
    /// Where the verified evidence is written.
    #[arg(long, value_name = "FILE", default_value = "gpu-evidence.json")]
    pub out: PathBuf,
    /// Where the states of the GPUs' certificates are written, for the inference proxy.
    #[arg(long, value_name = "FILE", default_value = "ocsp-status.json")]
    pub status: PathBuf,
    /// This workload's mesh key (P-256, PKCS #8 in PEM): the evidence is then signed with it as well.
    #[arg(long, value_name = "FILE", requires = "mesh_certificate")]
    pub mesh_key: Option<PathBuf>,
    /// This workload's mesh certificate, PEM, leaf first.
    #[arg(long, value_name = "FILE", requires = "mesh_key")]
    pub mesh_certificate: Option<PathBuf>,
    /// Where the signed evidence is written.
    #[arg(long, value_name = "FILE", default_value = "gpu-evidence.signed.json")]
    pub signed_out: PathBuf,
    /// End once the GPUs are ready, without keeping the states of their certificates current.
    #[arg(long)]
    pub once: bool,
}

/// What the settings come to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For the devices' nonces.
    pub report_data: ReportData,
    /// How many GPUs there must be; without it, at least one.
    pub gpus: Option<usize>,
    /// What is accepted of them.
    pub policy: Policy,
    /// Where the outcome goes.
    pub tell: Tell,
    /// End after the first time.
    pub once: bool,
}

impl Config {
    /// The settings without what fetches.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let versions = |list: &[String]| {
            if list.is_empty() { Versions::Any } else { Versions::OneOf(list.to_vec()) }
        };
        let ocsp = OcspPolicy {
            allow_unknown: self.ocsp_allow_unknown,
            ..self.ocsp_revoked_grace.map_or(OcspPolicy::REQUIRE_GOOD, OcspPolicy::allow_revoked)
        };
        let signer = self.mesh_key.clone().zip(self.mesh_certificate.clone());
        Plan {
            report_data: self.report_data,
            gpus: self.gpus,
            policy: Policy {
                drivers: versions(&self.allow_driver),
                vbios: versions(&self.allow_vbios),
                ocsp,
            },
            tell: Tell {
                evidence: self.out.clone(),
                status: self.status.clone(),
                signed: signer.map(|(key, certificate)| (key, certificate, self.signed_out.clone())),
            },
            once: self.once,
        }
    }

    /// What fetches. Asks nobody yet.
    ///
    /// # Errors
    /// All that is wrong with the settings of it.
    pub fn collector(&self) -> Result<Collector, Faults> {
        let mut faults = Faults::new();
        let mut endpoints = Endpoints::default();
        let mut mirror = |flag: &str, changed: Result<Endpoints, _>| {
            faults.check(changed.map_err(|error| format!("{flag}: {error}")))
        };
        if let Some(url) = &self.nvidia_rim_url {
            endpoints = mirror("--nvidia-rim-url", endpoints.clone().nvidia_rim(url)).unwrap_or(endpoints);
        }
        if let Some(url) = &self.nvidia_ocsp_url {
            endpoints = mirror("--nvidia-ocsp-url", endpoints.clone().nvidia_ocsp(url)).unwrap_or(endpoints);
        }
        let settings = Settings {
            folder: self.collateral_dir.clone(),
            endpoints,
            grace: std::time::Duration::from_secs(KEPT_DAYS * 24 * 3600),
            ..Settings::default()
        };
        let collector = faults
            .check(Collector::new(settings).map_err(|error| format!("--collateral-dir: {}", Chain(&error))));
        faults.into_result()?;
        collector.ok_or_else(Faults::new)
    }

    /// What is weaker than it could be.
    #[must_use]
    pub fn downgrades(&self) -> Vec<String> {
        let unknown = self.ocsp_allow_unknown.then(|| {
            "certificates whose state is unknown are accepted (--ocsp-allow-unknown): a revocation can be kept away".to_owned()
        });
        let revoked = self.ocsp_revoked_grace.map(|hours| {
            format!("certificates are accepted for {hours} h after their revocation (--ocsp-revoked-grace)")
        });
        unknown.into_iter().chain(revoked).collect()
    }
}

fn report_data(text: &str) -> Result<ReportData, String> {
    let bytes = hex::decode(text).map_err(|error| format!("not hexadecimal: {error}"))?;
    ReportData::try_from(&bytes[..]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        config: Config,
    }

    fn config(flags: &[&str]) -> Result<Config, clap::Error> {
        let report_data = format!("--report-data={}", "5a".repeat(64));
        let line = ["agent", &report_data].into_iter().chain(flags.iter().copied());
        <Line as clap::Parser>::try_parse_from(line).map(|line| line.config)
    }

    #[test]
    fn report_data_is_64_bytes() {
        assert_eq!(report_data(&"5a".repeat(64)), Ok(ReportData::from([0x5a; 64])));
        for (wrong, why) in [("5a", "has 1 bytes"), ("", "has 0 bytes"), ("zz", "not hexadecimal")] {
            let error = report_data(wrong).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn nothing_but_good_certificates_is_accepted_unless_it_is_said() {
        let strict = config(&[]).unwrap();
        assert_eq!(strict.plan().policy.ocsp, OcspPolicy::REQUIRE_GOOD);
        assert!(strict.downgrades().is_empty());
        let lenient = config(&["--ocsp-allow-unknown", "--ocsp-revoked-grace=2"]).unwrap();
        let expected = OcspPolicy { allow_unknown: true, revoked_grace: Some(7200), response_grace: 0 };
        assert_eq!(lenient.plan().policy.ocsp, expected);
        assert_eq!(lenient.downgrades().len(), 2);
    }

    #[test]
    fn versions_are_any_or_those_that_are_named() {
        let Policy { drivers, vbios, .. } =
            config(&["--allow-driver=550.1", "--allow-driver=570.2"]).unwrap().plan().policy;
        assert_eq!(drivers, Versions::OneOf(vec!["550.1".to_owned(), "570.2".to_owned()]));
        assert_eq!(vbios, Versions::Any);
    }

    #[test]
    fn a_key_goes_with_its_certificate() {
        for alone in ["--mesh-key=k.pem", "--mesh-certificate=c.pem"] {
            let error = config(&[alone]).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::MissingRequiredArgument);
        }
        let both = config(&["--mesh-key=k.pem", "--mesh-certificate=c.pem"]).unwrap();
        let signed = both.plan().tell.signed.unwrap();
        assert_eq!(signed, ("k.pem".into(), "c.pem".into(), "gpu-evidence.signed.json".into()));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = config(&["--nvidia-rim-url=http://example.com", "--nvidia-ocsp-url=nonsense"]).unwrap();
        assert_eq!(
            wrong.collector().unwrap_err().list(),
            [
                "--nvidia-rim-url: the address of NVIDIA RIM must begin with https://; plain HTTP is for this machine's loopback alone",
                "--nvidia-ocsp-url: the address of NVIDIA OCSP is no URL; give one as https://host/",
            ]
        );
    }
}

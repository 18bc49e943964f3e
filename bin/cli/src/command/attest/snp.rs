//! `privatemode attest snp`: an AMD SEV-SNP report (`attestation.md` §3).

mod fields;

use privatemode_attest::snp::{
    self, CrlState, Endorsement, Evidence, Product, Report, ReportError, Roots, Step,
};
use privatemode_attest::x509::{Certificate, Crl, MAX_CERTIFICATE, MAX_CRL};
use privatemode_manifest::appraise::appraise_snp;

use super::args::Snp;
use super::expect::Expectations;
use super::input::{Files, Unusable, wrong_form};
use super::manifest::{self, Given};
use super::steps::{self, GenuineStep, Genuineness, Judge};
use super::verdict::{Values, Verdict};

/// PEM is longer than DER by a third and its frame; a file may carry comments.
const MAX_CERTIFICATE_FILE: usize = 4 * MAX_CERTIFICATE;
const MAX_CRL_FILE: usize = 2 * MAX_CRL;
/// Far more than a report, to say what a longer file looks like.
const MAX_REPORT_FILE: usize = 64 * 1024;

/// What the flags name, read and in its form.
struct Input {
    report: Vec<u8>,
    vek: Vec<u8>,
    ask: Vec<u8>,
    ark: Vec<u8>,
    crl: Option<Vec<u8>>,
    roots: Roots,
    manifest: Option<Given>,
}

/// Verifies, or says why there is nothing to verify.
pub(crate) fn run(arguments: &Snp) -> Result<Verdict, Unusable> {
    let expectations = Expectations::parse(&arguments.common.expect, fields::TABLE)?;
    let input = read(arguments, &expectations)?;
    let mut verdict = Verdict::new("snp", arguments.common.at);
    if let Some(path) = &arguments.common.danger_root {
        verdict.danger(format!(
            "`{}` stands in the place of AMD's root: this proves nothing about hardware",
            path.display()
        ));
    }
    if input.crl.is_none() {
        verdict.warn("revocation: NOT CHECKED (no --crl was given)");
    }
    if let Some(given) = &input.manifest {
        given.note(&mut verdict);
    }
    judge(&mut verdict, arguments, &input, &expectations);
    Ok(verdict)
}

fn read(arguments: &Snp, expectations: &Expectations<Evidence>) -> Result<Input, Unusable> {
    let mut files = Files::default();
    let manifest = manifest::read(&mut files, arguments.manifest.as_deref(), expectations)?;
    let report = files.read("--report", &arguments.report, MAX_REPORT_FILE)?;
    // every other fault is one that a whole report has, and gets a verdict
    if let Err(source @ (ReportError::Length { .. } | ReportError::Version { .. })) = Report::parse(&report) {
        return Err(wrong_form("--report", &arguments.report, "an SEV-SNP report", &report, source));
    }
    let mut certificate = |flag, path: &std::path::Path| {
        let bytes = files.read(flag, path, MAX_CERTIFICATE_FILE)?;
        match Certificate::parse(&bytes) {
            Ok(certificate) => Ok((bytes, certificate)),
            Err(source) => Err(wrong_form(flag, path, "one certificate in DER or PEM", &bytes, source)),
        }
    };
    let (flag, path) = match (&arguments.vcek, &arguments.vlek) {
        (Some(path), _) => ("--vcek", path),
        (None, Some(path)) => ("--vlek", path),
        (None, None) => {
            let what = "given, and neither is --vlek".to_owned();
            return Err(Unusable::Value { flag: "--vcek", value: String::new(), what });
        }
    };
    let (vek, _) = certificate(flag, path)?;
    let (ask, _) = certificate("--ask", &arguments.ask)?;
    let (ark, _) = certificate("--ark", &arguments.ark)?;
    let danger = arguments.common.danger_root.as_deref();
    let danger = danger.map(|path| certificate("--danger-root", path)).transpose()?;
    let roots = match danger {
        None => Roots::embedded(),
        Some((bytes, root)) => danger_roots(&bytes, &root, &report)?,
    };
    let crl = match &arguments.crl {
        None => None,
        Some(path) => {
            let bytes = files.read("--crl", path, MAX_CRL_FILE)?;
            let crl = Crl::parse(&bytes);
            crl.map_err(|source| {
                wrong_form("--crl", path, "a revocation list in DER or PEM", &bytes, source)
            })?;
            Some(bytes)
        }
    };
    Ok(Input { report, vek, ask, ark, crl, roots, manifest })
}

/// The test root for the product line that it names itself, or else the report.
fn danger_roots(bytes: &[u8], root: &Certificate, report: &[u8]) -> Result<Roots, Unusable> {
    let named = root.common_name().and_then(|name| name.strip_prefix("ARK-")).and_then(Product::from_name);
    let product = named.or_else(|| Report::parse(report).ok()?.product());
    let refused = |what: &str| Unusable::Value {
        flag: "--danger-root",
        value: root.common_name().unwrap_or_default().to_owned(),
        what: what.to_owned(),
    };
    let product = product.ok_or_else(|| {
        refused("the root of a product line: its common name is not ARK-Milan, ARK-Genoa or ARK-Turin")
    })?;
    Roots::danger_test(product, bytes).map_err(|_| refused("a certificate"))
}

fn judge(verdict: &mut Verdict, arguments: &Snp, input: &Input, expectations: &Expectations<Evidence>) {
    let endorsement = Endorsement {
        vek: &input.vek,
        ask: &input.ask,
        ark: &input.ark,
        crl: input.crl.as_deref(),
        crl_grace: 0,
    };
    let by = if input.manifest.is_some() { Judge::Manifest } else { Judge::Rules };
    let steps = Step::ALL.iter().map(|step| GenuineStep { number: step.number(), name: step.name() });
    let values = |name: &str, evidence: Option<&Evidence>| step_values(name, evidence, &input.report);
    let unchecked = |name: &str, evidence: &Evidence| {
        name == Step::RevocationList.name() && evidence.crl == CrlState::NotGiven
    };
    match snp::verify(&input.report, &endorsement, &input.roots, arguments.common.at) {
        Err(error) => {
            let step = error.step();
            let came = Genuineness::Fails { step: step.name(), error: &error, next: next(step) };
            steps::genuine(verdict, steps, &came, values, unchecked);
            steps::none_reached(verdict, fields::ROWS, expectations, by);
            if input.manifest.is_some() {
                manifest::no_snp_reached(verdict);
            }
        }
        Ok(genuine) => {
            steps::genuine(verdict, steps, &Genuineness::Holds(&*genuine), values, unchecked);
            if !expectations.names("report_data") {
                verdict.warn(super::REPLAY);
            }
            steps::compare(verdict, fields::ROWS, &genuine, expectations, by);
            let Some(given) = &input.manifest else { return };
            // a mismatch is in the rows above, with both values
            match genuine.bound_to(given.report_data()) {
                Ok(verified) => given.judge(verdict, appraise_snp(&given.manifest, &verified)),
                Err(_) => manifest::no_snp_reached(verdict),
            }
        }
    }
}

/// What a step saw. Before the signature holds, these are claims.
fn step_values(name: &str, evidence: Option<&Evidence>, report: &[u8]) -> Values {
    let values = Values::default();
    if name == Step::Report.name() {
        return Report::parse(report).map_or(values, |report| {
            Values::default()
                .number("version", report.version)
                .text("signer", &report.signer)
                .optional(report.cpuid, |values, cpuid| values.text("processor", &cpuid))
                .text("firmware", &report.current_version)
        });
    }
    let Some(evidence) = evidence else { return values };
    match name {
        "revocation_list" => match evidence.crl {
            CrlState::NotGiven => values.text("state", "not given"),
            CrlState::Fresh { until } => values.text("state", "fresh").text("until", &until),
            CrlState::Grace { ended, until } => {
                values.text("state", "ended, tolerated").text("ended", &ended).text("until", &until)
            }
        },
        "endorsement_key" => values
            .text("key", &evidence.signer)
            .optional(evidence.cloud.as_deref(), |values, cloud| values.text("cloud", cloud))
            .text("all_valid_until", &evidence.valid_until),
        "product" => values.text("product", &evidence.product),
        "tcb" => values.text("certified_tcb", &evidence.vek_tcb),
        "chip" => values.text(
            "chip",
            match evidence.chip {
                snp::ChipBinding::Certified => "the certificate names this chip",
                snp::ChipBinding::Masked => "masked in the report",
                snp::ChipBinding::CloudKey => "a cloud's key, for no particular chip",
            },
        ),
        _ => values,
    }
}

/// What a person can do when a step fails.
fn next(step: Step) -> &'static str {
    match step {
        Step::Report => "ask the guest for a new report, or use a newer version of this program",
        Step::Root => {
            "fetch the ARK of the report's product line from AMD's key distribution service, and check --at"
        }
        Step::SigningKey => {
            "give the ASK for a VCEK or the ASVK for a VLEK, of the same product line as the ARK, and check --at"
        }
        Step::RevocationList => {
            "fetch the product line's current list; if a certificate is on it, trust nothing that it signed"
        }
        Step::EndorsementKey => {
            "fetch the VCEK of this chip and TCB from AMD, or give the cloud's VLEK; check --at"
        }
        Step::Product => "fetch the certificates of the report's own product line",
        Step::Tcb | Step::Chip => "fetch the VCEK that AMD made for this chip at exactly the reported TCB",
        Step::Signature => {
            "ask the guest for a new report; if it happens again, somebody changes it on the way"
        }
    }
}

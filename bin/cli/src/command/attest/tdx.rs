//! `privatemode attest tdx`: an Intel TDX quote with its collateral (`attestation.md` §4).

mod fields;

use std::error::Error as StdError;

use privatemode_attest::Genuine;
use privatemode_attest::tdx::{
    self, Advisories, Collateral, Evidence, Freshness, MAX_DOCUMENT, MAX_QUOTE, Quote, QuoteError, Roots,
    Step, TcbStatus, Tolerance,
};
use privatemode_attest::x509::{Certificate, MAX_CERTIFICATE, MAX_CRL};
use privatemode_manifest::appraise::{appraise_tdx, tdx as appraise};

use super::args::Tdx;
use super::expect::Expectations;
use super::input::{self, Files, Unusable, wrong_form};
use super::manifest::{self, Given};
use super::steps::{self, GenuineStep, Genuineness, Judge};
use super::verdict::{Values, Verdict};

/// Both revocation lists are in hexadecimal.
const MAX_COLLATERAL_FILE: usize = 4 * MAX_CRL + 4 * MAX_DOCUMENT;
const MAX_CERTIFICATE_FILE: usize = 4 * MAX_CERTIFICATE;

/// What the flags name, read and in its form.
struct Input {
    quote: Vec<u8>,
    collateral: Collateral,
    roots: Roots,
    manifest: Option<Given>,
    tolerance: Tolerance,
}

/// Verifies, or says why there is nothing to verify.
pub(crate) fn run(arguments: &Tdx) -> Result<Verdict, Unusable> {
    let expectations = Expectations::parse(&arguments.common.expect, fields::TABLE)?;
    let input = read(arguments, &expectations)?;
    let mut verdict = Verdict::new("tdx", arguments.common.at);
    if let Some(path) = &arguments.common.danger_root {
        verdict.danger(format!(
            "`{}` stands in the place of Intel's root: this proves nothing about hardware",
            path.display()
        ));
    }
    for (status, advisories) in input.tolerance.entries() {
        verdict.warn(format!("TCB status: {status} is tolerated, {}", with(advisories)));
    }
    if let Some(given) = &input.manifest {
        given.note(&mut verdict);
    }
    judge(&mut verdict, arguments, &input, &expectations);
    Ok(verdict)
}

fn with(advisories: &Advisories) -> String {
    match advisories {
        Advisories::Any => "with any advisory".to_owned(),
        Advisories::Listed(listed) => format!("with these advisories only: {}", listed.join(", ")),
    }
}

fn read(arguments: &Tdx, expectations: &Expectations<Evidence>) -> Result<Input, Unusable> {
    let given = tolerance(&arguments.tolerate)?;
    let mut files = Files::default();
    let manifest = manifest::read(&mut files, arguments.manifest.as_deref(), expectations)?;
    let tolerance = match &manifest {
        None => given,
        Some(manifest) => tolerance_of(manifest, &arguments.tolerate)?,
    };
    let quote = files.read("--quote", &arguments.quote, MAX_QUOTE)?;
    if let Err(source) = Quote::parse(&quote)
        && is_of_no_form(&source)
    {
        return Err(wrong_form("--quote", &arguments.quote, "a TDX quote", &quote, source));
    }
    let path = &arguments.collateral;
    let bytes = files.read("--collateral", path, MAX_COLLATERAL_FILE)?;
    let collateral = Collateral::from_json(&bytes)
        .map_err(|source| wrong_form("--collateral", path, "a JSON object of collateral", &bytes, source))?;
    let roots = match &arguments.common.danger_root {
        None => Roots::embedded(),
        Some(path) => {
            let flag = "--danger-root";
            let bytes = files.read(flag, path, MAX_CERTIFICATE_FILE)?;
            Certificate::parse(&bytes)
                .and_then(|root| Roots::danger_test(root.der()))
                .map_err(|source| wrong_form(flag, path, "one certificate in DER or PEM", &bytes, source))?
        }
    };
    Ok(Input { quote, collateral, roots, tolerance, manifest })
}

/// Cut, of no known layout, or with lengths that do not fit. Whatever else is wrong is a whole quote's fault, and gets a
/// verdict.
fn is_of_no_form(error: &QuoteError) -> bool {
    matches!(
        error,
        QuoteError::TooLong { .. }
            | QuoteError::Truncated { .. }
            | QuoteError::Version { .. }
            | QuoteError::BodySize { .. }
            | QuoteError::Slack { .. }
    )
}

/// What any entry of the manifest tolerates; each of them judges again. The flag could only seem to add to it.
fn tolerance_of(given: &Given, flags: &[String]) -> Result<Tolerance, Unusable> {
    let refused =
        |value: &str, what: String| Unusable::Value { flag: "--tolerate", value: value.to_owned(), what };
    if let Some(value) = flags.first() {
        let what = "possible with --manifest, whose ToleratedTCBStatus says what is tolerated; leave it out";
        return Err(refused(value, what.to_owned()));
    }
    appraise::tolerance(&given.manifest.reference_values().tdx)
        .map_err(|error| refused("ToleratedTCBStatus of the manifest", format!("possible: {error}")))
}

/// `STATUS[:ADVISORY,…]`, each of them.
fn tolerance(given: &[String]) -> Result<Tolerance, Unusable> {
    given.iter().try_fold(Tolerance::strict(), |tolerance, text| {
        let refused = |what: String| Unusable::Value { flag: "--tolerate", value: text.clone(), what };
        let (name, advisories) = match text.split_once(':') {
            None => (text.as_str(), Advisories::Any),
            Some((name, listed)) => {
                let listed: Vec<String> = listed.split(',').map(|each| each.trim().to_owned()).collect();
                if listed.iter().any(String::is_empty) {
                    return Err(refused(
                        "a status followed by advisories, as OutOfDate:INTEL-SA-01036".to_owned(),
                    ));
                }
                (name, Advisories::Listed(listed))
            }
        };
        let names = TcbStatus::ALL.map(TcbStatus::name);
        let status = TcbStatus::from_name(name).ok_or_else(|| {
            let near = input::nearest(name, &names).map(|near| format!("; did you mean `{near}`?"));
            refused(format!("a TCB status of Intel's: {}{}", names.join(", "), near.unwrap_or_default()))
        })?;
        tolerance.and(status, advisories).map_err(|error| refused(format!("possible: {error}")))
    })
}

fn judge(verdict: &mut Verdict, arguments: &Tdx, input: &Input, expectations: &Expectations<Evidence>) {
    let by = if input.manifest.is_some() { Judge::Manifest } else { Judge::Rules };
    let steps = Step::ALL.iter().map(|step| GenuineStep { number: step.number(), name: step.name() });
    let values = |name: &str, evidence: Option<&Evidence>| step_values(name, evidence, &input.quote);
    match verify(arguments, input) {
        Err((step, error)) => {
            let came = Genuineness::Fails { step: step.name(), error: &*error, next: next(step) };
            steps::genuine(verdict, steps, &came, values, |_, _| false);
            steps::none_reached(verdict, fields::ROWS, expectations, by);
            if input.manifest.is_some() {
                manifest::no_tdx_reached(verdict);
            }
        }
        Ok(genuine) => {
            steps::genuine(verdict, steps, &Genuineness::Holds(&*genuine), values, |_, _| false);
            if genuine.tolerated {
                verdict.warn(format!("TCB status: {}, and not UpToDate", genuine.tcb_status));
            }
            if !expectations.names("report_data") {
                verdict.warn(super::REPLAY);
            }
            steps::compare(verdict, fields::ROWS, &genuine, expectations, by);
            let Some(given) = &input.manifest else { return };
            // a mismatch is in the rows above, with both values
            match genuine.bound_to(given.report_data()) {
                Ok(verified) => given.judge(verdict, appraise_tdx(&given.manifest, &verified)),
                Err(_) => manifest::no_tdx_reached(verdict),
            }
        }
    }
}

fn verify(arguments: &Tdx, input: &Input) -> Result<Genuine<Evidence>, (Step, Box<dyn StdError>)> {
    let at = arguments.common.at;
    // step 1 before step 2, as the specification has it: a wrong quote is the weightier news
    Quote::parse(&input.quote).map_err(|error| (Step::Structure, error.into()))?;
    let collateral =
        input.collateral.verify(&input.roots, at).map_err(|error| (error.step(), error.into()))?;
    tdx::verify(&input.quote, &collateral, &input.tolerance, at).map_err(|error| (error.step(), error.into()))
}

/// What a step saw. Before the signature holds, these are claims.
fn step_values(name: &str, evidence: Option<&Evidence>, quote: &[u8]) -> Values {
    let values = Values::default();
    if name == Step::Structure.name() {
        return Quote::parse(quote).map_or(values, |quote| {
            let body = if quote.body().v1_5.is_some() { "TDX 1.5" } else { "TDX 1.0" };
            Values::default().number("version", quote.version()).text("body", body)
        });
    }
    let Some(evidence) = evidence else { return values };
    match name {
        "collateral" => match evidence.freshness {
            Freshness::Current { until } => values.text("current_until", &until),
            Freshness::Grace { since, overdue } => {
                values.text("ended", &since).number("overdue_seconds", overdue)
            }
        },
        "pck_chain" => values.text("pck_ca", evidence.pck_ca.name()),
        "quoting_enclave" => values
            .number("isv_svn", evidence.qe_report.isv_svn)
            .text("status", &evidence.quoting_enclave.status),
        "tcb_level" => {
            let module = evidence.tdx_module.as_ref();
            values
                .hex("sgx_components", &evidence.pck.components)
                .number("pce_svn", evidence.pck.pce_svn)
                .hex("tee_tcb_svn", &evidence.body.tee_tcb_svn)
                .text("tcb_date", &evidence.tcb_date)
                .text("platform", &evidence.platform.status)
                .optional(module, |values, module| values.text("tdx_module", &module.status))
        }
        "tcb_status" => values
            .text("status", &evidence.tcb_status)
            .flag("tolerated", evidence.tolerated)
            .list("advisories", &evidence.advisories),
        _ => values,
    }
}

/// What a person can do when a step fails.
fn next(step: Step) -> &'static str {
    match step {
        Step::Structure => {
            "ask the trust domain for a new quote; an SGX quote proves an enclave, and is none"
        }
        Step::Collateral => {
            "fetch collateral for the quote's FMSPC from Intel, for the time that --at says, and check --at"
        }
        Step::PckChain => {
            "fetch collateral that belongs to the quote; if a certificate is revoked, trust nothing of the host"
        }
        Step::QuotingEnclave => {
            "the host must run Intel's current quoting enclave; ask for a quote made by that"
        }
        Step::QuoteSignature => "ask for a new quote; if it happens again, somebody changes it on the way",
        Step::TcbLevel => "fetch the collateral of the quote's FMSPC, or have the host updated",
        Step::TcbStatus => {
            "have the host updated; or read the advisories, and accept them with --tolerate (with --manifest: in it)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(given: &[&str]) -> Result<Tolerance, Unusable> {
        tolerance(&given.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn tolerances_name_a_status_and_its_advisories() {
        assert!(parse(&[]).unwrap().is_strict());
        assert_eq!(parse(&["OutOfDate"]).unwrap().entries(), [(TcbStatus::OutOfDate, Advisories::Any)]);
        let listed = Advisories::Listed(vec!["INTEL-SA-00001".to_owned(), "INTEL-SA-00002".to_owned()]);
        assert_eq!(
            parse(&["SWHardeningNeeded:INTEL-SA-00001,INTEL-SA-00002"]).unwrap().entries(),
            [(TcbStatus::SwHardeningNeeded, listed)]
        );
    }

    #[test]
    fn other_tolerances_are_unusable() {
        for (text, says) in [
            ("outofdate", "did you mean `OutOfDate`?"),
            ("Revoked", "cannot be tolerated"),
            ("OutOfDate:", "followed by advisories"),
            ("OutOfDate:INTEL-SA-00001,", "followed by advisories"),
            ("", "a TCB status of Intel's"),
        ] {
            let error = parse(&[text]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

//! `privatemode attest nvidia`: measurement reports of NVIDIA GPUs and switches (`attestation.md` §5).

mod fields;
mod read;

use privatemode_attest::gpu::measurements::{self, Compared};
use privatemode_attest::gpu::ocsp::CertStatus;
use privatemode_attest::gpu::{
    self, AppraisalError, AppraisedDevice, Collateral, Fleet, FleetError, NonceRule, OcspPolicy, Policy,
    Report, Step, VerifiedDevice, VerifyError, Versions, verify_device,
};

use super::args::Nvidia;
use super::expect::Expectations;
use super::input::Unusable;
use super::steps::{self, GenuineStep, Genuineness};
use super::verdict::{Values, Verdict};
use read::{Device, Input, Rims};

/// The steps of one device that show that it is genuine, in order.
const GENUINE: [Step; 5] = [Step::Structure, Step::Nonce, Step::Chain, Step::Signature, Step::FirmwareId];
/// Those that compare it with NVIDIA's reference values.
const APPRAISED: [Step; 3] = [Step::Rims, Step::Measurements, Step::Revocation];

/// Verifies, or says why there is nothing to verify.
pub(crate) fn run(arguments: &Nvidia) -> Result<Verdict, Unusable> {
    let expectations = Expectations::parse(&arguments.common.expect, fields::TABLE)?;
    let input = read::read(arguments)?;
    let mut verdict = Verdict::new("nvidia", arguments.common.at);
    if let Some(path) = &arguments.common.danger_root {
        verdict.danger(format!(
            "`{}` stands in the place of NVIDIA's roots: this proves nothing about hardware",
            path.display()
        ));
    }
    let mut genuine = Vec::new();
    for device in &input.devices {
        genuine.extend(judge(&mut verdict, arguments, &input, device, &expectations));
    }
    machine(&mut verdict, &input, &genuine);
    Ok(verdict)
}

/// Steps 1 to 8 of one device; gives it back if it is genuine.
fn judge(
    verdict: &mut Verdict,
    arguments: &Nvidia,
    input: &Input,
    device: &Device,
    expectations: &Expectations<VerifiedDevice>,
) -> Option<VerifiedDevice> {
    let steps = GENUINE.iter().map(|step| GenuineStep { number: step.number(), name: step.name() });
    let values = |name: &str, found: Option<&VerifiedDevice>| step_values(name, found, device);
    match verify_device(&device.report, &device.chain, &input.roots, &input.nonce, arguments.common.at) {
        Err(error) => {
            let came = Genuineness::Fails { step: error.step().name(), error: &error, next: next(&error) };
            steps::genuine(verdict, steps, &came, values, |_, _| false);
            steps::none_reached(verdict, fields::ROWS, expectations, steps::Judge::Rules);
            for step in APPRAISED {
                verdict.not_reached(step.number(), step.name());
            }
            None
        }
        Ok(genuine) => {
            steps::genuine(verdict, steps, &Genuineness::Holds(&genuine), values, |_, _| false);
            steps::compare(verdict, fields::ROWS, &genuine, expectations, steps::Judge::Rules);
            compare(verdict, arguments, input, &genuine);
            Some(genuine)
        }
    }
}

/// Steps 6 to 8.
fn compare(verdict: &mut Verdict, arguments: &Nvidia, input: &Input, device: &VerifiedDevice) {
    let Rims { driver, vbios } = &input.rims;
    if driver.is_none() && vbios.is_none() && !input.ocsp_asked() {
        verdict.warn("measurements: NOT COMPARED (no RIM was given): the device is genuine, what runs on it is unknown");
        verdict.warn("revocation: NOT CHECKED (no --ocsp was given)");
        verdict.not_compared(6, Step::Rims.name(), needed(device));
        verdict.not_compared(7, Step::Measurements.name(), Values::default());
        verdict.not_compared(8, Step::Revocation.name(), Values::default());
        return;
    }
    for (what, rim) in [("driver", driver), ("vbios", vbios)] {
        if let Some(Err(error)) = rim {
            verdict.failed(6, Step::Rims.name(), Values::default().text("refused", what), error, RIM);
            verdict.not_reached(7, Step::Measurements.name());
            verdict.not_reached(8, Step::Revocation.name());
            return;
        }
    }
    let (driver, vbios) = (read::good(driver), read::good(vbios));
    let policy = Policy {
        drivers: Versions::Any,
        vbios: Versions::Any,
        // without responses and without a demand for any, nothing is known
        ocsp: input.ocsp_policy.unwrap_or(OcspPolicy::ALLOW_UNKNOWN),
    };
    let collateral = Collateral { driver, vbios, ocsp: &input.ocsp };
    match gpu::appraise(device.clone(), &collateral, &policy, arguments.common.at) {
        Ok(appraised) => appraised_rows(verdict, input, &appraised),
        Err(AppraisalError::RimMissing { id }) if vbios.is_some() => {
            // the lesser RIM may already prove that the device runs something else, which is the weightier news
            let differs = vbios.map(|vbios| measurements::compare(device, driver, vbios));
            match differs {
                Some(Err(error)) => {
                    verdict.warn(format!("reference values are missing: no RIM `{id}`"));
                    verdict.not_compared(6, Step::Rims.name(), needed(device));
                    verdict.failed(7, Step::Measurements.name(), Values::default(), &error, FIRMWARE);
                    verdict.not_reached(8, Step::Revocation.name());
                }
                _ => refused_rows(verdict, device, &AppraisalError::RimMissing { id }),
            }
        }
        Err(error) => refused_rows(verdict, device, &error),
    }
}

fn refused_rows(verdict: &mut Verdict, device: &VerifiedDevice, error: &AppraisalError) {
    let failed = error.step();
    // a version that is missing is what no RIM can be chosen by
    let failed = if failed == Step::Versions { Step::Rims } else { failed };
    let mut behind = false;
    for step in APPRAISED {
        let values = if step == Step::Rims { needed(device) } else { Values::default() };
        if step == failed {
            behind = true;
            let next = match step {
                Step::Rims => RIM,
                Step::Measurements => FIRMWARE,
                _ => {
                    "fetch fresh OCSP responses for all certificates; trust no device whose certificate is revoked"
                }
            };
            verdict.failed(step.number(), step.name(), values, error, next);
        } else if behind {
            verdict.not_reached(step.number(), step.name());
        } else {
            verdict.passed(step.number(), step.name(), values);
        }
    }
}

fn appraised_rows(verdict: &mut Verdict, input: &Input, appraised: &AppraisedDevice) {
    let compared: &Compared = appraised.compared();
    let skipped: Vec<String> = compared.skipped().iter().map(ToString::to_string).collect();
    verdict.passed(6, Step::Rims.name(), needed(appraised.device()));
    verdict.passed(
        7,
        Step::Measurements.name(),
        Values::default()
            .number("equal", u64::try_from(compared.equal()).unwrap_or(u64::MAX))
            .list("not_measured", &skipped),
    );
    let states: Vec<String> = appraised.states().iter().map(ToString::to_string).collect();
    let values = Values::default().list("states", &states);
    if !input.ocsp_asked() {
        verdict.warn("revocation: NOT CHECKED (no --ocsp was given)");
        verdict.not_compared(8, Step::Revocation.name(), Values::default());
        return;
    }
    for state in appraised.states().iter().filter(|state| state.status != CertStatus::Good) {
        verdict.warn(format!("OCSP: {state}. Accepted because --require-ocsp says so"));
    }
    verdict.passed(8, Step::Revocation.name(), values);
}

/// Step 9, as far as evidence alone can say it.
fn machine(verdict: &mut Verdict, input: &Input, genuine: &[VerifiedDevice]) {
    let (fleet_step, mode) = (Step::Fleet, Step::Mode);
    if genuine.len() < input.devices.len() {
        verdict.not_reached(fleet_step.number(), fleet_step.name());
        verdict.not_reached(mode.number(), mode.name());
        return;
    }
    let devices: Vec<&VerifiedDevice> = genuine.iter().collect();
    let switches = devices.iter().filter(|device| device.architecture().is_switch()).count();
    let gpus = devices.len().saturating_sub(switches);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let values = Values::default().number("gpus", count(gpus)).number("switches", count(switches));
    let number = fleet_step.number();
    // how many there should be is the machine's owner's to know; one nonce was given for all
    match (Fleet { gpus, switches, nonces: NonceRule::Common }).check_genuine(&devices) {
        Ok(()) if devices.len() > 1 => verdict.passed(number, fleet_step.name(), values),
        Ok(()) => verdict.not_compared(number, fleet_step.name(), values),
        Err(
            error @ (FleetError::Switches { .. } | FleetError::Topology { .. } | FleetError::Count { .. }),
        ) => {
            verdict.warn(format!("machine: NOT COMPLETE in this evidence: {error}"));
            verdict.not_compared(number, fleet_step.name(), values);
        }
        Err(error) => verdict.failed(number, fleet_step.name(), values, &error, FLEET),
    }
    verdict.not_compared(mode.number(), mode.name(), Values::default());
}

const RIM: &str =
    "fetch the RIMs that are named from NVIDIA's RIM service, in a version that is valid at --at";
const FIRMWARE: &str =
    "the device runs other firmware or settings than NVIDIA published for its versions: do not use it";
const FLEET: &str = "collect the evidence of all devices again, each once and with the same nonce";

/// The RIMs that the device needs, by their names at NVIDIA's service.
fn needed(device: &VerifiedDevice) -> Values {
    Values::default()
        .optional(device.driver_rim_id(), |values, id| values.text("driver_rim", &id))
        .optional(device.vbios_rim_id(), |values, id| values.text("vbios_rim", &id))
}

/// What a step saw. Before the signature holds, these are claims.
fn step_values(name: &str, genuine: Option<&VerifiedDevice>, device: &Device) -> Values {
    let values = Values::default();
    match (name, genuine) {
        ("structure", _) => {
            let values = values.optional(device.place, |values, place| values.number("device", place));
            let report = Report::parse(&device.report).ok();
            values.optional(report, |values, report| {
                values.number("measurements", u64::try_from(report.measurements().len()).unwrap_or(u64::MAX))
            })
        }
        ("nonce", Some(genuine)) => values.hex("nonce", &genuine.report().nonce().0),
        ("chain", Some(genuine)) => values
            .text("architecture", genuine.architecture().name())
            .text("chip", genuine.chip())
            .hex("leaf_serial", genuine.leaf_serial()),
        ("firmware_id", Some(genuine)) => {
            values.optional(genuine.report().opaque().fwid, |values, fwid| values.hex("fwid", &fwid))
        }
        _ => values,
    }
}

/// What a person can do when a device is not genuine.
fn next(error: &VerifyError) -> &'static str {
    match error.step() {
        Step::Nonce => "ask the device again with a fresh nonce, and give that with --nonce",
        Step::Chain => {
            "give the device's own chain, its certificate first and NVIDIA's root last, and check --at"
        }
        Step::Signature => {
            "give report and chain of the same device; if it happens again, somebody changes the report"
        }
        Step::FirmwareId => {
            "read report and chain again in one go: the device's firmware changed in between, or lies"
        }
        _ => "ask the device for a new report; a newer version of this program may know its form",
    }
}

//! The list of targets.

use crate::{attest, manifest, wire};

/// Feeds bytes to one parser. What it returns does not matter; that it returns does.
pub(crate) type Run = fn(&[u8]);

/// All targets by name, as `cargo xtask fuzz --list` shows them.
const TARGETS: &[(&str, Run)] = &[
    ("certificate", attest::certificate),
    ("crl", attest::crl),
    ("public-key", attest::public_key),
    ("snp-report", attest::snp_report),
    ("snp-evidence", attest::snp_evidence),
    ("tdx-quote", attest::tdx_quote),
    ("tdx-evidence", attest::tdx_evidence),
    ("tdx-collateral", attest::tdx_collateral),
    ("gpu-report", attest::gpu_report),
    ("gpu-bundle", attest::gpu_bundle),
    ("rim", attest::rim),
    ("ocsp", attest::ocsp),
    ("azure", attest::azure),
    ("manifest", manifest::manifest),
    ("attestation-document", manifest::document),
    ("json", wire::json),
    ("sse", wire::sse),
    ("multipart", wire::multipart),
    ("sealed-fields", wire::sealed_fields),
    ("sealed-body", wire::sealed_body),
    ("heads", wire::heads),
    ("receipt", wire::receipt),
    ("outer-headers", wire::outer_headers),
];

/// The target that the environment names; without it, their names.
#[expect(clippy::print_stdout, reason = "the list is what was asked for")]
pub(crate) fn chosen() -> Run {
    let names = || TARGETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("\n");
    let Ok(wanted) = std::env::var("PRIVATEMODE_FUZZ_TARGET") else {
        println!("{}", names());
        std::process::exit(0);
    };
    let found = TARGETS.iter().find(|(name, _)| *name == wanted);
    let Some((_, run)) = found else { panic!("no fuzz target {wanted}; there are:\n{}", names()) };
    *run
}

//! What verifying evidence costs, beside the second implementations, in one run.
//!
//! Prints medians, ratios and allocations as a table. Timings are for reading, nothing is asserted.

#![expect(clippy::print_stdout, reason = "the figures are this program's output")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bench_evidence::{GpuCase, SnpCase, TdxCase, dcap_qvl, gpu_case, sev, snp_cases, tdx_cases};
use privatemode_attest::snp::{Chain, ChainParts, Roots};
use privatemode_attest::tdx::{self, Tolerance};

const ROUNDS: usize = 400;

struct Row {
    what: String,
    median: Duration,
    p99: Duration,
    allocations: u64,
}

fn measure(what: impl Into<String>, mut work: impl FnMut() -> bool) -> Row {
    let what = what.into();
    assert!(work(), "{what}: not accepted");
    let allocations = allocation_counter::measure(|| {
        black_box(work());
    })
    .count_total;
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(work());
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    Row { what, median: times[ROUNDS / 2], p99: times[ROUNDS * 99 / 100], allocations }
}

fn show(title: &str, rows: &[Row]) {
    println!("\n{title} ({ROUNDS} rounds)\n");
    println!(
        "| what | median µs | p99 µs | against the first | allocations |\n| --- | ---: | ---: | ---: | ---: |"
    );
    let first = rows[0].median.as_secs_f64();
    for row in rows {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "| {} | {:.0} | {:.0} | {:.2} | {} |",
            row.what,
            micros(row.median),
            micros(row.p99),
            row.median.as_secs_f64() / first,
            row.allocations
        );
    }
}

fn snp(case: &SnpCase) -> Vec<Row> {
    let roots = Roots::embedded();
    let parts = ChainParts { ask: &case.ask, ark: &case.ark, crl: None, crl_grace: 0 };
    let chain = Chain::verify(&parts, &roots, case.at).expect("a case that is valid");
    vec![
        measure("`sev` 8, signatures of chain and report", || sev(case)),
        measure("ours, everything", || case.ours()),
        measure("ours, chain kept", || chain.verify_report(&case.report, &case.vek, case.at).is_ok()),
    ]
}

fn tdx(case: &TdxCase) -> Vec<Row> {
    let collateral = case.collateral.verify(&tdx::Roots::embedded(), case.at).expect("a case that is valid");
    let strict = Tolerance::default();
    vec![
        measure("`dcap-qvl` 0.7, everything", || dcap_qvl(case)),
        measure("ours, everything", || case.ours()),
        measure("ours, collateral kept", || tdx::verify(&case.quote, &collateral, &strict, case.at).is_ok()),
    ]
}

/// No second implementation is here: NVIDIA's own needs C++ libraries that no registry has.
fn gpu(case: &GpuCase) -> anyhow::Result<Vec<Row>> {
    let (driver, vbios) = case.rims()?;
    Ok(vec![
        measure("ours, report and device chain", || case.device()),
        measure("ours, both reference documents", || case.rims().is_ok()),
        measure("ours, everything, documents kept", || case.whole(&driver, &vbios)),
    ])
}

fn main() -> anyhow::Result<()> {
    let (snps, tdxs) = (snp_cases()?, tdx_cases()?);
    if snps.is_empty() {
        println!("SKIPPED: no evidence lies beside the repository, there is nothing to measure");
        return Ok(());
    }
    for name in ["milan-v3-azure-vtpm", "genoa-v3-azure-vtpm"] {
        let case = snps.iter().find(|case| case.name == name).expect("the case is in the list");
        show(&format!("SEV-SNP, {name}"), &snp(case));
    }
    for name in ["emr-b0c06f-uptodate", "v5-90c06f-uptodate"] {
        let case = tdxs.iter().find(|case| case.name == name && case.valid).expect("the case is in the list");
        show(&format!("TDX, {name}"), &tdx(case));
    }
    if let Some(case) = gpu_case()? {
        show("NVIDIA H100", &gpu(&case)?);
    }
    Ok(())
}

//! Builds the fuzzer with coverage instrumentation and runs its targets (`fuzz/`), each for a bounded time.
//!
//! Needs no nightly compiler: the instrumentation flags are LLVM's. Corpora grow below `target/fuzz`, and start from real
//! evidence where it lies beside the repository, and from the test vectors.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=4";

/// Real evidence with expected verdicts, if it is there.
const EVIDENCE: &str = "../shared/evidence";

/// An input that takes longer than this is a finding.
const SLOWEST_INPUT_S: u32 = 5;

/// Runs all targets, or those named, for `--seconds` each; a finding fails, and names the file that repeats it.
pub(crate) fn run(arguments: &[String]) -> Result<String> {
    let (seconds, wanted) = parse(arguments)?;
    let fuzzer = build()?;
    // without a target it lists them
    let listed = Command::new(&fuzzer).output().context("the fuzzer does not start")?;
    let all: Vec<String> = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("no fuzz target {unknown}; there are:\n  {}", all.join("\n  "));
    }
    let seeds =
        files(Path::new(EVIDENCE)).into_iter().chain(files(Path::new("testdata"))).collect::<Vec<_>>();
    let mut table = String::from("fuzzed:");
    for target in all.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        let runs = fuzz(&fuzzer, target, seconds, &seeds)?;
        table.push_str(&format!("\n  {target:<24} {runs:>12} inputs, none of them a finding"));
    }
    Ok(table)
}

fn parse(arguments: &[String]) -> Result<(u32, Vec<String>)> {
    let mut seconds = 10;
    let mut wanted = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--seconds" {
            let value = rest.next().context("--seconds needs a number")?;
            seconds = value.parse().with_context(|| format!("--seconds {value}: not a number"))?;
        } else {
            wanted.push(argument.clone());
        }
    }
    Ok((seconds, wanted))
}

fn build() -> Result<PathBuf> {
    let version = Command::new("rustc").arg("-vV").output()?;
    let version = String::from_utf8(version.stdout)?;
    // a named target keeps the flags away from build scripts and macros
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let folder = std::env::current_dir()?.join("target/fuzz");
    let built = Command::new("cargo")
        .args(["build", "--profile", "fuzz", "--locked", "--package", "privatemode-fuzz", "--target", host])
        .env("RUSTFLAGS", FLAGS)
        .env("CARGO_TARGET_DIR", &folder)
        .status()?;
    if !built.success() {
        bail!("the fuzzer does not build");
    }
    Ok(folder.join(host).join("fuzz/privatemode-fuzz"))
}

fn fuzz(fuzzer: &Path, target: &str, seconds: u32, seeds: &[PathBuf]) -> Result<String> {
    let corpus = PathBuf::from("target/fuzz/corpus").join(target);
    let findings = PathBuf::from("target/fuzz/findings").join(target);
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&findings)?;
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::copy(seed, corpus.join(format!("seed-{number}")))?;
    }
    let output = Command::new(fuzzer)
        .env("PRIVATEMODE_FUZZ_TARGET", target)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={SLOWEST_INPUT_S}"))
        .args(["-max_len=65536", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg(&corpus)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{target}: a finding, kept in {}\n{said}", findings.display());
    }
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(runs.unwrap_or("?").trim().to_owned())
}

/// Every file below a folder that is small enough to be a seed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if entry.metadata().is_ok_and(|data| data.len() <= 65_536) {
            found.push(path);
        }
    }
    found.sort();
    found
}

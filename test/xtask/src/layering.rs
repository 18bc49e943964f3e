//! Who may import whom, read from `cargo metadata`, `cargo tree` and the sources (docs: architecture).
//!
//! The rules: `core` ← `lib` ← `bin`; a pure core; binaries never import each other, but for the command line tool;
//! signatures are verified in `core/attest` alone; the gateway cannot link what opens a body; no released binary has
//! the simulated platform on by default.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The package that may import other binaries, for `up`.
const COMMAND_LINE: &str = "privatemode";

/// What has no place in a crate that takes time, randomness and bytes as arguments.
const IMPURE_CRATES: &[&str] = &["tokio", "reqwest", "hyper", "rustls", "getrandom", "axum", "rand"];
const IMPURE_CALLS: &[&str] =
    &["SystemTime::now", "Instant::now", "std::fs", "std::net", "std::env", "SysRng", "OsRng"];

/// What holds secrets or opens bodies.
const OPENERS: &[&str] = &["hpke", "aes-gcm", "privatemode-client", "privatemode-store"];

/// Calls that decide whether a signature or a chain holds.
const VERIFICATION: &[&str] =
    &["VerifyingKey", "verify_prehash_raw", "verify_digest", "UnparsedPublicKey", "ParsedPublicKey"];

const RELEASED: &[&str] = &[
    "privatemode-proxy",
    "privatemode-gateway",
    "privatemode-coordinator",
    "privatemode-secret-service",
    "privatemode-inference-proxy",
    "privatemode-attestation-agent",
    "privatemode-engine",
];

/// What has simulated evidence, fake reports or a test's root as its feature `simulated`.
const SIMULATING: &[&str] = &["privatemode-attest ", "privatemode-collateral ", "privatemode-mesh "];

struct Package {
    name: String,
    folder: PathBuf,
    dependencies: BTreeSet<String>,
    default_features: Vec<String>,
}

/// Checks all rules; every fault is in the error, one line each.
pub(crate) fn check() -> Result<String> {
    let (root, packages) = packages()?;
    let mut faults = Vec::new();
    directions(&root, &packages, &mut faults);
    purity(&root, &packages, &mut faults)?;
    verification(&root, &packages, &mut faults)?;
    gateway(&packages, &mut faults)?;
    simulated(&packages, &mut faults)?;
    if faults.is_empty() {
        Ok(format!("layering: {} packages, every rule holds", packages.len()))
    } else {
        bail!("layering:\n  {}", faults.join("\n  "))
    }
}

fn packages() -> Result<(PathBuf, BTreeMap<String, Package>)> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps"])?;
    let metadata: Value = serde_json::from_str(&text)?;
    let root = PathBuf::from(metadata["workspace_root"].as_str().context("no workspace root")?);
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("a package without a name")?.to_owned();
        let manifest = PathBuf::from(package["manifest_path"].as_str().context("no manifest path")?);
        let dependencies = package["dependencies"]
            .as_array()
            .context("no dependencies")?
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        let default_features = package["features"]["default"]
            .as_array()
            .map(|list| list.iter().filter_map(|f| f.as_str().map(str::to_owned)).collect())
            .unwrap_or_default();
        let folder = manifest.parent().context("no folder")?.to_path_buf();
        packages.insert(name.clone(), Package { name, folder, dependencies, default_features });
    }
    Ok((root, packages))
}

/// The first folder below the workspace root: `core`, `lib`, `bin` or `test`.
fn rank(root: &Path, package: &Package) -> u8 {
    let relative = package.folder.strip_prefix(root).unwrap_or(&package.folder);
    match relative.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned()).as_deref()
    {
        Some("core") => 0,
        Some("lib") => 1,
        Some("bin") => 2,
        _ => 3,
    }
}

fn directions(root: &Path, packages: &BTreeMap<String, Package>, faults: &mut Vec<String>) {
    for package in packages.values() {
        let from = rank(root, package);
        for dependency in package.dependencies.iter().filter_map(|name| packages.get(name)) {
            let to = rank(root, dependency);
            let name = &package.name;
            let imported = &dependency.name;
            if to > from {
                faults.push(format!("{name} imports {imported}, which is of a higher rank"));
            }
            if from == 2 && to == 2 && name != COMMAND_LINE {
                faults.push(format!("{name} imports {imported}: binaries never import each other"));
            }
            if from == 0 && !(name == "privatemode-manifest" && imported == "privatemode-attest") {
                faults.push(format!(
                    "{name} imports {imported}: wire, attest and manifest know nothing of each other"
                ));
            }
        }
    }
}

fn purity(root: &Path, packages: &BTreeMap<String, Package>, faults: &mut Vec<String>) -> Result<()> {
    for package in packages.values().filter(|package| rank(root, package) == 0) {
        for crate_name in IMPURE_CRATES.iter().filter(|name| package.dependencies.contains(**name)) {
            faults.push(format!(
                "{} imports {crate_name}: core takes time, randomness and bytes as arguments",
                package.name
            ));
        }
        mentions(package, IMPURE_CALLS, |file, line, call| {
            faults.push(format!("{}:{line}: `{call}` in core", file.display()));
        })?;
    }
    Ok(())
}

fn verification(root: &Path, packages: &BTreeMap<String, Package>, faults: &mut Vec<String>) -> Result<()> {
    for package in packages.values().filter(|p| p.name != "privatemode-attest" && rank(root, p) < 3) {
        mentions(package, VERIFICATION, |file, line, call| {
            faults.push(format!("{}:{line}: `{call}` belongs into core/attest", file.display()));
        })?;
    }
    Ok(())
}

fn gateway(packages: &BTreeMap<String, Package>, faults: &mut Vec<String>) -> Result<()> {
    let gateway = packages.get("privatemode-gateway").context("there is no gateway")?;
    let tree = cargo(&[
        "tree",
        "--package",
        "privatemode-gateway",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}|{f}",
        "--all-features",
    ])?;
    for line in tree.lines() {
        let (package, features) = line.split_once('|').unwrap_or((line, ""));
        let name = package.split(' ').next().unwrap_or_default();
        if OPENERS.contains(&name) {
            faults.push(format!("the gateway links {name}, which holds secrets or opens bodies"));
        }
        if name == "privatemode-wire" && features.split(',').any(|feature| feature == "cipher") {
            faults.push("the gateway links privatemode-wire with its feature `cipher`".to_owned());
        }
    }
    let opening = ["wire::message", "wire::secret", "wire::exchange", "wire::field", "wire::multipart"];
    mentions(gateway, &opening, |file, line, call| {
        faults.push(format!("{}:{line}: `{call}` in the gateway", file.display()));
    })
}

fn simulated(packages: &BTreeMap<String, Package>, faults: &mut Vec<String>) -> Result<()> {
    for name in RELEASED {
        let package = packages.get(*name).with_context(|| format!("there is no {name}"))?;
        if package.default_features.iter().any(|feature| feature.contains("simulated")) {
            faults.push(format!("{name} has the simulated platform on by default"));
        }
        let tree = cargo(&[
            "tree",
            "--package",
            name,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}|{f}",
        ])?;
        for line in tree.lines().filter(|line| SIMULATING.iter().any(|name| line.starts_with(name))) {
            if line.split('|').nth(1).is_some_and(|features| features.split(',').any(|f| f == "simulated")) {
                let part = line.split(' ').next().unwrap_or_default();
                faults.push(format!("{name}, built alone, links {part} with its feature `simulated`"));
            }
        }
    }
    Ok(())
}

/// Calls `found` for each line of the package's non-test sources that has one of `words` outside a comment.
fn mentions(package: &Package, words: &[&str], mut found: impl FnMut(&Path, usize, &str)) -> Result<()> {
    let mut folders = vec![package.folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
                continue;
            }
            if !name.ends_with(".rs") || name == "tests.rs" {
                continue;
            }
            let text = std::fs::read_to_string(&path)?;
            // Test modules stand last in a file, by convention.
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(&text);
            for (index, line) in code.lines().enumerate() {
                let line = line.split("//").next().unwrap_or_default();
                for word in words.iter().filter(|word| line.contains(**word)) {
                    found(&path, index + 1, word);
                }
            }
        }
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program).args(arguments).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

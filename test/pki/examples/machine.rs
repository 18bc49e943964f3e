//! Writes a machine that is an AMD Genoa in everything but its root, for `privatemode up --danger-fake-snp`:
//! `cargo run --package privatemode-test-pki --example machine -- DIR`

#![allow(clippy::print_stderr, reason = "a program")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use privatemode_test_pki::amd::{Evidence, Extras, Product, Signer};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("name the folder to write");
        return ExitCode::from(2);
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let machine = Evidence::new(Product::Genoa, Signer::Vcek).made_at(now);
    match machine.write_machine(&folder, Extras::All) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write `{}`: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

//! The program itself, on a machine without GPUs.

use std::process::{Command, Output};

fn program(flags: &[&str]) -> Output {
    let folder = tempfile::TempDir::new().unwrap();
    Command::new(env!("CARGO_BIN_EXE_privatemode-attestation-agent"))
        .current_dir(folder.path())
        .env_clear()
        .args(flags)
        .output()
        .unwrap()
}

#[test]
fn without_hardware_it_says_what_is_missing() {
    if std::path::Path::new("/proc/driver/nvidia").exists() {
        eprintln!("SKIPPED: this machine has NVIDIA's driver, and a test must not set its GPUs ready");
        return;
    }
    let output = program(&["--report-data", &"5a".repeat(64)]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let error = text.lines().last().unwrap();
    let expected = if cfg!(feature = "nvml") {
        "error: there is no NVIDIA driver here: its library libnvidia-ml.so.1 cannot be loaded; install the driver, or \
         mount it into this container (NVIDIA's container toolkit does)"
    } else {
        "error: this build leaves NVIDIA's driver out; use one with the feature `nvml`"
    };
    assert!(error.starts_with(expected), "{text}");
}

#[test]
fn wrong_settings_are_told_from_failures() {
    for (flags, expected) in [
        (&["--report-data=5a"][..], "has 1 bytes"),
        (&[], "--report-data"),
        (
            &["--report-data", &"5a".repeat(64), "--nvidia-rim-url=nonsense"],
            "--nvidia-rim-url: the address of NVIDIA RIM is no URL",
        ),
    ] {
        let output = program(flags);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

//! A released proxy cannot read simulated evidence.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Guard, Up};

/// Cargo unifies features over a workspace, so the released shape exists only when the package is built alone.
fn released_proxy() -> std::path::PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // The same target directory: what the tests compiled is used again.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "privatemode-proxy"])
        .current_dir(&root)
        .status()
        .unwrap();
    assert!(status.success());
    Path::new(env!("CARGO_BIN_EXE_privatemode-under-test")).with_file_name("privatemode-proxy")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_proxy_refuses_simulated_evidence() {
    let program = tokio::task::spawn_blocking(released_proxy).await.unwrap();
    let up = Up::start(&[]);
    let gateway = up.ready["gateway"].as_str().unwrap().trim_start_matches("https://").to_owned();
    let workspace = tempfile::tempdir().unwrap();
    let arguments = |command: &mut Command| {
        command
            .args(["--announce", "--port", "0", "--apiEndpoint", &gateway, "--workspace"])
            .arg(workspace.path());
        command.arg("--manifestPath").arg(up.directory().join("deployment/manifest.json"));
        command.arg("--apiKey").arg(format!("@{}", up.directory().join("api-key").display()));
        command.env("SSL_CERT_FILE", up.directory().join("gateway/tls-certificate.pem"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    };

    // The switches do not exist.
    for switch in [&["--danger-simulated"][..], &["--danger-amd-root", "ark.der"]] {
        let mut command = Command::new(&program);
        arguments(&mut command);
        let mut child = Guard::spawn(command.args(switch));
        let status = child.wait(Duration::from_secs(30)).expect("it ends");
        assert_eq!(status.code(), Some(2));
        let text = child.stderr();
        assert!(text.contains(&format!("unexpected argument '{}'", switch[0])), "{text}");
    }

    // And without the switch, the manifest is refused: at the start, with the reason.
    let mut command = Command::new(&program);
    arguments(&mut command);
    let mut child = Guard::spawn(&mut command);
    let status = child.wait(Duration::from_secs(60)).expect("it ends by itself");
    assert_eq!(status.code(), Some(1));
    let text = child.stderr();
    assert!(text.to_lowercase().contains("simulated"), "{text}");
}

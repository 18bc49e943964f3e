//! A process seen from outside: its announcement, its end, its exit codes. This program starts itself with arguments.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitCode, Stdio},
};

use privatemode_service::{Announcement, BoxFuture, Faults, Process, listen, run_main};

/// Tells the started copy apart from the test.
const CHILD: &str = "PRIVATEMODE_TEST_CHILD";

#[derive(clap::Args)]
struct Config {
    #[arg(long, default_value = "serve")]
    mode: String,
    #[arg(long)]
    number: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
#[error("the disk is full")]
struct DiskFull;

fn child(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        match config.mode.as_str() {
            "fail" => return Err(anyhow::Error::new(DiskFull).context("cannot open the database")),
            "misconfigured" => {
                let mut faults = Faults::new();
                faults.add("--a excludes --b");
                faults.add("--c is missing");
                faults.into_result()?;
            }
            _ => {}
        }
        let listener = listen("127.0.0.1:0".parse()?)?;
        process.announce(&[("http", listener.local_addr()?)]);
        process.shutdown.triggered().await;
        Ok(())
    })
}

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return run_main::<Config>("test", "A process under test.", child);
    }
    announces_and_ends_with_its_standard_input();
    #[cfg(unix)]
    ends_on_a_signal();
    #[cfg(target_os = "linux")]
    leaves_no_core_file();
    fails_with_one_line();
    reports_all_faults_of_its_own();
    reports_all_faults_of_the_command_line();
    answers_help_and_version();
    ExitCode::SUCCESS
}

/// Its limit is none, and cannot be raised again.
#[cfg(target_os = "linux")]
fn leaves_no_core_file() {
    let mut child = start(&["--announce"]);
    announcement(&mut child);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    assert_eq!(outcome(child).0, Some(0));
}

fn start(arguments: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(arguments)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, standard output, standard error.
fn outcome(mut child: Child) -> (Option<i32>, String, String) {
    drop(child.stdin.take());
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code(), out, err)
}

fn announcement(child: &mut Child) -> Announcement {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

fn announces_and_ends_with_its_standard_input() {
    let mut child = start(&["--announce"]);
    let announcement = announcement(&mut child);
    assert_eq!(announcement.name, "test");
    let address: std::net::SocketAddr = announcement.addresses["http"].parse().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    let (code, out, _) = outcome(child);
    assert_eq!((code, out.as_str()), (Some(0), ""), "one line, then nothing");
}

#[cfg(unix)]
fn ends_on_a_signal() {
    for signal in ["-INT", "-TERM"] {
        let mut child = start(&["--announce"]);
        announcement(&mut child);
        let _stdin = child.stdin.take(); // open: only the signal can end it
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

fn fails_with_one_line() {
    let (code, out, err) = outcome(start(&["--mode", "fail"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "error: cannot open the database: the disk is full\n");
}

fn reports_all_faults_of_its_own() {
    let (code, _, err) = outcome(start(&["--mode", "misconfigured"]));
    assert_eq!(code, Some(2));
    assert_eq!(err, "error: wrong configuration, 2 faults:\n  - --a excludes --b\n  - --c is missing\n");
}

fn reports_all_faults_of_the_command_line() {
    let (code, out, err) = outcome(start(&["--number", "many", "--config", "/nowhere/at/all.toml"]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(
        err.contains("2 faults") && err.contains("'many'") && err.contains("/nowhere/at/all.toml"),
        "{err}"
    );
}

fn answers_help_and_version() {
    let (code, out, err) = outcome(start(&["--help"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("A process under test.") && out.contains("PRIVATEMODE_TEST_NUMBER"), "{out}");
    let (code, out, _) = outcome(start(&["--version"]));
    assert_eq!(
        (code, out.trim_end()),
        (Some(0), format!("test {}", privatemode_service::version()).as_str())
    );
}

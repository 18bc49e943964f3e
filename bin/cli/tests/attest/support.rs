//! Runs the binary and reads what it says.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// One run of `privatemode attest`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `privatemode attest` with these arguments, the last of them on standard input if it is given.
pub(crate) fn attest<S: AsRef<OsStr>>(arguments: &[S], input: Option<&[u8]>) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privatemode"))
        .arg("attest")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // a program that stops at a wrong flag does not read it
    let _ = stdin.write_all(input.unwrap_or_default());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().expect("no signal ends it: a panic would be code 101"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// The JSON object on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks exit code and verdict against each other, and gives the JSON.
    pub(crate) fn verdict(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        let json = self.json();
        assert_eq!(json["verdict"], ["verified", "refused", "unusable"][usize::try_from(code).unwrap()]);
        assert_eq!(json["refusal"].is_null(), code == 0, "{json}");
        json
    }

    /// Exit code 1, and the first step that failed is this one.
    pub(crate) fn refused_at(&self, step: &str) -> Value {
        let json = self.verdict(1);
        let steps = json["steps"].as_array().unwrap();
        let failed = steps.iter().find(|step| step["verdict"] == "failed").unwrap();
        assert_eq!(failed["name"], step, "{json:#}");
        assert_eq!(failed["number"], json["refusal"]["step"]);
        assert!(failed["error"].as_str().is_some_and(|error| !error.is_empty()));
        json
    }

    /// Exit code 2; what was said about it, on standard error.
    pub(crate) fn unusable(&self) -> &str {
        assert_eq!(self.code, 2, "{}\n{}", self.out, self.err);
        &self.err
    }
}

/// The step of this name.
pub(crate) fn step<'a>(json: &'a Value, name: &str) -> &'a Value {
    let mut steps = json["steps"].as_array().unwrap().iter();
    steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {json:#}"))
}

/// Whether a warning begins like this.
pub(crate) fn warned(json: &Value, begin: &str) -> bool {
    json["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().starts_with(begin))
}

/// Files of one test, removed with it.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// The flags for a set of evidence, with its files.
pub(crate) struct Flags {
    folder: Folder,
    arguments: Vec<String>,
}

impl Flags {
    pub(crate) fn new(folder: Folder, arguments: Vec<String>) -> Self {
        Self { folder, arguments }
    }

    pub(crate) fn with(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Another value for a flag that is there.
    pub(crate) fn set(mut self, flag: &str, value: &str) -> Self {
        let place = self.arguments.iter().position(|argument| argument.starts_with(&format!("{flag}=")));
        self.arguments[place.unwrap()] = format!("{flag}={value}");
        self
    }

    pub(crate) fn without(mut self, flag: &str) -> Self {
        self.arguments.retain(|argument| !argument.starts_with(&format!("{flag}=")));
        self
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn run(&self) -> Run {
        attest(&self.arguments, None)
    }

    pub(crate) fn run_with(&self, input: &[u8]) -> Run {
        attest(&self.arguments, Some(input))
    }

    pub(crate) fn json(self) -> Run {
        self.with("--json").run()
    }
}

/// The folder with real evidence, which is not part of the repository.
pub(crate) fn real_evidence() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/evidence");
    if path.join("index.json").is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: there is no real evidence at {}: nothing of it was checked", path.display());
    None
}

/// RFC 3339 of a time in seconds.
pub(crate) fn time(seconds: u64) -> String {
    jiff::Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap().to_string()
}

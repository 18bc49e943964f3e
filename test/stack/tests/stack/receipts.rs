//! Receipts, from the worker's signature to the audit of a bill: through real processes, and checked by the command that an
//! auditor has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use privatemode_test_kit::{Reply, StubUpstream, wait_until};
use serde_json::{Value, json};

use crate::harness::{PRIVATEMODE, Up};

const CHAT: &str = "/v1/chat/completions";
const LIMIT: Duration = Duration::from_secs(60);

/// What a command of an auditor came to.
struct Ran {
    code: i32,
    output: String,
    talk: String,
}

fn privatemode(directory: &Path, command: &[&str], arguments: &[&Path]) -> Ran {
    let mut ran = Command::new(PRIVATEMODE);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PRIVATEMODE") {
            ran.env_remove(name);
        }
    }
    ran.args(command).args(arguments).arg("--dir").arg(directory);
    let output = ran.output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        talk: String::from_utf8(output.stderr).unwrap(),
    }
}

fn show(receipt: &Path) -> Ran {
    let output = Command::new(PRIVATEMODE).args(["receipt", "show"]).arg(receipt).output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        talk: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The verdict on a receipt by the mesh CAs that the proxy in `directory` attested.
fn verify(directory: &Path, receipt: &Path) -> (i32, Value) {
    let ran = privatemode(directory, &["receipt", "verify", "--json"], &[receipt]);
    (ran.code, serde_json::from_str(&ran.output).unwrap_or_else(|_| panic!("{}{}", ran.output, ran.talk)))
}

/// An `up` that keeps receipts, in front of a stub.
struct Audited {
    upstream: StubUpstream,
    up: Up,
    folder: tempfile::TempDir,
}

impl Audited {
    async fn start() -> Audited {
        let upstream = StubUpstream::start().await;
        upstream.on("/v1/models", Reply::models(&["stub"]));
        let folder = tempfile::tempdir().unwrap();
        let receipts = folder.path().join("receipts");
        let up = Up::start(&["--upstream", &upstream.url(), "--receipts", receipts.to_str().unwrap()]);
        up.settled().await;
        Audited { upstream, up, folder }
    }

    fn receipts(&self) -> BTreeSet<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("receipts")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.to_str().unwrap().ends_with(".exchange.json")).collect()
    }

    /// The one receipt that came since there were only `known`.
    async fn new_receipt(&self, known: &BTreeSet<PathBuf>) -> PathBuf {
        wait_until("a receipt is kept", LIMIT, async || {
            self.receipts().difference(known).any(|path| path.with_extension("exchange.json").exists())
        })
        .await;
        let new: Vec<PathBuf> = self.receipts().difference(known).cloned().collect();
        assert_eq!(new.len(), 1, "{new:?}");
        new[0].clone()
    }

    /// Reads a stream until the caller has seen `words`, and leaves.
    async fn leave_after(&self, words: &str) {
        let chat = json!({"model": "stub", "stream": true, "messages": []});
        let mut answer = self.up.post("/chat/completions", chat.to_string()).send().await.unwrap();
        let mut seen = String::new();
        while !seen.contains(words) {
            seen.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
        }
    }

    /// An endless stream that counts as it goes.
    fn endless(&self) {
        let event = |number: u64, text: &str| {
            let chunk = json!({"id": "1", "object": "chat.completion.chunk", "model": "stub",
                "choices": [{"index": 0, "delta": {"content": text}}],
                "usage": {"prompt_tokens": 5, "completion_tokens": number, "total_tokens": 5 + number}});
            format!("data: {chunk}\n\n")
        };
        let events = [event(1, "one"), event(2, "two"), event(3, "never")];
        self.upstream.once(CHAT, Reply::stream(events).stalling_after(2));
    }
}

fn chat() -> String {
    json!({"model": "stub", "temperature": 0.5, "messages": [{"role": "user", "content": "hi"}]}).to_string()
}

/// What a receipt says, after `verify` has found it good and about its exchange.
fn verified(audited: &Audited, receipt: &Path) -> Value {
    let (code, verdict) = verify(audited.up.directory(), receipt);
    assert_eq!(
        (code, &verdict["verified"], &verdict["exchange_checked"]),
        (0, &json!(true), &json!(true)),
        "{verdict}"
    );
    verdict["receipt"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_receipt_that_says_what_happened() {
    let audited = Audited::start().await;

    // In hand for one request, and kept for all.
    let known = audited.receipts();
    let request = audited.up.post("/chat/completions", chat()).header("privatemode-receipt", "request");
    let answer = request.send().await.unwrap();
    let in_hand = answer.headers()["privatemode-receipt"].to_str().unwrap().to_owned();
    let kept = audited.new_receipt(&known).await;
    let header = audited.folder.path().join("header");
    std::fs::write(&header, &in_hand).unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(&in_hand).unwrap();
    assert_eq!(decoded, std::fs::read(&kept).unwrap());
    let (code, verdict) = verify(audited.up.directory(), &header);
    assert_eq!((code, &verdict["exchange_checked"]), (0, &json!(false)), "nothing is beside it: {verdict}");
    let receipt = verified(&audited, &kept);
    assert_eq!((&receipt["outcome"], &receipt["status"]), (&json!("complete"), &json!(200)));
    assert_eq!((&receipt["model"], &receipt["sampling"]["temperature"]), (&json!("stub"), &json!("0.5")));
    assert_eq!(receipt["usage"]["completion_tokens"], 3);
    let downgrades = json!(["ocsp-allow-revoked", "ocsp-allow-unknown", "simulated"]);
    assert_eq!(receipt["downgrades"], downgrades, "the proxy's defaults, and `up`");
    let shown = show(&kept);
    assert_eq!(shown.code, 0);
    assert!(
        shown.output.contains("200, complete") && shown.talk.contains("Not verified"),
        "{}",
        shown.output
    );

    // Errors of the engine, and of the worker itself.
    let fetched = json!({"model": "stub", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}]});
    for (reply, body, status) in [
        (Some(Reply::error(429, "busy")), chat(), 429),
        (Some(Reply::error(500, "out of memory")), chat(), 500),
        (Some(Reply::html_502()), chat(), 502),
        (None, fetched.to_string(), 400),
    ] {
        if let Some(reply) = reply {
            audited.upstream.once(CHAT, reply);
        }
        let known = audited.receipts();
        let request = audited.up.post("/chat/completions", body).header("privatemode-receipt", "request");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status);
        assert!(answer.headers().contains_key("privatemode-receipt"), "{status}: {:?}", answer.headers());
        let receipt = verified(&audited, &audited.new_receipt(&known).await);
        assert_eq!((&receipt["status"], &receipt["outcome"]), (&json!(status), &json!("complete")));
        assert_eq!(receipt["usage"], Value::Null, "nothing was computed");
        assert_eq!(receipt["request_digest"].as_str().map(str::len), Some(64), "all of it was read");
    }

    // An engine that broke off.
    let known = audited.receipts();
    audited.upstream.once(CHAT, Reply::chat_stream(&["a", "b"], true).dying_after(1));
    let stream = json!({"model": "stub", "stream": true, "messages": []}).to_string();
    // The answer's end is an error event and a broken connection.
    let _ = audited.up.post("/chat/completions", stream).send().await.unwrap().bytes().await;
    let receipt = verified(&audited, &audited.new_receipt(&known).await);
    assert_eq!((&receipt["status"], &receipt["outcome"]), (&json!(200), &json!("failed")));

    // A caller that left.
    let known = audited.receipts();
    let abandoned = audited.upstream.abandoned();
    audited.endless();
    audited.leave_after("two").await;
    let kept = audited.new_receipt(&known).await;
    let receipt = verified(&audited, &kept);
    assert_eq!((&receipt["status"], &receipt["outcome"]), (&json!(200), &json!("cancelled")));
    let usage = &receipt["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(5), &json!(2)),
        "what was produced"
    );
    assert!(show(&kept).output.contains("CANCELLED in the middle"));
    wait_until("the engine is freed", LIMIT, async || audited.upstream.abandoned() > abandoned).await;
}

/// Writes a receipt after a change of its text, with what the proxy keeps beside it.
fn changed(receipt: &Path, name: &str, change: impl FnOnce(String) -> String) -> PathBuf {
    let folder = receipt.parent().unwrap().parent().unwrap();
    let path = folder.join(format!("{name}.json"));
    let before = std::fs::read_to_string(receipt).unwrap();
    let after = change(before.clone());
    assert_ne!(before, after, "{name}");
    std::fs::write(&path, after).unwrap();
    std::fs::copy(receipt.with_extension("exchange.json"), path.with_extension("exchange.json")).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_do_not_hold_are_refused_with_the_reason() {
    const FOREIGN: &str = "the certificate that signed the receipt does not come from the mesh CA";
    const CHANGED: &str = "the receipt was changed after it was signed, or its signature was forged";
    let (one, other) = tokio::join!(Audited::start(), Audited::start());
    let first = |audited: &Audited| audited.receipts().into_iter().next().unwrap();
    let (good, foreign) = (first(&one), first(&other));
    verified(&one, &good);
    verified(&other, &foreign);
    let refused = |audited: &Audited, receipt: &Path, reason: &str| {
        let (code, verdict) = verify(audited.up.directory(), receipt);
        assert_eq!((code, &verdict["verified"]), (1, &json!(false)), "{verdict}");
        assert!(verdict["reason"].as_str().unwrap().starts_with(reason), "{reason:?} is not why: {verdict}");
    };

    // Another deployment's, in both directions.
    refused(&one, &foreign, FOREIGN);
    refused(&other, &good, FOREIGN);
    // A chain that does not fit: the other deployment's under this one's words.
    let chain = |path: &Path| {
        let receipt: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        receipt["receipt"]["certificates"].to_string()
    };
    let swapped = changed(&good, "chain", |text| text.replace(&chain(&good), &chain(&foreign)));
    refused(&one, &swapped, FOREIGN);
    // Whoever trusts that other deployment finds the words unsigned.
    refused(&other, &swapped, CHANGED);

    let figures =
        changed(&good, "figures", |text| text.replace("\"completion_tokens\":3", "\"completion_tokens\":2"));
    refused(&one, &figures, CHANGED);
    let status = changed(&good, "status", |text| text.replace("\"status\":200", "\"status\":429"));
    refused(&one, &status, CHANGED);
    // Good in itself, and about another exchange than the one that the proxy saw.
    let known = one.receipts();
    assert_eq!(one.up.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    let later = one.new_receipt(&known).await;
    let replayed = changed(&good, "replayed", |_| std::fs::read_to_string(&later).unwrap());
    refused(&one, &replayed, "the receipt names another exchange than the one that took place");
    // No receipt at all, or not in its one spelling, is unusable input.
    let spelt = changed(&good, "spelt", |text| text.replace("\"status\":200", "\"status\": 200"));
    let ran = privatemode(one.up.directory(), &["receipt", "verify"], &[&spelt]);
    assert_eq!(ran.code, 2, "{}{}", ran.output, ran.talk);
    assert!(ran.talk.contains("not the canonical JSON that is expected"), "{}", ran.talk);
}

/// What `receipt reconcile` says of an export.
fn reconcile(audited: &Audited, export: &str) -> (i32, Value) {
    let usage = audited.folder.path().join("usage.jsonl");
    std::fs::write(&usage, export).unwrap();
    let receipts = audited.folder.path().join("receipts");
    let arguments = [Path::new("--usage"), &usage, Path::new("--receipts"), &receipts];
    let ran = privatemode(audited.up.directory(), &["receipt", "reconcile", "--json"], &arguments);
    (ran.code, serde_json::from_str(&ran.output).unwrap_or_else(|_| panic!("{}{}", ran.output, ran.talk)))
}

fn export(audited: &Audited, flag: &str) -> String {
    let ran = privatemode(audited.up.directory(), &["usage", "export", flag], &[]);
    assert_eq!(ran.code, 0, "{}", ran.talk);
    ran.output
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_is_held_against_the_receipts() {
    let audited = Audited::start().await;
    for _ in 0..2 {
        assert_eq!(audited.up.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    }
    audited.upstream.once(CHAT, Reply::error(429, "busy"));
    assert_eq!(audited.up.post("/chat/completions", chat()).send().await.unwrap().status(), 429);
    let stream = json!({"model": "stub", "stream": true, "messages": []}).to_string();
    let whole = audited.up.post("/chat/completions", stream).send().await.unwrap().text().await.unwrap();
    assert!(whole.ends_with("data: [DONE]\n\n"));
    let known = audited.receipts();
    audited.endless();
    audited.leave_after("two").await;
    audited.new_receipt(&known).await;

    let count = audited.receipts().len();
    // The gateway writes its record in batches.
    wait_until("all is billed", LIMIT, async || reconcile(&audited, &export(&audited, "--json")).0 == 0)
        .await;
    let bill = export(&audited, "--json");
    let (_, verdict) = reconcile(&audited, &bill);
    assert_eq!((&verdict["receipts"], &verdict["agreeing"]), (&json!(count), &json!(count)), "{verdict}");
    assert_eq!(verdict["differences"], json!([]));

    let lines: Vec<&str> = bill.lines().collect();
    let csv = export(&audited, "--csv");
    assert_eq!(csv.lines().count(), lines.len() + 1, "{csv}");
    // The cancelled one is in it, with what it cost.
    let costs =
        |line: &&&str| line.contains("\"completion_tokens\":2,") && line.contains("\"prompt_tokens\":5");
    assert_eq!(lines.iter().filter(costs).count(), 1, "{bill}");
    // Nothing of any content.
    assert!(!bill.contains("\"hi\"") && !bill.contains("one"), "{bill}");

    let told = |export: &str| {
        let (code, verdict) = reconcile(&audited, export);
        assert_eq!(code, 1, "{verdict}");
        let all = verdict["differences"].as_array().unwrap().clone();
        assert_eq!(all.len(), 1, "{verdict}");
        all[0].clone()
    };
    let billed = *lines.iter().find(|line| line.contains("\"completion_tokens\":3")).unwrap();
    let line: Value = serde_json::from_str(billed).unwrap();
    // One token more.
    let more = told(&bill.replacen(
        billed,
        &billed.replace("\"completion_tokens\":3", "\"completion_tokens\":4"),
        1,
    ));
    assert_eq!(
        (&more["what"], &more["billed"], &more["signed"]),
        (&json!("completion tokens"), &json!("4"), &json!("3"))
    );
    assert_eq!((&more["exchange"], &more["request_id"]), (&line["exchange"], &line["request_id"]));
    // One row more: the same again, and one that never was.
    assert_eq!(told(&format!("{bill}{billed}\n"))["what"], "billed twice");
    let invented = billed.replace(line["exchange"].as_str().unwrap(), &"5a".repeat(32));
    let invented = told(&format!("{bill}{invented}\n"));
    assert_eq!(
        (&invented["what"], &invented["exchange"]),
        (&json!("billed without receipt"), &json!("5a".repeat(32)))
    );
    // One row less.
    let less = told(&bill.replacen(&format!("{billed}\n"), "", 1));
    assert_eq!((&less["what"], &less["exchange"]), (&json!("receipt without bill"), &line["exchange"]));
    // Another model, and another status.
    assert_eq!(told(&bill.replacen(billed, &billed.replace("\"stub\"", "\"best\""), 1))["what"], "model");
    assert_eq!(told(&bill.replacen(billed, &billed.replace(":200", ":201"), 1))["what"], "status");
    // A receipt that somebody changed counts for nothing, and its exchange was billed without one.
    let receipt = audited
        .receipts()
        .into_iter()
        .find(|path| std::fs::read_to_string(path).unwrap().contains(line["exchange"].as_str().unwrap()));
    let receipt = receipt.unwrap();
    let text = std::fs::read_to_string(&receipt).unwrap();
    std::fs::write(&receipt, text.replace("\"completion_tokens\":3", "\"completion_tokens\":2")).unwrap();
    let (code, verdict) = reconcile(&audited, &bill);
    let what: Vec<&str> =
        verdict["differences"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!((code, what.len(), what[1]), (1, 2, "billed without receipt"), "{verdict}");
    assert!(what[0].contains("does not hold: the receipt was changed after it was signed"), "{verdict}");

    // What cannot be read is another matter than what does not agree.
    assert_eq!(
        privatemode(
            audited.up.directory(),
            &["receipt", "reconcile", "--usage", "none", "--receipts", "none"],
            &[]
        )
        .code,
        2
    );
    let nowhere = privatemode(Path::new("/nowhere"), &["usage", "export"], &[]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.talk.contains("there is no database `/nowhere/gateway/accounts.db`"), "{}", nowhere.talk);
}

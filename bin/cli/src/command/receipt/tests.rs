use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use privatemode_client::testing::Ca;
use privatemode_wire::receipt::{self, SealedDigest, SignedReceipt};
use privatemode_wire::stream::outer::ExchangeId;
use privatemode_wire::stream::{ManifestDigest, Outcome, RequestId, UnixMillis};
use privatemode_wire::usage::Usage;

use super::args::{Action, Receipt, Reconcile, Trust, Verify};
use super::*;
use crate::args::Directory;

/// A folder of receipts, and the CA that counts.
struct Audit {
    folder: tempfile::TempDir,
    ca: Ca,
}

impl Audit {
    fn new() -> Self {
        let audit = Self { folder: tempfile::tempdir().unwrap(), ca: Ca::new("mesh") };
        fs::write(audit.path("ca.pem"), &audit.ca.pem).unwrap();
        fs::create_dir(audit.path("receipts")).unwrap();
        audit
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A receipt of request `id` with so many prompt tokens, signed by `signer`.
    fn receipt(&self, id: u8, prompt_tokens: u64, signer: &str) -> PathBuf {
        let signer = self.ca.workload(signer);
        let time = UnixMillis(1_800_000_000_000);
        let receipt = receipt::Receipt {
            request_id: RequestId::from_bytes([id; 16]),
            exchange: ExchangeId::from_bytes([id; 32]),
            request_digest: Some(SealedDigest([2; 32])),
            response_digest: SealedDigest([3; 32]),
            status: 200,
            outcome: Outcome::Complete,
            model: "demo".to_owned(),
            model_root: None,
            engine_image: None,
            manifest: ManifestDigest([4; 32]),
            sampling: BTreeMap::new(),
            usage: Some(Usage { prompt_tokens, total_tokens: prompt_tokens, ..Usage::default() }),
            received: time,
            started: time,
            finished: time,
            downgrades: BTreeSet::new(),
            certificates: vec![signer.certificate().to_vec()],
        };
        let signed = SignedReceipt::sign(receipt, |message| Ok::<_, ()>(signer.sign(message))).unwrap();
        let path = self.path("receipts").join(format!("{}.json", hex::encode([id; 16])));
        fs::write(&path, signed.to_json()).unwrap();
        path
    }

    fn trust(&self) -> Trust {
        Trust { mesh_ca: Some(self.path("ca.pem")), workspace: None, directory: Directory { dir: None } }
    }

    fn verify(&self, receipt: &Path, digests: Option<(&str, &str)>) -> ExitCode {
        let (request_digest, response_digest) =
            digests.map(|(request, response)| (request.to_owned(), response.to_owned())).unzip();
        let receipt = receipt.to_owned();
        let arguments = Verify { receipt, trust: self.trust(), request_digest, response_digest, json: true };
        run(&Receipt { action: Action::Verify(arguments) })
    }

    fn reconcile(&self, usage: &str) -> ExitCode {
        fs::write(self.path("usage.jsonl"), usage).unwrap();
        let arguments = Reconcile {
            usage: self.path("usage.jsonl"),
            receipts: self.path("receipts"),
            trust: self.trust(),
            json: false,
        };
        run(&Receipt { action: Action::Reconcile(arguments) })
    }
}

/// Exit codes have no equality.
#[track_caller]
fn gives(code: ExitCode, expected: u8) {
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(expected)));
}

#[test]
fn a_receipt_holds_for_its_exchange_alone() {
    let audit = Audit::new();
    let path = audit.receipt(1, 5, "inference-proxy");
    let (two, three) = ("02".repeat(32), "03".repeat(32));
    gives(audit.verify(&path, None), 0);
    gives(audit.verify(&path, Some((&two, &three))), 0);
    gives(audit.verify(&path, Some((&three, &two))), 1);
    gives(audit.verify(&path, Some(("xy", &three))), 2);
    gives(audit.verify(&audit.path("no-such-file"), None), 2);

    // What the proxy keeps beside it counts without being asked for.
    let beside = path.with_extension("exchange.json");
    let (one, exchange) = ("01".repeat(32), |id: &str, request: &str, response: &str| {
        format!(r#"{{"exchange":"{id}","request_digest":{request},"response_digest":"{response}"}}"#)
    });
    let sent = format!("\"{two}\"");
    for (written, code) in [
        (exchange(&one, &sent, &three), 0),
        (exchange(&two, &sent, &three), 1),
        (exchange(&one, &format!("\"{three}\""), &three), 1),
        (exchange(&one, &sent, &two), 1),
        // The proxy was told an answer before it had sent everything.
        (exchange(&one, "null", &three), 0),
        (exchange("01", &sent, &three), 2),
    ] {
        fs::write(&beside, &written).unwrap();
        gives(audit.verify(&path, None), code);
    }
    fs::remove_file(beside).unwrap();

    // The header's form
    let base64 = base64::engine::general_purpose::STANDARD.encode(fs::read(&path).unwrap());
    fs::write(audit.path("header"), base64 + "\n").unwrap();
    gives(audit.verify(&audit.path("header"), None), 0);

    gives(audit.verify(&audit.receipt(2, 5, "gateway"), None), 1);
    let changed = fs::read_to_string(&path).unwrap().replace("\"status\":200", "\"status\":201");
    fs::write(&path, changed).unwrap();
    gives(audit.verify(&path, None), 1);
}

#[test]
fn receipts_of_another_mesh_count_for_nothing() {
    let audit = Audit::new();
    let path = audit.receipt(1, 5, "inference-proxy");
    fs::write(audit.path("ca.pem"), Ca::new("mesh").pem).unwrap();
    gives(audit.verify(&path, None), 1);
    fs::write(audit.path("ca.pem"), "none").unwrap();
    gives(audit.verify(&path, None), 2);
}

fn billed(id: u8, model: &str, prompt_tokens: u64) -> String {
    let id = hex::encode([id; 32]);
    format!(
        "{{\"request_id\":\"gateway's\",\"exchange\":\"{id}\",\"model\":\"{model}\",\"status\":200,\"usage\":{{\"prompt_tokens\":{prompt_tokens}}},\"key\":\"ward 7\"}}\n"
    )
}

#[test]
fn a_bill_agrees_with_the_receipts_or_the_difference_is_told() {
    let audit = Audit::new();
    audit.receipt(1, 5, "inference-proxy");
    audit.receipt(2, 7, "inference-proxy");
    let good = billed(1, "demo", 5) + &billed(2, "demo", 7);
    gives(audit.reconcile(&good), 0);
    gives(audit.reconcile(&(billed(1, "demo", 6) + &billed(2, "demo", 7))), 1);
    gives(audit.reconcile(&(billed(1, "best", 5) + &billed(2, "demo", 7))), 1);
    gives(audit.reconcile(&good.replacen(":200", ":201", 1)), 1);
    gives(audit.reconcile(&billed(1, "demo", 5)), 1);
    gives(audit.reconcile(&(good.clone() + &billed(3, "demo", 1))), 1);
    gives(audit.reconcile(&(good.clone() + &billed(2, "demo", 7))), 1);
    // Under the compatible protocol there is no exchange, and no receipt for what was billed.
    let fields = billed(3, "demo", 1).replace(&format!("\"{}\"", hex::encode([3; 32])), "null");
    gives(audit.reconcile(&(good.clone() + &fields)), 1);
    // What cost nothing needs no receipt: it was refused before the worker could sign anything.
    gives(audit.reconcile(&(good.clone() + &billed(3, "demo", 0))), 0);
    gives(audit.reconcile("{"), 2);
    gives(audit.reconcile(&good.replacen("0101", "010g", 1)), 2);
    audit.receipt(3, 1, "gateway");
    gives(audit.reconcile(&(good.clone() + &billed(3, "demo", 1))), 1);
    fs::remove_file(audit.path("receipts").join(format!("{}.json", hex::encode([3; 16])))).unwrap();
    // Two receipts of one exchange: one of them is somebody's copy.
    let copy = audit.path("receipts").join("copy.json");
    fs::copy(audit.path("receipts").join(format!("{}.json", hex::encode([1; 16]))), copy).unwrap();
    gives(audit.reconcile(&good), 1);
}

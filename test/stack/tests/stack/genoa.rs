//! The whole stack on machines that are AMD Genoa in everything but the root: what verifies here is what verifies in front
//! of real ones, in every part, over the real path.

use std::path::Path;
use std::time::Duration;

use privatemode_attest::ReportData;
use privatemode_manifest::PolicyHash;
use privatemode_test_kit::vendor::{Fault, VendorServer};
use privatemode_test_kit::{Reply, StubUpstream, wait_until};
use privatemode_test_pki::Key;
use privatemode_test_pki::amd::{self, Extras};
use serde_json::{Value, json};

use crate::harness::{PRIVATEMODE, Up, logs, refusal};
use crate::machine::{Client, DAY, Machine, now};
use crate::verify::{Verified, steps};

const ANSWER: &str = "from behind a fake Genoa";
/// What AMD's service has of the machine.
const VCEK: &str = "/vcek/v1/Genoa/";
const CHAIN: &str = "/vcek/v1/Genoa/cert_chain";
const LIST: &str = "/vcek/v1/Genoa/crl";
/// What everybody says who trusts AMD's root alone. The names in the chain are right; the signature is not.
const NOT_AMDS: &str = "the ASK or ASVK was not issued by the root";
/// The same where the ASK is AMD's own, because the evidence brings none: then the list is the first that AMD did not sign.
const NOT_AMDS_LIST: &str = "the revocation list was not signed by the root";
/// The same where not even the name is right.
const NO_ROOT: &str = "the chain does not end in a root of AMD";

/// A machine that must not be accepted: what is wrong with it, the coordinator's code for it, and the error's words.
struct Bad {
    change: fn(&mut amd::Evidence),
    code: &'static str,
    error: &'static str,
}

const BAD: [Bad; 7] = [
    Bad {
        change: |pki| pki.report[0x90] = 0x4f,
        code: "evidence_not_accepted",
        error: "Genoa entry 1: the launch measurement is 4f3e",
    },
    Bad {
        // genuine, of a machine that was not updated: its certificate is for the same firmware
        change: |pki| {
            for tcb in [0x38, 0x180, 0x1e0, 0x1f0] {
                pki.report[tcb + 6] = 23;
            }
            pki.vek.extension(&amd::amd_oid("3.3")).value = vec![2, 1, 23];
        },
        code: "evidence_not_accepted",
        error: "Genoa entry 1: SNP firmware 23 of the certificate's TCB is below 24: the host must update its firmware",
    },
    Bad {
        change: |pki| pki.report[0x0a] |= 1 << 3,
        code: "evidence_not_accepted",
        error: "Genoa entry 1: the guest policy allows Debug, which the manifest does not",
    },
    Bad {
        change: |pki| pki.crl.revoked.push((pki.ask.serial.clone(), now() - DAY)),
        code: "evidence_not_genuine",
        error: "the ASK or ASVK certificate was revoked at ",
    },
    Bad {
        change: |pki| pki.crl.next_update = now() - DAY,
        code: "revocation_list_stale",
        error: "the revocation list was to be renewed on ",
    },
    Bad {
        change: |pki| pki.vek.extension(&amd::amd_oid("4")).value = vec![0xc6; 64],
        code: "evidence_not_genuine",
        error: "the VCEK is for another chip than the one that the report names; fetch the right one",
    },
    Bad {
        change: |pki| pki.report_signed_by = Key::p384("somebody else"),
        code: "evidence_not_genuine",
        error: "the VCEK or VLEK did not sign this report: it was changed, or another key signed it",
    },
];

async fn upstream() -> StubUpstream {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    upstream.on("/v1/chat/completions", Reply::chat(ANSWER));
    upstream
}

fn chat() -> Value {
    json!({"model": "stub", "messages": [{"role": "user", "content": "Who are you?"}]})
}

async fn answered(response: reqwest::Response) {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status == 200 && text.contains(ANSWER), "{status}: {text}");
}

/// `privatemode verify` under the machine's root.
fn verify(up: &Up, machine: &Machine, arguments: &[&str]) -> (i32, Value) {
    let root = machine.root();
    Verified::json(up.directory(), &[&["--danger-amd-root", root.as_str()], arguments].concat())
}

#[track_caller]
fn refused(outcome: &(i32, Value), error: &str) {
    let (code, json) = outcome;
    assert_eq!((*code, steps(json).1), (1, Some("evidence")), "{json:#}");
    let why = json["refusal"]["why"].as_array().unwrap().iter();
    assert!(
        why.clone().any(|why| why.as_str().unwrap().contains(error)),
        "no {error:?} in {:#}",
        json["refusal"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_whose_evidence_brings_everything() {
    let (upstream, machine) = (upstream().await, Machine::genoa(Extras::All));
    let receipts = tempfile::tempdir().unwrap();
    let kept = receipts.path().to_str().unwrap();
    let up =
        Up::start(&["--upstream", &upstream.url(), "--danger-fake-snp", &machine.text(), "--receipts", kept]);
    is_loud(&up).await;
    answered(up.post("/chat/completions", chat().to_string()).send().await.unwrap()).await;
    receipts_say_so(receipts.path());
    proves_itself(&up, &machine);
    its_root_counts_only_where_it_is_asked_for(&up, &machine).await;
    bad_workloads_stay_outside(&up, &machine).await;
    a_bad_coordinator_is_refused(&up, &machine).await;
    assert!(up.interrupt());
}

/// It says everywhere that nothing is proved.
async fn is_loud(up: &Up) {
    assert_eq!(up.ready["simulated"], false);
    assert!(up.ready["danger"][0].as_str().unwrap().starts_with("fake SEV-SNP reports"), "{}", up.ready);
    let url = up.ready["status_url"].as_str().unwrap();
    let get = async |url: &str| Up::client().get(url).send().await.unwrap().text().await.unwrap();
    let status: Value = serde_json::from_str(&get(&format!("{url}/status")).await).unwrap();
    assert_eq!(
        (&status["platform"], &status["simulated"], &status["test_root"], &status["protocol"]),
        (&json!("AMD SEV-SNP"), &json!(false), &json!(true), &json!("sealed-body/1"))
    );
    let downgrades = status["downgrades"].to_string();
    assert!(
        downgrades.contains("TEST ROOT: ")
            && downgrades.contains("DANGER: a certificate of --danger-amd-root"),
        "{downgrades}"
    );
    let page = get(url).await;
    assert!(page.contains("<title>TEST ROOT") && page.contains("role=\"alert\">TEST ROOT"), "{page}");
    assert!(!page.contains("Requests are encrypted end to end"), "{page}");
    let ready = get(&url.replace("/privatemode", "/readyz")).await;
    assert_eq!(ready, "ready: attested (TEST ROOT: nothing is proved)\n");
    for part in ["coordinator", "secret-service", "inference-proxy", "gateway"] {
        let log = std::fs::read_to_string(up.directory().join(format!("logs/{part}.log"))).unwrap();
        assert!(log.contains("FAKE SEV-SNP reports"), "{part}: {log}");
    }
}

fn receipts_say_so(folder: &Path) {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let receipt = files
        .find(|path| {
            path.extension().is_some_and(|end| end == "json")
                && path.file_stem().unwrap().to_str().unwrap().find('.').is_none()
        })
        .expect("a receipt");
    let shown =
        std::process::Command::new(PRIVATEMODE).args(["receipt", "show"]).arg(receipt).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.lines().any(|line| line.starts_with("Downgrades") && line.contains("test-root")),
        "{shown}"
    );
}

/// `privatemode verify` proves all of it, and shows what by.
fn proves_itself(up: &Up, machine: &Machine) {
    let (code, json) = verify(up, machine, &["--offline-collateral"]);
    assert_eq!((code, steps(&json).1), (0, None), "{json:#}");
    assert_eq!(steps(&json).0.len(), 9);
    assert_eq!((&json["platform"], &json["simulated"]), (&json!("AMD SEV-SNP"), &json!(false)));
    assert!(json["danger"][0].as_str().unwrap().contains("proves nothing about hardware"), "{json:#}");
    let evidence = &json["evidence"];
    assert_eq!((&evidence["kind"], &evidence["production_roots"]), (&json!("snp"), &json!(false)));
    assert_eq!(
        (&evidence["entries"][0]["label"], &evidence["entries"][0]["accepted"]),
        (&json!("Genoa entry 1"), &json!(true))
    );
    let shown = evidence["entries"][0]["steps"].to_string();
    for value in ["\"measurement\"", &"3e".repeat(48), "\"minimum_tcb\"", "\"guest_policy\"", "\"host_data\""]
    {
        assert!(shown.contains(value), "no {value} in {shown}");
    }
    let text = Verified::run(up.directory(), &["--danger-amd-root", &machine.root(), "--offline-collateral"]);
    assert!(text.output.lines().all(|line| line.starts_with("DANGER, TEST ROOT |")), "{}", text.output);
    for part in
        ["VERIFIED: 9 steps passed", "a signature to a TEST ROOT", "Genoa entry 1 of the manifest accepts it"]
    {
        assert!(text.output.contains(part), "no {part:?} in\n{}", text.output);
    }
}

/// A client on each protocol with the switch; without it every verifier refuses, for the same reason.
async fn its_root_counts_only_where_it_is_asked_for(up: &Up, machine: &Machine) {
    let root = machine.root();
    let client =
        Client::start(up, &["--protocol", "compatible", "--offline-collateral", "--danger-amd-root", &root])
            .await;
    answered(client.chat(&chat()).await).await;
    let status: Value = client.get("/privatemode/status").await.json().await.unwrap();
    assert_eq!((&status["protocol"], &status["test_root"]), (&json!("fields/1"), &json!(true)));

    let client = Client::start(up, &["--offline-collateral"]).await;
    verifies_nothing(&client, &format!("its AMD SEV-SNP evidence is not genuine: {NOT_AMDS}")).await;
    assert!(client.log().contains(NOT_AMDS), "{}", client.log());
    refused(&Verified::json(up.directory(), &["--offline-collateral"]), NOT_AMDS);

    // a root that does not even bear AMD's name
    machine.becomes(|pki| {
        let name = amd::name("ARK-Nobody");
        for issuer in [&mut pki.ark.subject, &mut pki.ark.issuer, &mut pki.ask.issuer, &mut pki.crl.issuer] {
            *issuer = name.clone();
        }
    });
    verifies_nothing(&Client::start(up, &["--offline-collateral"]).await, NO_ROOT).await;
    refused(&Verified::json(up.directory(), &["--offline-collateral"]), NO_ROOT);
    machine.recovers();

    let mut workload = machine.workload(up, &["--offline-collateral"]);
    let status = workload.ended(Duration::from_secs(60)).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let log = workload.stderr();
    assert!(log.contains("the coordinator is refused: ") && log.contains(NOT_AMDS), "{log}");
}

/// The proxy says why it sends nothing, and sends nothing.
async fn verifies_nothing(client: &Client, error: &str) {
    let (status, text) = client.settled().await;
    assert!(status == 503 && text.contains(error), "{status}: {text}");
    let (status, message) = refusal(client.chat(&chat()).await).await;
    assert_eq!(status, 503, "{message}");
    assert!(message.starts_with("Nothing was sent, because") && message.contains(error), "{message}");
}

/// The coordinator lets in who is on a good machine and in the manifest, and nobody else.
async fn bad_workloads_stay_outside(up: &Up, machine: &Machine) {
    let policy = std::fs::read(up.directory().join("deployment/policies/secret-service.json")).unwrap();
    let policy = PolicyHash::of(&policy);
    let other = Machine::genoa(Extras::All);
    let (status, joined) = other.join(up, policy, |bound| bound).await;
    assert_eq!(status, 200, "{joined}");
    assert!(joined["CertChain"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"), "{joined}");

    for Bad { change, code, error } in BAD {
        other.becomes(change);
        let (status, said) = other.join(up, policy, |bound| bound).await;
        assert_eq!((status, said["code"].as_str()), (403, Some(code)), "{said}");
        assert!(said["error"].as_str().unwrap().contains(error), "no {error:?} in {said}");
    }
    other.recovers();
    let foreign = PolicyHash::of(b"policy of somebody else");
    let (status, said) = other.join(up, foreign, |bound| bound).await;
    assert_eq!((status, said["code"].as_str()), (403, Some("policy_not_in_manifest")), "{said}");
    assert!(
        said["error"].as_str().unwrap().contains(&format!("the evidence is of policy {foreign}")),
        "{said}"
    );
    let (status, said) = other.join(up, policy, |_| ReportData::from([7; 64])).await;
    assert_eq!((status, said["code"].as_str()), (403, Some("report_data_mismatch")), "{said}");

    // the same as its own process sees it
    other.becomes(BAD[2].change);
    let root = machine.root();
    let mut workload = other.workload(up, &["--offline-collateral", "--danger-amd-root", &root]);
    let status = workload.ended(Duration::from_secs(60)).await.unwrap();
    assert_eq!(status.code(), Some(1));
    let log = workload.stderr();
    assert!(log.contains("refused with 403 Forbidden") && log.contains(BAD[2].error), "{log}");
}

/// The coordinator's own machine goes bad under everybody's eyes.
async fn a_bad_coordinator_is_refused(up: &Up, machine: &Machine) {
    for Bad { change, error, .. } in BAD {
        machine.becomes(change);
        refused(&verify(up, machine, &["--offline-collateral"]), error);
    }
    machine.becomes(BAD[2].change);
    let client = Client::start(up, &["--offline-collateral", "--danger-amd-root", &machine.root()]).await;
    verifies_nothing(&client, BAD[2].error).await;

    machine.recovers();
    assert_eq!(verify(up, machine, &["--offline-collateral"]).0, 0);
    let ready = async || client.ready().await.0 == 200;
    wait_until("the proxy to see that the machine is good again", Duration::from_secs(90), ready).await;
    answered(client.chat(&chat()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_whose_evidence_brings_nothing_along() {
    let (upstream, machine) = (upstream().await, Machine::genoa(Extras::None));
    let vendor = VendorServer::start().await;
    machine.publish(&vendor, |_| ());
    let up = starts_once_the_vendor_is_back(&upstream, &machine, &vendor).await;
    answered(up.post("/chat/completions", chat().to_string()).send().await.unwrap()).await;
    let url = vendor.url();
    let compatible =
        ["--protocol", "compatible", "--amd-kds-url", &url, "--danger-amd-root", &machine.root()];
    answered(Client::start(&up, &compatible).await.chat(&chat()).await).await;

    // what proved it came from the vendor, once
    let fresh = tempfile::tempdir().unwrap();
    let kept = fresh.path().join("kept");
    let asked = vendor.requests().len();
    let (code, json) = verify_with(&up, &machine, &vendor, &kept);
    assert_eq!((code, steps(&json).1), (0, None), "{json:#}");
    let documents: Vec<_> = json["collateral"].as_array().unwrap().iter().collect();
    assert_eq!(documents.len(), 3, "{json:#}");
    assert!(
        documents.iter().all(|document| document["from"].as_str().unwrap().contains(&vendor.host())),
        "{documents:?}"
    );
    assert_eq!(vendor.requests().len(), asked + 3);
    assert_eq!(verify_with(&up, &machine, &vendor, &kept).0, 0);
    assert_eq!(vendor.requests().len(), asked + 3, "certificates and list are kept");

    // AMD's own signing key is built in, so that nobody asks for another one
    let amds = fresh.path().join("amds");
    let amds = ["--amd-kds-url", &url, "--collateral-dir", amds.to_str().unwrap()];
    let chains = vendor.count(CHAIN);
    refused(&Verified::json(up.directory(), &amds), NOT_AMDS_LIST);
    assert_eq!(vendor.count(CHAIN), chains);

    without_the_vendor_nobody_new_verifies(&up, &machine, &vendor).await;
    revocations_reach_everybody(&up, &machine, &vendor, fresh.path());
    assert!(up.interrupt());
}

fn verify_with(up: &Up, machine: &Machine, vendor: &VendorServer, kept: &Path) -> (i32, Value) {
    verify(up, machine, &["--amd-kds-url", &vendor.url(), "--collateral-dir", kept.to_str().unwrap()])
}

fn is_down(vendor: &VendorServer) {
    let vcek = format!("{VCEK}{}", "c5".repeat(64));
    for path in [&vcek, CHAIN, LIST] {
        vendor.fault(path, Fault::Reset);
    }
}

/// Workloads wait for a vendor that is away for a moment, and say so.
async fn starts_once_the_vendor_is_back(
    upstream: &StubUpstream,
    machine: &Machine,
    vendor: &VendorServer,
) -> Up {
    is_down(vendor);
    let arguments = [upstream.url(), machine.text(), vendor.url()];
    let starting = tokio::task::spawn_blocking(move || {
        let [upstream, machine, vendor] = &arguments;
        Up::start(&["--upstream", upstream, "--danger-fake-snp", machine, "--amd-kds-url", vendor])
    });
    wait_until("requests in vain", Duration::from_secs(120), async || vendor.requests().len() >= 6).await;
    vendor.heal();
    let up = starting.await.unwrap();
    let log = std::fs::read_to_string(up.directory().join("logs/secret-service.log")).unwrap();
    assert!(log.contains("an attempt to fetch collateral failed"), "{log}");
    up
}

/// Who has nothing yet stays outside as long as the vendor is away, and says what is missing and whom it asked.
async fn without_the_vendor_nobody_new_verifies(up: &Up, machine: &Machine, vendor: &VendorServer) {
    is_down(vendor);
    let (url, root) = (vendor.url(), machine.root());
    let verifier = ["--amd-kds-url", url.as_str(), "--danger-amd-root", root.as_str()];
    let mut workload = machine.workload(up, &verifier);
    let client = Client::start(up, &verifier).await;
    let unavailable =
        format!("from {} after 6 attempts; check the network and the proxy settings", vendor.host());
    let (status, text) = client.settled().await;
    assert!(
        status == 503 && text.contains("cannot get the AMD ") && text.contains(&unavailable),
        "{status}: {text}"
    );
    let ended = workload.ended(Duration::from_secs(90)).await.unwrap();
    assert_eq!(ended.code(), Some(1));
    let log = workload.stderr();
    assert!(
        log.contains("the coordinator's evidence cannot be verified now: cannot get the AMD ")
            && log.contains(&unavailable),
        "{log}"
    );
    // who has verified before goes on
    answered(up.post("/chat/completions", chat().to_string()).send().await.unwrap()).await;

    vendor.heal();
    let ready = async || client.ready().await.0 == 200;
    wait_until("the proxy to see that the vendor is back", Duration::from_secs(120), ready).await;
    answered(client.chat(&chat()).await).await;
    assert!(client.workspace().join("collateral").is_dir(), "{}", logs(up.directory()));
}

/// A new list counts for who fetches it, also where the machine brings an older one of its own.
fn revocations_reach_everybody(up: &Up, machine: &Machine, vendor: &VendorServer, fresh: &Path) {
    let revoked = |pki: &mut amd::Evidence| {
        pki.crl.this_update = now() - 60;
        pki.crl.revoked.push((pki.ask.serial.clone(), now() - DAY));
    };
    machine.publish(vendor, revoked);
    let error = "the ASK or ASVK certificate was revoked at ";
    refused(&verify_with(up, machine, vendor, &fresh.join("first")), error);
    machine.brings(Extras::All);
    refused(&verify_with(up, machine, vendor, &fresh.join("second")), error);
    // a vendor that hands out an old list is no better than none
    machine.brings(Extras::None);
    machine.publish(vendor, |pki| pki.crl.next_update = now() - DAY);
    let outcome = verify_with(up, machine, vendor, &fresh.join("third"));
    refused(&outcome, &format!("that {} hands out is past its next update", vendor.host()));
}

//! A session and what vendors publish: when a source is asked, and what it is told afterwards.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use privatemode_attest::{EvidenceKind, encoding::sevsnp};
use privatemode_client::{
    CollateralError, CollateralSource, Fetched, Fetching, NoCollateral, Nonce, Pinned, RenewError, Session,
    Settings, Transport, TransportError,
    testing::{Ca, Deployment, ManualClock},
};
use privatemode_manifest::{AttestationDocument, Collateral, Needs, PolicyHash, VerifyError, VerifyOptions};
use privatemode_test_pki::amd;
use serde_json::json;

const POLICY: &[u8] = b"policy of the coordinator";

/// Answers every attestation with one document, for whatever nonce.
struct Canned(Vec<u8>);

impl Transport for Canned {
    async fn attest(&self, _: Nonce) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.clone())
    }

    async fn exchange(&self, _: String) -> Result<Vec<u8>, TransportError> {
        Err(TransportError::NoKey)
    }
}

/// Counts what it is asked and told.
#[derive(Default)]
struct Source {
    down: bool,
    asked: AtomicUsize,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    confirmed: AtomicUsize,
    rejected: AtomicUsize,
}

struct Nothing(Arc<Told>);

impl CollateralSource for Source {
    fn fetch<'a>(&'a self, needs: &'a Needs) -> Fetching<'a, Result<Box<dyn Fetched>, CollateralError>> {
        assert!(matches!(needs, Needs::Snp(needs) if needs.vek && needs.crl), "{needs:?}");
        self.asked.fetch_add(1, SeqCst);
        Box::pin(async move {
            if self.down {
                return Err(CollateralError::Fetch { source: "kdsintf.amd.com is down".into() });
            }
            Ok(Box::new(Nothing(Arc::clone(&self.told))) as Box<dyn Fetched>)
        })
    }
}

impl Fetched for Nothing {
    fn collateral(&self) -> Collateral {
        Collateral::default()
    }

    fn confirm(&self) -> Fetching<'_, ()> {
        Box::pin(async {
            self.0.confirmed.fetch_add(1, SeqCst);
        })
    }

    fn reject<'a>(&'a self, _: &'a VerifyError) -> Fetching<'a, ()> {
        Box::pin(async {
            self.0.rejected.fetch_add(1, SeqCst);
        })
    }
}

/// A manifest, and a document whose report was not made for anybody's nonce and brings no certificate.
fn genoa() -> (Vec<u8>, Vec<u8>) {
    let policies =
        json!({PolicyHash::of(POLICY).to_string(): {"SANs": ["coordinator"], "Role": "coordinator"}});
    let minimum = json!({"BootloaderVersion": 0, "TEEVersion": 0, "SNPVersion": 0, "MicrocodeVersion": 0});
    let entry = json!({"ProductName": "Genoa", "TrustedMeasurement": "3e".repeat(48), "MinimumTCB": minimum});
    let manifest =
        json!({"Policies": policies, "ReferenceValues": {"snp": [entry]}}).to_string().into_bytes();
    let report = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).encode().report;
    let evidence = sevsnp::SnpEvidence::of_report(report.try_into().unwrap());
    let document = AttestationDocument {
        version: "test".to_owned(),
        raw_attestation_doc: sevsnp::encode(&evidence).unwrap(),
        attestation_type: Some(EvidenceKind::Snp),
        manifests: vec![manifest.clone()],
        policies: vec![POLICY.to_vec()],
        root_ca: Ca::new("root").pem,
        mesh_ca: Ca::new("mesh").pem,
    };
    (manifest, document.to_json())
}

fn settings(source: Arc<dyn CollateralSource>) -> Settings {
    let clock = ManualClock::at(amd::NOW);
    Settings { clock, collateral: source, ..Settings::system(VerifyOptions::default()) }
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_is_named_with_the_ways_out() {
    let (manifest, document) = genoa();
    let source = Arc::new(Source { down: true, ..Source::default() });
    let session = Session::new(Canned(document), Pinned::new(manifest), settings(source.clone()));
    let error = session.credential().await.unwrap_err();
    assert!(matches!(&*error, RenewError::Collateral { source: CollateralError::Fetch { .. } }), "{error:?}");
    assert!(error.is_transient(), "the vendor may be back in a moment");
    let text = privatemode_client::chain(&*error);
    for part in ["kdsintf.amd.com is down", "--amd-kds-url", "--collateral-bundle", "--crl-grace"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert_eq!(source.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_source_hears_of_a_refusal() {
    let (manifest, document) = genoa();
    let source = Arc::new(Source::default());
    let session = Session::new(Canned(document), Pinned::new(manifest), settings(source.clone()));
    let error = session.credential().await.unwrap_err();
    assert!(matches!(&*error, RenewError::Attestation { .. }), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(source.told.rejected.load(SeqCst), 1);
    assert_eq!(source.told.confirmed.load(SeqCst), 0);
}

#[tokio::test]
async fn nobody_is_asked_for_what_a_cheaper_step_refuses_or_for_simulated_evidence() {
    let (manifest, document) = genoa();
    let source = Arc::new(Source::default());
    let other = [manifest, b"\n".to_vec()].concat();
    let session = Session::new(Canned(document), Pinned::new(other), settings(source.clone()));
    let error = session.credential().await.unwrap_err();
    assert!(matches!(&*error, RenewError::Attestation { .. }), "{error:?}");

    let deployment = Deployment::new("1");
    let document = deployment.attest(Nonce([0; 32]));
    let manifest = Pinned::new(deployment.manifest.clone());
    let session = Session::new(Canned(document), manifest, settings(source.clone()));
    session.credential().await.unwrap_err();
    assert_eq!(source.asked.load(SeqCst), 0);
    assert!(NoCollateral.fetch(&Needs::Nothing).await.is_ok());
}

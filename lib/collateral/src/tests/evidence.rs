//! What the manifest says that evidence needs, gathered; and what of it a refusal drops.

use privatemode_attest::snp::{self, Product, Signer, Tcb};
use privatemode_manifest::{Needs, needs::SnpNeeds};

use super::support::{DAY, START, World, crl, vcek_key};
use crate::{AmdProduct, AmdSigner, Collector, FetchError, Key, Origin, Settings};

const LIST: Key = Key::AmdCrl { product: AmdProduct::Turin, signer: AmdSigner::Vcek };

fn chip(product: Product) -> snp::Needs {
    let reported_tcb = Tcb { fmc: Some(1), bootloader: 3, tee: 0, snp: 8, microcode: 115 };
    snp::Needs { product, signer: Signer::Vcek, chip_id: Some(vec![0xab; 8]), reported_tcb }
}

fn turin(vek: bool, crl: bool) -> Needs {
    Needs::Snp(SnpNeeds { candidates: vec![chip(Product::Turin)], signer: Signer::Vcek, vek, ask: true, crl })
}

/// The key of the chip above: Turin's has 8 bytes, the rest of the field is zero.
fn chips_key() -> Key {
    let Key::AmdVcek { product, mut chip_id, tcb } = vcek_key() else { unreachable!("it is one") };
    chip_id.0[8..].fill(0);
    Key::AmdVcek { product, chip_id, tcb }
}

#[tokio::test]
async fn simulated_evidence_asks_nobody() {
    let world = World::new().await;
    let gathered = world.collector().gather(&Needs::Nothing).await.unwrap();
    assert!(gathered.documents.is_empty() && gathered.collateral.snp.is_none());
    assert_eq!(world.server.requests().len(), 0);
}

#[tokio::test]
async fn a_reports_missing_documents_are_fetched_and_no_others() {
    let world = World::new().await;
    let (vcek, list) = (world.publish_vcek(), crl(START + DAY));
    world.server.amd_crl("Turin", &list);
    let gathered = world.collector().gather(&turin(true, true)).await.unwrap();
    let snp = gathered.collateral.snp.as_ref().unwrap();
    assert_eq!((&snp.vek, &snp.crl, &snp.ask), (&Some(vcek), &Some(list.clone()), &None));
    let keys: Vec<_> = gathered.documents.iter().map(|found| found.provenance.key.clone()).collect();
    assert_eq!(keys, [chips_key(), LIST]);

    // the host may have chosen an old list: the evidence's own does not keep us from asking
    let gathered = world.collector().gather(&turin(false, false)).await.unwrap();
    let snp = gathered.collateral.snp.unwrap();
    assert_eq!((&snp.vek, &snp.crl), (&None, &Some(list)));
    assert_eq!(gathered.documents[0].provenance.origin, Origin::Cache);
    assert_eq!(world.server.requests().len(), 2);
}

/// Under a test's root no signing key is built in; it stands in the chain before the root, which nobody takes from there.
#[tokio::test]
async fn the_signing_key_is_fetched_only_where_none_is_built_in() {
    let world = World::new().await;
    world.publish_vcek();
    world.server.amd_crl("Turin", &crl(START + DAY));
    let pem = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let (ask, ark) = (pem("YXNr"), pem("YXJr"));
    world.server.amd_cert_chain("vcek", "Turin", &format!("{ask}{ark}"));
    let collector = Collector::new(Settings { amd_signing_key: true, ..world.settings() }).unwrap();
    let gathered = collector.gather(&turin(true, true)).await.unwrap();
    assert_eq!(gathered.collateral.snp.as_ref().unwrap().ask, Some(ask.into_bytes()));
    assert_eq!(world.server.count("/vcek/v1/Turin/cert_chain"), 1);

    // one that turns out wrong is not kept
    let wrong = snp::VerifyError::SigningKeyMissing;
    collector.reject_faulty(&gathered, &wrong).await;
    collector.gather(&turin(true, true)).await.unwrap();
    assert_eq!(world.server.count("/vcek/v1/Turin/cert_chain"), 2);
}

#[tokio::test]
async fn a_list_that_cannot_be_had_matters_only_without_another() {
    let world = World::new().await;
    let gathered = world.collector().gather(&turin(false, false)).await.unwrap();
    assert_eq!(gathered.collateral.snp.unwrap().crl, None, "the evidence's own is the verification's affair");
    let missing = world.collector().gather(&turin(false, true)).await.unwrap_err();
    assert!(matches!(missing, FetchError::NotFound { key: LIST, .. }), "{missing}");
}

#[tokio::test]
async fn what_nobody_publishes_is_named() {
    let world = World::new().await;
    let with = |change: &dyn Fn(&mut snp::Needs)| {
        let mut chip = chip(Product::Turin);
        change(&mut chip);
        Needs::Snp(SnpNeeds {
            candidates: vec![chip],
            signer: Signer::Vcek,
            vek: true,
            ask: true,
            crl: false,
        })
    };
    let hidden = world.collector().gather(&with(&|chip| chip.chip_id = None)).await.unwrap_err();
    assert!(matches!(hidden, FetchError::MaskedChip));
    let vlek = world.collector().gather(&with(&|chip| chip.signer = Signer::Vlek)).await.unwrap_err();
    assert!(matches!(vlek, FetchError::VlekNotGiven));
}

#[tokio::test]
async fn a_report_without_its_line_is_of_the_line_that_has_the_chip() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    world.server.amd_crl("Milan", &crl(START + DAY));
    world.server.amd_crl("Turin", &crl(START + DAY));
    let candidates = vec![chip(Product::Milan), chip(Product::Turin)];
    let needs = Needs::Snp(SnpNeeds { candidates, signer: Signer::Vcek, vek: true, ask: true, crl: true });
    let gathered = world.collector().gather(&needs).await.unwrap();
    assert_eq!(gathered.collateral.snp.unwrap().vek, Some(vcek));
}

#[tokio::test]
async fn a_refusal_drops_the_document_that_it_speaks_of() {
    let world = World::new().await;
    world.publish_vcek();
    world.server.amd_crl("Turin", &crl(START + DAY));
    let collector = world.collector();
    let fetched = async |refusal: snp::VerifyError| {
        let gathered = collector.gather(&turin(true, true)).await.unwrap();
        let before = world.server.requests().len();
        collector.reject_faulty(&gathered, &refusal).await;
        collector.gather(&turin(true, true)).await.unwrap();
        world.server.requests().len() - before
    };
    // the evidence itself is at fault: whoever sends it must not empty the cache
    assert_eq!(fetched(snp::VerifyError::SignatureTooLong).await, 0);
    let stale = snp::VerifyError::CrlStale { next_update: privatemode_attest::UnixTime(START), grace: 0 };
    assert_eq!(fetched(stale).await, 1, "the list alone");
}

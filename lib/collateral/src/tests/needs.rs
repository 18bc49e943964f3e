//! Everything for one report or quote at a time.

use std::path::Path;

use privatemode_attest::{UnixTime, snp, tdx};
use privatemode_test_kit::vendor::{Fault, Published, ROOT_CRL_PATH};
use serde_json::{Value, json};

use super::support::{DAY, PEM, START, VCEK_PATH, World, crl, der, vcek_key};
use crate::{
    AmdProduct, AmdSigner, AmdTcb, Bundle, ChipId, Collector, Extras, FetchError, Fmspc, Key, Origin, PckCa,
    RimId, Settings, SnpGiven, SnpNeeds, State, TdxNeeds,
};

fn turin() -> SnpNeeds<'static> {
    let Key::AmdVcek { product, chip_id, tcb } = vcek_key() else { unreachable!("it is one") };
    let signer = AmdSigner::Vcek;
    SnpNeeds { product, signer, chip_id, tcb, chain: true, crl: true, given: SnpGiven::default() }
}

const ASK: &str = "-----BEGIN CERTIFICATE-----\nQVNL\n-----END CERTIFICATE-----\n";
const ARK: &str = "-----BEGIN CERTIFICATE-----\nQVJL\n-----END CERTIFICATE-----\n";

#[tokio::test]
async fn a_reports_documents_and_their_bundle() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    let list = crl(START + DAY);
    world.server.amd_cert_chain("vcek", "Turin", &format!("{ASK}{ARK}"));
    world.server.amd_crl("Turin", &list);
    let collateral = world.collector().snp(&turin()).await.unwrap();
    assert_eq!(collateral.vek, vcek);
    assert_eq!(collateral.ask.as_deref(), Some(ASK.as_bytes()));
    assert_eq!(
        collateral.ark.map(|ark| String::from_utf8(ark).unwrap().trim().to_owned()),
        Some(ARK.trim().to_owned())
    );
    assert_eq!(collateral.crl, Some(list));
    assert_eq!(collateral.documents.len(), 3);

    // what was fetched once verifies elsewhere without a network
    let mut bundle = Bundle::new();
    collateral.documents.iter().for_each(|found| bundle.add(found));
    let path = world.folder.path().join("bundle.json");
    bundle.write(&path).unwrap();
    let bundle = Some(std::sync::Arc::new(Bundle::read(&path).unwrap()));
    let settings = Settings { offline: true, folder: None, bundle, ..world.settings() };
    let again = Collector::new(settings).unwrap().snp(&turin()).await.unwrap();
    assert_eq!((again.vek, again.crl), (vcek, collateral.crl));
    assert!(again.documents.iter().all(|found| found.provenance.origin == Origin::Bundle));
    assert_eq!(world.server.requests().len(), 3);
}

#[tokio::test]
async fn what_the_evidence_brought_is_not_fetched() {
    let world = World::new().await;
    let (vek, list) = (der(b"vcek"), crl(START + DAY));
    let given =
        SnpGiven { vek: Some(&vek), ask: Some(ASK.as_bytes()), ark: Some(ARK.as_bytes()), crl: Some(&list) };
    let collateral = world.collector().snp(&SnpNeeds { given, ..turin() }).await.unwrap();
    assert_eq!((collateral.vek.as_slice(), collateral.crl.as_deref()), (&vek[..], Some(&list[..])));
    assert_eq!(collateral.ask.as_deref(), Some(ASK.as_bytes()));
    assert_eq!(world.server.requests().len(), 0);
}

#[tokio::test]
async fn documents_that_nobody_can_ask_for() {
    let world = World::new().await;
    let collector = world.collector();
    let bare = SnpNeeds { chain: false, crl: false, ..turin() };
    let masked = SnpNeeds { chip_id: ChipId([0; 64]), ..bare };
    assert!(matches!(collector.snp(&masked).await.unwrap_err(), FetchError::MaskedChip));
    let loaded = SnpNeeds { signer: AmdSigner::Vlek, ..bare };
    assert!(matches!(collector.snp(&loaded).await.unwrap_err(), FetchError::VlekNotGiven));
    let vek = der(b"vlek");
    let given = SnpGiven { vek: Some(&vek), ..SnpGiven::default() };
    for needs in [SnpNeeds { given, ..masked }, SnpNeeds { given, ..loaded }] {
        assert_eq!(collector.snp(&needs).await.unwrap().vek, vek);
    }
    assert_eq!(world.server.requests().len(), 0);
}

#[tokio::test]
async fn a_chain_of_another_length_is_refused() {
    let world = World::new().await;
    world.publish_vcek();
    world.server.amd_cert_chain("vcek", "Turin", ASK);
    let error = world.collector().snp(&SnpNeeds { crl: false, ..turin() }).await.unwrap_err();
    assert!(matches!(error, FetchError::Layout { key: Key::AmdCertChain { .. } }), "{error:?}");
}

#[tokio::test]
async fn one_missing_document_fails_the_whole() {
    let world = World::new().await;
    world.publish_vcek();
    world.server.fault(VCEK_PATH, Fault::Status(404));
    let error = world.collector().snp(&SnpNeeds { chain: false, crl: false, ..turin() }).await.unwrap_err();
    assert!(matches!(error, FetchError::NotFound { key: Key::AmdVcek { .. }, .. }), "{error:?}");
}

const TDX: TdxNeeds = TdxNeeds { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]), ca: PckCa::Platform };

fn publish_tdx(world: &World, expected: &Value) {
    let text = |name: &str| expected[name].as_str().unwrap();
    let signed = |name: &str, member: &str| {
        let signature = text(&format!("{name}_signature"));
        format!("{{\"{member}\":{},\"signature\":\"{signature}\"}}", text(name))
    };
    let server = &world.server;
    let fmspc = hex::encode_upper(TDX.fmspc.0);
    server.intel_tcb_info(&fmspc, &signed("tcb_info", "tcbInfo"), text("tcb_info_issuer_chain"));
    server.intel_qe_identity(&signed("qe_identity", "enclaveIdentity"), text("qe_identity_issuer_chain"));
    let pck_crl = hex::decode(text("pck_crl")).unwrap();
    server.intel_pck_crl("platform", &pck_crl, text("pck_crl_issuer_chain"));
    server.intel_root_crl(&hex::decode(text("root_ca_crl")).unwrap());
}

#[tokio::test]
async fn a_quotes_documents_byte_for_byte() {
    let world = World::new().await;
    // spaces and order as no serializer writes them: the signature is over these very bytes
    let expected = json!({
        "pck_crl_issuer_chain": PEM,
        "root_ca_crl": hex::encode(crl(START + 300 * DAY)),
        "pck_crl": hex::encode(crl(START + 30 * DAY)),
        "tcb_info_issuer_chain": PEM,
        "tcb_info": r#"{ "nextUpdate" : "2026-01-31T00:00:00Z","id":"TDX",  "fmspc":"B0C06F000000"}"#,
        "tcb_info_signature": "ab".repeat(64),
        "qe_identity_issuer_chain": PEM,
        "qe_identity": r#"{"nextUpdate":"2026-01-30T00:00:00Z" ,"id":"TD_QE"}"#,
        "qe_identity_signature": "cd".repeat(64),
    });
    publish_tdx(&world, &expected);
    let collector = world.collector();
    let collateral = collector.tdx(&TDX, &Extras::new()).await.unwrap();
    assert_eq!(serde_json::to_value(&collateral).unwrap(), expected);
    assert_eq!(collateral.documents.len(), 4);

    // each by its own next update
    world.pass(29 * DAY);
    let error = collector.tdx(&TDX, &Extras::new()).await.unwrap_err();
    assert!(matches!(error, FetchError::Expired { key: Key::IntelQeIdentity, .. }), "{error:?}");
    let counts =
        [("/tdx/certification/v4/tcb", 1), ("/tdx/certification/v4/qe/identity", 2), (ROOT_CRL_PATH, 1)];
    for (path, count) in counts {
        assert_eq!(world.server.count(path), count, "{path}");
    }
}

#[tokio::test]
async fn a_caching_service_answers_in_hexadecimal() {
    let world = World::new().await;
    let list = crl(START + DAY);
    let path = "/sgx/certification/v4/rootcacrl";
    let published = Published::new("text/plain", hex::encode(&list));
    world.server.publish(path, published);
    let settings = world.settings();
    let endpoints = settings.endpoints.clone().intel_pccs(&world.server.url()).unwrap();
    let collector = Collector::new(Settings { endpoints, ..settings }).unwrap();
    let found = collector.document(&Key::IntelRootCrl, &[], &Extras::new()).await.unwrap();
    assert_eq!(found.document.bytes, list);
    assert_eq!((world.server.count(path), world.server.count(ROOT_CRL_PATH)), (1, 0));
}

#[tokio::test]
async fn a_manifest_without_its_wrapping() {
    let world = World::new().await;
    world.server.nvidia_rim("NV_GPU_VBIOS_1", b"<SoftwareIdentity></SoftwareIdentity>");
    let collector = world.collector();
    let rim = collector.rim(&RimId::new("NV_GPU_VBIOS_1").unwrap()).await.unwrap();
    assert_eq!(rim.bytes, b"<SoftwareIdentity></SoftwareIdentity>");
    assert_eq!(rim.found.provenance.state, State::Current);
    let error = collector.rim(&RimId::new("NV_GPU_VBIOS_2").unwrap()).await.unwrap_err();
    assert!(matches!(error, FetchError::NotFound { key: Key::NvidiaRim { .. }, .. }));
}

fn evidence(path: &str) -> Option<std::path::PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence")).join(path);
    if !path.exists() {
        eprintln!("SKIPPED: there is no {}", path.display());
        return None;
    }
    Some(path)
}

#[tokio::test]
async fn intels_own_documents_come_through_unchanged() {
    let Some(path) = evidence("tdx/emr-b0c06f-uptodate/collateral/original.json") else { return };
    let expected: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let world = World::new().await;
    publish_tdx(&world, &expected);
    // in July 2025, when they were current
    let then = UnixTime(1_751_328_000);
    world.set(then);
    let collateral = world.collector().tdx(&TDX, &Extras::new()).await.unwrap();
    assert_eq!(serde_json::to_value(&collateral).unwrap(), expected);
    assert!(collateral.documents.iter().all(|found| found.provenance.state == State::Current));
    // and are what the verifier takes
    let json = serde_json::to_vec(&collateral).unwrap();
    tdx::Collateral::from_json(&json).unwrap().verify(&tdx::Roots::embedded(), then).unwrap();
}

#[tokio::test]
async fn amds_own_documents_pass_the_checks() {
    let (Some(folder), Some(roots)) = (evidence("snp/milan-v3-azure-vtpm"), evidence("snp/amd-roots")) else {
        return;
    };
    let read = |path: &Path| std::fs::read(path).unwrap();
    let (vcek, list) = (read(&folder.join("vcek.der")), read(&folder.join("amd_crl.der")));
    let ask = String::from_utf8(read(&roots.join("milan_ask.pem"))).unwrap();
    let ark = String::from_utf8(read(&roots.join("milan_ark.pem"))).unwrap();
    let report = read(&folder.join("report.bin"));
    let chip_id = ChipId(report[0x1a0..0x1e0].try_into().unwrap());
    let tcb = AmdTcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode: 219 };
    let world = World::new().await;
    world.server.amd_vcek(
        "Milan",
        &hex::encode(chip_id.0),
        "blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219",
        &vcek,
    );
    world.server.amd_cert_chain("vcek", "Milan", &format!("{ask}{ark}"));
    world.server.amd_crl("Milan", &list);
    let needs = SnpNeeds { product: AmdProduct::Milan, chip_id, tcb, ..turin() };
    let collateral = world.collector().snp(&needs).await.unwrap();
    assert_eq!((&collateral.vek, collateral.crl.as_ref()), (&vcek, Some(&list)));
    assert!(collateral.documents.iter().all(|found| found.provenance.state == State::Current));
    let endorsement = snp::Endorsement {
        vek: &collateral.vek,
        ask: collateral.ask.as_deref().unwrap(),
        ark: collateral.ark.as_deref().unwrap(),
        crl: collateral.crl.as_deref(),
        crl_grace: 0,
    };
    snp::verify(&report, &endorsement, &snp::Roots::embedded(), UnixTime(START)).unwrap();
}

/// A report of version 2, which does not name its product line, and its certificate.
fn nameless() -> Option<(snp::Report, Vec<u8>)> {
    let folder = evidence("snp/milan-v2-coco")?;
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    Some((snp::Report::parse(&read("report.bin")).unwrap(), read("vcek.der")))
}

fn publish_line(world: &World, needs: &snp::Needs, vcek: &[u8]) {
    let published = |content_type: &str, body: &[u8]| Published::new(content_type, body);
    world.server.publish(&needs.kds_vcek_path().unwrap(), published("application/pkix-cert", vcek));
    let chain = format!("{ASK}{ARK}");
    world.server.publish(&needs.kds_chain_path(), published("application/x-pem-file", chain.as_bytes()));
    world.server.publish(&needs.kds_crl_path(), published("application/pkix-crl", &crl(START + DAY)));
}

#[tokio::test]
async fn a_report_that_does_not_name_its_line_is_looked_for_in_each() {
    let Some((report, vcek)) = nameless() else { return };
    let lines = snp::Needs::of(&report);
    assert_eq!(lines.len(), 2);
    // under the paths that the verifier names, so both agree on them
    for line in &lines {
        let world = World::new().await;
        publish_line(&world, line, &vcek);
        let collateral = world.collector().snp_of_report(&report, SnpGiven::default()).await.unwrap();
        assert_eq!(collateral.vek, vcek);
        let Key::AmdVcek { product, .. } = collateral.documents[0].provenance.key else { panic!("a VCEK") };
        assert_eq!(product, line.product.into());
    }
    let error = World::new().await.collector().snp_of_report(&report, SnpGiven::default()).await.unwrap_err();
    assert!(matches!(error, FetchError::NotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn the_certificate_at_hand_says_which_line() {
    let Some((report, vcek)) = nameless() else { return };
    let world = World::new().await;
    for line in snp::Needs::of(&report) {
        publish_line(&world, &line, &vcek);
    }
    let given = SnpGiven { vek: Some(&vcek), ..SnpGiven::default() };
    let collateral = world.collector().snp_of_report(&report, given).await.unwrap();
    assert_eq!(collateral.documents[0].provenance.origin, Origin::Evidence);
    assert_eq!((world.server.count("/vcek/v1/Milan/crl"), world.server.count("/vcek/v1/Genoa/crl")), (1, 0));
}

#[test]
fn a_quotes_needs_are_named_alike() {
    let needs = tdx::Needs { fmspc: TDX.fmspc.0, pck_ca: tdx::PckCa::Platform };
    assert_eq!(TdxNeeds::from(needs), TDX);
    let endpoints = crate::Endpoints::default();
    let path = |key: &Key| {
        let url = endpoints.request(key).1;
        url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
    };
    assert_eq!(path(&Key::IntelTcbInfo { fmspc: TDX.fmspc }), needs.tcb_info_path());
    assert_eq!(path(&Key::IntelPckCrl { ca: TDX.ca }), needs.pck_crl_path());
    let processor = tdx::Needs { pck_ca: tdx::PckCa::Processor, ..needs };
    assert_eq!(path(&Key::IntelPckCrl { ca: TdxNeeds::from(processor).ca }), processor.pck_crl_path());
}

//! A vendor, a workspace, and a clock that stands still unless told otherwise.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use privatemode_attest::UnixTime;
use privatemode_test_kit::vendor::{OCSP_PATH, ROOT_CRL_PATH, VendorServer};
use rcgen::{CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, SerialNumber};

use crate::{
    AmdProduct, AmdSigner, AmdTcb, ChipId, Collector, Endpoints, Event, Extras, FetchError, Found, Key,
    Proxy, Retry, Settings, Timing,
};

/// When tests begin: 2026-01-01.
pub(super) const START: u64 = 1_767_225_600;
pub(super) const DAY: u64 = 24 * 3600;

pub(super) const VCEK_PATH: &str = "/vcek/v1/Turin/abababababababab";
pub(super) const CRL_PATH: &str = "/vcek/v1/Milan/crl";

pub(super) fn vcek_key() -> Key {
    let tcb = AmdTcb { fmc: Some(1), bootloader: 3, tee: 0, snp: 8, microcode: 115 };
    Key::AmdVcek { product: AmdProduct::Turin, chip_id: ChipId([0xab; 64]), tcb }
}

pub(super) fn crl_key() -> Key {
    Key::AmdCrl { product: AmdProduct::Milan, signer: AmdSigner::Vcek }
}

/// A DER value that is no certificate: fetching must not care.
pub(super) fn der(content: &[u8]) -> Vec<u8> {
    let mut der = vec![0x30, 0x81, u8::try_from(content.len()).unwrap()];
    der.extend_from_slice(content);
    der
}

/// A revocation list with this next update, of nobody's.
pub(super) fn crl(next_update: u64) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut issuer = CertificateParams::new(Vec::new()).unwrap();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let date = |time: u64| {
        let date = jiff::Timestamp::from_second(i64::try_from(time).unwrap()).unwrap();
        let date = date.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            date.year().into(),
            u8::try_from(date.month()).unwrap(),
            u8::try_from(date.day()).unwrap(),
        )
    };
    let params = CertificateRevocationListParams {
        this_update: date(START - 400 * DAY),
        next_update: date(next_update),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&Issuer::new(issuer, key)).unwrap().der().to_vec()
}

pub(super) const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

#[derive(Default)]
pub(super) struct TestTiming {
    now: AtomicU64,
    pauses: Mutex<Vec<Duration>>,
}

impl Timing for TestTiming {
    fn now(&self) -> UnixTime {
        UnixTime(self.now.load(Ordering::SeqCst))
    }

    /// All of it, so that a test sees where jitter comes in.
    fn jitter(&self, span: Duration) -> Duration {
        span
    }

    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.pauses.lock().unwrap().push(span);
        Box::pin(std::future::ready(()))
    }
}

pub(super) struct World {
    pub(super) server: VendorServer,
    pub(super) folder: tempfile::TempDir,
    pub(super) timing: Arc<TestTiming>,
    pub(super) events: Arc<Mutex<Vec<Event>>>,
}

impl World {
    pub(super) async fn new() -> Self {
        let timing = Arc::new(TestTiming::default());
        timing.now.store(START, Ordering::SeqCst);
        let folder = tempfile::tempdir().unwrap();
        Self { server: VendorServer::start().await, folder, timing, events: Arc::default() }
    }

    pub(super) fn settings(&self) -> Settings {
        let base = self.server.url();
        let endpoints = Endpoints::default().amd_kds(&base).unwrap().intel_pcs(&base).unwrap();
        let endpoints = endpoints.nvidia_rim(&base).unwrap();
        let endpoints = endpoints.intel_root_crl(&format!("{base}{}", &ROOT_CRL_PATH[1..])).unwrap();
        let endpoints = endpoints.nvidia_ocsp(&format!("{base}{}", &OCSP_PATH[1..])).unwrap();
        let events = Arc::clone(&self.events);
        Settings {
            folder: Some(self.folder.path().join("collateral")),
            endpoints,
            proxy: Proxy::Direct,
            tls: Some(no_roots()),
            retry: Retry { attempts: 3, ..Retry::default() },
            timing: Arc::clone(&self.timing) as Arc<dyn Timing>,
            progress: Some(Arc::new(move |event| events.lock().unwrap().push(event.clone()))),
            ..Settings::default()
        }
    }

    pub(super) fn collector(&self) -> Collector {
        Collector::new(self.settings()).unwrap()
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.timing.now.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) fn set(&self, now: UnixTime) {
        self.timing.now.store(now.0, Ordering::SeqCst);
    }

    pub(super) fn pauses(&self) -> Vec<Duration> {
        std::mem::take(&mut self.timing.pauses.lock().unwrap())
    }

    pub(super) fn publish_vcek(&self) -> Vec<u8> {
        let vcek = der(b"the chip's certificate");
        let query = "blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115&fmcSPL=01";
        self.server.amd_vcek("Turin", "abababababababab", query, &vcek);
        vcek
    }

    pub(super) fn publish_crl(&self, next_update: u64) -> Vec<u8> {
        let crl = crl(next_update);
        self.server.amd_crl("Milan", &crl);
        crl
    }

    /// One file of the cache.
    pub(super) fn file(&self, extension: &str) -> std::path::PathBuf {
        self.files(extension).into_iter().next().expect("a file in the cache")
    }

    pub(super) fn files(&self, extension: &str) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("collateral")).unwrap();
        let paths = files.map(|file| file.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    }
}

fn no_roots() -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

pub(super) async fn get(collector: &Collector, key: &Key) -> Result<Found, FetchError> {
    collector.document(key, &[], &Extras::new()).await
}

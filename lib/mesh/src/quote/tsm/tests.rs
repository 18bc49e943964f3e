use std::sync::Mutex;

use privatemode_attest::encoding::{DecodeError, EncodeError, sevsnp, tdx};
use tempfile::TempDir;

use super::*;
use crate::quote::certificates::tests::{VCEK_GUID, table};

/// A kernel: it fills a folder when it is made, and answers when the question is written. Everything else is the real
/// file system.
struct FakeKernel {
    provider: &'static str,
    /// The report with zeros for report data, and where they are.
    report: Vec<u8>,
    report_data_at: usize,
    table: Option<Vec<u8>>,
    /// Writes that are counted for one of ours: more when somebody else writes too.
    counted: u64,
    made: Mutex<Vec<PathBuf>>,
    removed: Mutex<Vec<PathBuf>>,
}

impl FakeKernel {
    fn snp() -> Self {
        let mut report = vec![0; 1184];
        report[0] = 3;
        report[0x188..0x18b].copy_from_slice(&[0x19, 1, 1]);
        Self {
            provider: "sev_guest",
            report,
            report_data_at: 0x50,
            table: Some(table(&[(VCEK_GUID, b"vcek")])),
            counted: 1,
            made: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    fn tdx(version: u8) -> Self {
        let body = if version == 5 { &[3, 0, 0x88, 2, 0, 0][..] } else { &[] };
        let certification = 384 + 64 + 2 + 6;
        let mut report = vec![version];
        report.resize(48, 0);
        report.extend(body);
        report.resize(report.len() + if version == 5 { 648 } else { 584 }, 1);
        report.extend((128 + 6 + certification as u32).to_le_bytes());
        report.resize(report.len() + 128, 2);
        report.extend([6, 0]);
        report.extend((certification as u32).to_le_bytes());
        report.resize(report.len() + certification - 8, 3);
        report.extend([0, 0, 5, 0, 0, 0, 0, 0]);
        Self {
            provider: "tdx_guest",
            report,
            report_data_at: 48 + body.len() + 520,
            table: None,
            ..Self::snp()
        }
    }
}

impl Files for FakeKernel {
    fn make(&self, path: &Path) -> io::Result<()> {
        Kernel.make(path)?;
        self.made.lock().unwrap().push(path.to_owned());
        fs::write(path.join("provider"), format!("{}\n", self.provider))?;
        fs::write(path.join("generation"), "0\n")?;
        fs::write(path.join("inblob"), "")
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        Kernel.write(path, bytes)?;
        let folder = path.parent().unwrap();
        let mut report = self.report.clone();
        let place = report.iter_mut().skip(self.report_data_at).take(64);
        place.zip(fs::read(path)?).for_each(|(to, from)| *to = from);
        fs::write(folder.join("outblob"), report)?;
        if let Some(table) = &self.table {
            fs::write(folder.join("auxblob"), table)?;
        }
        fs::write(folder.join("generation"), format!("{}\n", self.counted))
    }

    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        Kernel.read(path, max)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.removed.lock().unwrap().push(path.to_owned());
        fs::remove_dir_all(path)
    }
}

fn bind() -> ReportData {
    ReportData::from([0x5a; 64])
}

fn open(platform: EvidenceKind, kernel: FakeKernel) -> (TempDir, TsmQuoter<FakeKernel>) {
    let root = TempDir::new().unwrap();
    let quoter = TsmQuoter::with(platform, root.path().to_owned(), kernel).unwrap();
    (root, quoter)
}

#[test]
fn an_snp_guest_quotes_with_the_hosts_certificates() {
    let (_root, quoter) = open(EvidenceKind::Snp, FakeKernel::snp());
    assert_eq!(quoter.kind(), EvidenceKind::Snp);
    let evidence = sevsnp::decode(&quoter.quote(&bind()).unwrap()).unwrap();
    assert_eq!(evidence.report[0x50..0x90], bind().as_bytes()[..]);
    assert_eq!(evidence.vcek.as_deref(), Some(&b"vcek"[..]));
}

#[test]
fn certificates_are_optional() {
    for table in [None, Some(Vec::new()), Some(b"not a table".to_vec())] {
        let (_root, quoter) = open(EvidenceKind::Snp, FakeKernel { table, ..FakeKernel::snp() });
        let evidence = sevsnp::decode(&quoter.quote(&bind()).unwrap()).unwrap();
        assert_eq!(evidence.vcek, None);
    }
}

#[test]
fn a_tdx_guest_quotes() {
    for version in [4, 5] {
        let (_root, quoter) = open(EvidenceKind::Tdx, FakeKernel::tdx(version));
        let quote = tdx::decode(&quoter.quote(&bind()).unwrap()).unwrap();
        let at = quoter.kernel.report_data_at;
        assert_eq!(quote[at..at + 64], bind().as_bytes()[..]);
        assert_eq!(quote.len(), quoter.kernel.report.len());
    }
}

#[test]
fn every_request_has_its_own_folder_and_removes_it() {
    let (root, quoter) = open(EvidenceKind::Snp, FakeKernel::snp());
    for _ in 0..3 {
        quoter.quote(&bind()).unwrap();
    }
    let made = quoter.kernel.made.lock().unwrap().clone();
    let mut names = made.clone();
    names.sort();
    names.dedup();
    // one to ask for the provider, three quotes
    assert_eq!((made.len(), names.len()), (4, 4));
    assert_eq!(*quoter.kernel.removed.lock().unwrap(), made);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn folders_that_are_left_over_are_not_used() {
    let (root, quoter) = open(EvidenceKind::Snp, FakeKernel::snp());
    let made = quoter.kernel.made.lock().unwrap()[0].clone();
    let number: u64 = made.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
    for next in 1..200 {
        // other tests take numbers too, so some of these are skipped
        fs::create_dir(root.path().join(format!("privatemode-{}-{}", std::process::id(), number + next * 2)))
            .unwrap();
    }
    for _ in 0..8 {
        quoter.quote(&bind()).unwrap();
    }
}

#[test]
fn a_write_of_somebody_else_is_noticed() {
    for counted in [0, 2, 9] {
        let (_root, quoter) = open(EvidenceKind::Snp, FakeKernel { counted, ..FakeKernel::snp() });
        let error = quoter.quote(&bind()).unwrap_err();
        let QuoteError::Raced { path } = &error else { panic!("{error:?}") };
        // and the folder is gone after an error too
        assert_eq!(quoter.kernel.removed.lock().unwrap().last(), Some(path));
    }
}

#[test]
fn a_report_for_other_bytes_is_not_passed_on() {
    for (platform, kernel) in [
        (EvidenceKind::Snp, FakeKernel { report_data_at: 0x90, ..FakeKernel::snp() }),
        (EvidenceKind::Tdx, FakeKernel { report_data_at: 200, ..FakeKernel::tdx(4) }),
        (EvidenceKind::Tdx, FakeKernel { report_data_at: 48 + 520, ..FakeKernel::tdx(5) }),
    ] {
        let (_root, quoter) = open(platform, kernel);
        let error = quoter.quote(&bind()).unwrap_err();
        assert!(matches!(error, QuoteError::OtherReportData { platform: named } if named == platform));
    }
}

#[test]
fn a_report_of_an_unknown_form_is_not_passed_on() {
    let short = FakeKernel { report: vec![0; 1183], ..FakeKernel::snp() };
    let reserved = {
        let mut kernel = FakeKernel::snp();
        kernel.report[0x29f] = 1;
        kernel
    };
    for (kernel, expected) in [
        (short, EncodeError::ReportLength { len: 1183, want: 1184 }),
        (reserved, EncodeError::NotCarried { offset: 0x29f }),
    ] {
        let (_root, quoter) = open(EvidenceKind::Snp, kernel);
        let error = quoter.quote(&bind()).unwrap_err();
        let QuoteError::Form { platform: EvidenceKind::Snp, source } = error else { panic!("{error:?}") };
        assert_eq!(source, expected);
    }
    let (_root, quoter) = open(EvidenceKind::Tdx, FakeKernel::tdx(6));
    let error = quoter.quote(&bind()).unwrap_err();
    assert!(
        matches!(error, QuoteError::Form { source: EncodeError::QuoteVersion { version: 6 }, .. }),
        "{error:?}"
    );
}

#[test]
fn what_is_too_long_is_not_read() {
    let kernel = FakeKernel { report: vec![0; MAX_BLOB + 1], ..FakeKernel::snp() };
    let (_root, quoter) = open(EvidenceKind::Snp, kernel);
    let error = quoter.quote(&bind()).unwrap_err();
    assert!(matches!(error, QuoteError::TooLong { max: MAX_BLOB, .. }), "{error:?}");
}

#[test]
fn another_platform_than_the_one_asked_for_is_named() {
    for (platform, provider, hint) in [
        (EvidenceKind::Snp, "tdx_guest", "--platform tdx"),
        (EvidenceKind::Tdx, "sev_guest", "--platform snp"),
        (EvidenceKind::Tdx, "arm_cca_guest", "this version does not know"),
    ] {
        let root = TempDir::new().unwrap();
        let kernel = FakeKernel { provider, ..FakeKernel::snp() };
        let error = TsmQuoter::with(platform, root.path().to_owned(), kernel).err().unwrap();
        assert!(matches!(error, QuoteError::NoHardware { platform: named, .. } if named == platform));
        let text = error.to_string();
        assert!(text.contains(provider) && text.contains(hint), "{text}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}

/// Why there is nothing at a root.
fn why(root: &Path) -> String {
    let error = TsmQuoter::open(EvidenceKind::Snp, root).err().unwrap();
    assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Snp, .. }));
    error.to_string()
}

#[test]
fn what_is_missing_is_said_from_the_outside_in() {
    let folder = TempDir::new().unwrap();
    let config = folder.path().join("config");
    let root = config.join("tsm/report");
    assert!(why(&root).contains("has no configfs"), "{}", why(&root));
    fs::create_dir(&config).unwrap();
    assert!(why(&root).contains("configfs is not mounted"), "{}", why(&root));
    fs::create_dir(config.join("usb_gadget")).unwrap();
    let text = why(&root);
    let expected = if kernel_is_older_than(6, 7) { "older than 6.7" } else { "modprobe sev-guest" };
    assert!(text.contains(expected), "{text}");
    // there, but no file appears in a new folder: not a kernel
    fs::create_dir_all(&root).unwrap();
    let error = TsmQuoter::open(EvidenceKind::Snp, &root).err().unwrap();
    let QuoteError::Device { action: "read", path, .. } = &error else { panic!("{error:?}") };
    assert!(path.ends_with("provider"));
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
}

#[test]
fn why_there_is_no_request() {
    for (source, expected) in [
        (io::Error::from_raw_os_error(6), "no driver gives reports"),
        (io::Error::from_raw_os_error(13), "we may not make a request"),
        (io::Error::from_raw_os_error(1), "we may not make a request"),
        (io::Error::from_raw_os_error(30), "we may not make a request"),
        (io::Error::from_raw_os_error(12), "cannot be made"),
    ] {
        let text = no_request(EvidenceKind::Tdx, Path::new("/root"), &source).to_string();
        assert!(text.contains(expected) && text.contains("/root"), "{text}");
        assert!(text.contains("--platform simulated"), "{text}");
    }
}

#[test]
fn a_failing_device_says_what_to_do() {
    let (_root, quoter) = open(EvidenceKind::Tdx, FakeKernel::tdx(4));
    let request = quoter.request().unwrap();
    for (number, expected) in
        [(110, "quote generation service"), (16, "try again"), (13, "as root"), (5, "dmesg")]
    {
        let error = request.device("read", "/r/outblob".into(), io::Error::from_raw_os_error(number));
        let text = error.to_string();
        assert!(text.contains(expected) && text.contains("cannot read `/r/outblob`"), "{text}");
    }
}

#[test]
fn versions_of_kernels_are_read() {
    assert_eq!(version_of("6.6.12-cloud"), Some((6, 6)));
    assert_eq!(version_of("6.18.0"), Some((6, 18)));
    assert_eq!(version_of("7"), None);
    assert_eq!(version_of(""), None);
}

#[test]
fn the_kernels_files_are_never_created_by_us() {
    let folder = TempDir::new().unwrap();
    let error = Kernel.write(&folder.path().join("inblob"), b"x").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    fs::write(folder.path().join("outblob"), [7; 100]).unwrap();
    assert_eq!(Kernel.read(&folder.path().join("outblob"), 10).unwrap(), [7; 10]);
}

#[test]
fn nothing_but_evidence_comes_out() {
    let (_root, quoter) = open(EvidenceKind::Snp, FakeKernel::snp());
    let evidence = quoter.quote(&bind()).unwrap();
    assert_eq!(
        sevsnp::decode(&evidence[..evidence.len() - 1]),
        Err(DecodeError::Truncated { message: "attestation" })
    );
}

use super::*;

#[test]
fn times_have_an_offset_and_are_not_before_1970() {
    assert_eq!(parse_time("1970-01-01T00:00:00Z"), Ok(UnixTime(0)));
    assert_eq!(parse_time("2026-05-12T02:00:00+02:00"), Ok(UnixTime(1_778_544_000)));
    assert_eq!(parse_time("2026-05-12T00:00:00.9Z"), Ok(UnixTime(1_778_544_000)));
    assert!(parse_time("now").unwrap() > UnixTime(1_700_000_000));
    for text in
        ["", "2026-05-12", "2026-05-12T00:00:00", "2026-05-12T00:00Z", "yesterday", "2026-02-30T00:00:00Z"]
    {
        assert!(parse_time(text).unwrap_err().contains("such as"), "{text}");
    }
    assert_eq!(parse_time("1969-12-31T23:59:59Z"), Err("is before 1970".to_owned()));
}

#[test]
fn the_nearest_name_is_offered_only_when_it_is_near() {
    let known = ["report_data", "host_data", "vmpl", "min_tcb.snp"];
    assert_eq!(nearest("reportdata", &known), Some("report_data"));
    assert_eq!(nearest("HOST_DATA", &known), Some("host_data"));
    assert_eq!(nearest("min_tcb.smp", &known), Some("min_tcb.snp"));
    assert_eq!(nearest("colour", &known), None);
    assert_eq!(nearest("", &[]), None);
}

#[test]
fn files_are_capped_and_their_faults_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut files = Files::default();
    let missing = files.read("--report", &path, 10).unwrap_err();
    assert!(matches!(missing, Unusable::Read { flag: "--report", .. }));
    assert!(matches!(files.read("--report", folder.path(), 10), Err(Unusable::Directory { .. })));
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(files.read("--report", &path, 10), Err(Unusable::Empty { .. })));
    std::fs::write(&path, [7; 10]).unwrap();
    assert_eq!(files.read("--report", &path, 10).unwrap(), [7; 10]);
    assert!(matches!(files.read("--report", &path, 9), Err(Unusable::TooLong { max: 9, .. })));
    // never ends
    assert!(matches!(files.read("--report", Path::new("/dev/zero"), 9), Err(Unusable::TooLong { .. })));
}

#[test]
fn a_guess_is_made_at_exchanged_files() {
    for (bytes, guess) in [
        (&b"-----BEGIN CERTIFICATE-----\n"[..], Some("a certificate in PEM")),
        (b"-----BEGIN X509 CRL-----\n", Some("PEM, but no certificate")),
        (b" {\"a\":1}", Some("JSON")),
        (b"<?xml", Some("XML")),
        (&[0x30, 0x82, 1, 2], Some("a certificate, revocation list or OCSP response in DER")),
        (&[0x11, 0xe0, 1, 0xff], Some("an NVIDIA measurement report")),
        (&[4, 0, 2, 0, 0x81, 0, 0, 0, 9], Some("an SGX or TDX quote")),
        (&[2; 1184], Some("an SEV-SNP report")),
        (b"?", None),
    ] {
        assert_eq!(looks_like(bytes), guess);
    }
}

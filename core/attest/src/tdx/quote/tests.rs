use super::*;

/// The smallest bytes with a quote's structure; nothing in them is signed.
fn quote(version: u16, body_type: Option<u16>) -> Vec<u8> {
    let mut bytes = header(version);
    let len = match body_type {
        Some(BODY_TDX_1_5) => TdReport::LEN_1_5,
        _ => TdReport::LEN_1_0,
    };
    if let Some(body_type) = body_type {
        bytes.extend(body_type.to_le_bytes());
        bytes.extend(u32::try_from(len).unwrap().to_le_bytes());
    }
    bytes.extend((0..len).map(|place| u8::try_from(place % 251).unwrap()));
    let mut certification = vec![3; QeReport::LEN + 64];
    certification.extend([2, 0, 8, 9]);
    certification.extend([5, 0, 4, 0, 0, 0]);
    certification.extend(b"PEM\0");
    let mut data = vec![7; 128];
    data.extend([6, 0]);
    data.extend(u32::try_from(certification.len()).unwrap().to_le_bytes());
    data.extend(certification);
    bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend(data);
    bytes
}

fn header(version: u16) -> Vec<u8> {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend([2, 0, 0x81, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(INTEL_QE);
    bytes.extend([0; 20]);
    bytes
}

fn error_of(bytes: &[u8]) -> QuoteError {
    Quote::parse(bytes).unwrap_err()
}

fn with(mut bytes: Vec<u8>, place: usize, byte: u8) -> Vec<u8> {
    bytes[place] = byte;
    bytes
}

#[test]
fn both_versions_and_bodies_are_read() {
    for (version, body_type, signed) in
        [(4, None, 48 + 584), (5, Some(BODY_TDX_1_0), 54 + 584), (5, Some(BODY_TDX_1_5), 54 + 648)]
    {
        let bytes = quote(version, body_type);
        let quote = Quote::parse(&bytes).unwrap();
        assert_eq!(quote.version(), version);
        assert_eq!(quote.signed, &bytes[..signed]);
        assert_eq!(quote.body().v1_5.is_some(), body_type == Some(BODY_TDX_1_5));
        assert_eq!(quote.auth_data, [8, 9]);
        assert_eq!(quote.pck_chain_pem(), b"PEM");
        assert!(quote.padding().is_empty());
    }
}

#[test]
fn fields_are_where_the_layout_says() {
    let bytes = quote(5, Some(BODY_TDX_1_5));
    let quote = Quote::parse(&bytes).unwrap();
    let body = quote.body();
    let at = |place: usize| u8::try_from(place % 251).unwrap();
    assert_eq!(body.tee_tcb_svn[0], at(0));
    assert_eq!(body.mr_seam[0], at(16));
    assert_eq!(body.mr_signer_seam[0], at(64));
    assert_eq!(body.seam_attributes.to_bytes()[0], at(112));
    assert_eq!(body.td_attributes.to_bytes()[0], at(120));
    assert_eq!(body.xfam.to_bytes()[0], at(128));
    assert_eq!(body.mr_td[0], at(136));
    assert_eq!(body.mr_config_id[0], at(184));
    assert_eq!(body.mr_owner[0], at(232));
    assert_eq!(body.mr_owner_config[0], at(280));
    assert_eq!(body.rtmrs.map(|rtmr| rtmr[0]), [at(328), at(376), at(424), at(472)]);
    assert_eq!(body.report_data.as_bytes()[0], at(520));
    let extra = body.v1_5.as_ref().unwrap();
    assert_eq!((extra.tee_tcb_svn_2[0], extra.mr_service_td[0]), (at(584), at(600)));
}

#[test]
fn padding_is_kept_apart() {
    let mut bytes = quote(4, None);
    bytes.extend([0; 9]);
    assert_eq!(Quote::parse(&bytes).unwrap().padding(), [0; 9]);
}

#[test]
fn every_cut_is_refused() {
    for bytes in [quote(4, None), quote(5, Some(BODY_TDX_1_5))] {
        for len in 0..bytes.len() {
            assert!(matches!(error_of(&bytes[..len]), QuoteError::Truncated { .. }), "{len}");
        }
    }
}

#[test]
fn too_long() {
    let len = MAX_QUOTE + 1;
    assert_eq!(error_of(&vec![0; len]), QuoteError::TooLong { len, max: MAX_QUOTE });
}

#[test]
fn kinds_of_quote_that_are_not_read() {
    let good = quote(4, None);
    for version in [3, 4, 5] {
        assert_eq!(error_of(&with(header(version), 4, 0)), QuoteError::Sgx { version });
    }
    for version in [0, 3, 6] {
        assert_eq!(error_of(&header(version)), QuoteError::Version { version });
    }
    assert_eq!(error_of(&with(good.clone(), 4, 0x82)), QuoteError::TeeType { tee_type: 0x82 });
    assert_eq!(error_of(&with(good.clone(), 2, 3)), QuoteError::AttestationKeyType { key_type: 3 });
    let vendor = with(good, 27, 8);
    assert_eq!(error_of(&vendor), QuoteError::QeVendor { vendor: vendor[12..28].try_into().unwrap() });
}

#[test]
fn bodies_that_are_not_td_reports() {
    let good = quote(5, Some(BODY_TDX_1_5));
    assert_eq!(error_of(&with(good.clone(), 48, 1)), QuoteError::BodyType { body_type: 1 });
    assert_eq!(
        error_of(&with(good.clone(), 48, 2)),
        QuoteError::BodySize { size: 648, expected: TdReport::LEN_1_0 }
    );
    assert_eq!(
        error_of(&with(good, 50, 0x89)),
        QuoteError::BodySize { size: 649, expected: TdReport::LEN_1_5 }
    );
}

#[test]
fn certification_of_other_types() {
    let good = quote(4, None);
    assert_eq!(
        error_of(&with(good.clone(), 636 + 128, 5)),
        QuoteError::CertificationType { found: 5, expected: 6 }
    );
    let inner = good.len() - 10;
    assert_eq!(error_of(&with(good, inner, 4)), QuoteError::CertificationType { found: 4, expected: 5 });
}

#[test]
fn lengths_agree_with_each_other() {
    let good = quote(4, None);
    // the signature data is one byte longer than what it holds
    let mut longer = with(good.clone(), 632, good[632] + 1);
    longer.push(0);
    assert_eq!(error_of(&longer), QuoteError::Slack { part: "signature data", extra: 1 });
    // the PCK chain is one byte shorter than its place
    let place = good.len() - 8;
    assert_eq!(
        error_of(&with(good.clone(), place, 3)),
        QuoteError::Slack { part: "certification data", extra: 1 }
    );
    for length in [0, u32::MAX] {
        let mut wrong = good.clone();
        wrong[632..636].copy_from_slice(&length.to_le_bytes());
        assert_eq!(error_of(&wrong), QuoteError::Truncated { part: "signature data" });
    }
}

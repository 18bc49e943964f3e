use privatemode_test_pki::intel::{self, Encoded, IsvLevel, pem};
use privatemode_test_pki::{Extension, Key};

use super::*;
use crate::signature::SignatureError;
use crate::tdx::DocumentError;
use crate::tdx::fakes::{NOW, collateral, good, refused, roots, with};
use crate::x509::{CrlError, IssueError, PathError, ValidityError};

fn verified(set: &Encoded) -> Result<VerifiedCollateral, CollateralError> {
    collateral(set).verify(&roots(set), NOW)
}

#[test]
fn a_good_set() {
    let collateral = verified(&good()).unwrap();
    assert_eq!(collateral.evaluation_number(), 20);
    assert_eq!(collateral.fmspc(), [0x90, 0xc0, 0x6f, 0, 0, 0]);
    assert_eq!(collateral.pck_ca(), PckCa::Platform);
    assert!(!collateral.is_production());
    let older = verified(&with(|set| set.qe_identity.evaluation_number = 3)).unwrap();
    assert_eq!(older.evaluation_number(), 3);
}

#[test]
fn lengths_are_capped() {
    let set = good();
    let long = || " ".repeat(MAX_DOCUMENT + 1);
    for (document, change) in [
        (
            Document::TcbInfo,
            (|set: &mut Collateral, long| set.tcb_info = long) as fn(&mut Collateral, String),
        ),
        (Document::QeIdentity, |set, long| set.qe_identity = long),
        (Document::TcbInfo, |set, long| set.tcb_info_issuer_chain = long),
        (Document::QeIdentity, |set, long| set.qe_identity_issuer_chain = long),
        (Document::PckCrl, |set, long| set.pck_crl_issuer_chain = long),
    ] {
        let mut collateral = collateral(&set);
        change(&mut collateral, long());
        refused!(
            collateral.verify(&roots(&set), NOW),
            CollateralError::TooLong { document: found, .. } if found == document
        );
    }
}

#[test]
fn the_root_must_be_in_date() {
    for (change, early) in [
        ((|set| set.root.not_after = intel::NOW - 1) as fn(&mut intel::Evidence), false),
        (|set| set.root.not_before = intel::NOW + 1, true),
    ] {
        let set = with(change);
        let error = verified(&set).unwrap_err();
        let CollateralError::PckCaChain {
            source: ChainError::Path { source: PathError::Validity { index: 1, source } },
        } = error
        else {
            panic!("{error:?}")
        };
        assert_eq!(matches!(source, ValidityError::NotYetValid { .. }), early);
        // the pinned certificate as well, where the chain brings a renewed one of the same key
        refused!(collateral(&good()).verify(&roots(&set), NOW), CollateralError::Certificate { .. });
    }
}

#[test]
fn the_root_is_pinned_by_key() {
    let other = Key::p256("another root");
    let set = good();
    // everything hangs together under a root of the same name
    let forged = with(|set| {
        (set.root.key, set.root.signed_by) = (other.clone(), other.clone());
        (set.pck_ca.signed_by, set.tcb_signer.signed_by) = (other.clone(), other.clone());
        set.root_crl.signed_by = other.clone();
    });
    assert!(verified(&forged).is_ok());
    refused!(
        collateral(&forged).verify(&roots(&set), NOW),
        CollateralError::PckCaChain { source: ChainError::OtherRoot }
    );
    let mut mixed = set.clone();
    mixed.tcb_signing_chain = forged.tcb_signing_chain;
    refused!(
        verified(&mixed),
        CollateralError::SigningChain { document: Document::TcbInfo, source: ChainError::OtherRoot }
    );
}

#[test]
fn each_document_has_its_own_signing_chain() {
    let set = good();
    let mut collateral = collateral(&set);
    collateral.qe_identity_issuer_chain.insert(0, '\u{b}');
    refused!(
        collateral.verify(&roots(&set), NOW),
        CollateralError::SigningChain { document: Document::QeIdentity, source: ChainError::Text }
    );
}

#[test]
fn the_signing_certificate() {
    let refused_chain = |set: Encoded, expected: fn(&ChainError) -> bool| {
        let error = verified(&set).unwrap_err();
        let CollateralError::SigningChain { document: Document::TcbInfo, source } = error else {
            panic!("{error:?}")
        };
        assert!(expected(&source), "{source:?}");
    };
    refused_chain(with(|set| set.tcb_signer.signed_by = Key::p256("nobody")), |error| {
        matches!(error, ChainError::Path { source: PathError::Issue { index: 0, .. } })
    });
    refused_chain(with(|set| set.tcb_signer.not_after = intel::NOW - 1), |error| {
        matches!(
            error,
            ChainError::Path {
                source: PathError::Validity { index: 0, source: ValidityError::Expired { .. } }
            }
        )
    });
    refused_chain(
        with(|set| set.root_crl.revoked.push((set.tcb_signer.serial.clone(), intel::NOW - 5))),
        |error| matches!(error, ChainError::Revoked { place: "leaf", .. }),
    );
    // a PCK authority hangs from the same root, but does not speak about TCBs
    refused_chain(
        with(|set| {
            set.tcb_signer = set.pck_ca.clone();
            set.tcb_info_signed_by = set.pck_ca.key.clone();
        }),
        |error| matches!(error, ChainError::Name { place: "leaf", .. }),
    );
    let mut alone = good();
    alone.tcb_signing_chain = pem(&[&alone.root]);
    refused_chain(alone, |error| matches!(error, ChainError::Length { found: 1, expected: 2 }));
}

#[test]
fn the_signatures_of_the_documents() {
    let other = Key::p256("nobody");
    refused!(
        verified(&with(|set| set.tcb_info_signed_by = other.clone())),
        CollateralError::Signature { document: Document::TcbInfo, source: SignatureError::Wrong }
    );
    refused!(
        verified(&with(|set| set.qe_identity_signed_by = other.clone())),
        CollateralError::Signature { document: Document::QeIdentity, source: SignatureError::Wrong }
    );
    let set = good();
    let mut exchanged = collateral(&set);
    std::mem::swap(&mut exchanged.tcb_info_signature, &mut exchanged.qe_identity_signature);
    refused!(
        exchanged.verify(&roots(&set), NOW),
        CollateralError::Signature { document: Document::TcbInfo, .. }
    );
    // other white space is another document
    let mut spaced = collateral(&set);
    spaced.tcb_info = spaced.tcb_info.replacen(',', ", ", 1);
    refused!(
        spaced.verify(&roots(&set), NOW),
        CollateralError::Signature { document: Document::TcbInfo, .. }
    );
}

#[test]
fn contents_of_the_documents() {
    let content = |set: Encoded, document: Document, expected: fn(&DocumentError) -> bool| {
        let error = verified(&set).unwrap_err();
        let CollateralError::Content { document: found, source } = error else { panic!("{error:?}") };
        assert_eq!(found, document);
        assert!(expected(&source), "{source:?}");
    };
    let (info, identity) = (Document::TcbInfo, Document::QeIdentity);
    content(with(|set| set.tcb_info.id = "SGX".to_owned()), info, |error| {
        matches!(error, DocumentError::Kind { expected: "TDX", .. })
    });
    content(with(|set| set.qe_identity.id = "QE".to_owned()), identity, |error| {
        matches!(error, DocumentError::Kind { expected: "TD_QE", .. })
    });
    content(with(|set| set.tcb_info.version = 2), info, |error| {
        matches!(error, DocumentError::Version { found: 2, expected: 3 })
    });
    content(with(|set| set.qe_identity.version = 3), identity, |error| {
        matches!(error, DocumentError::Version { found: 3, expected: 2 })
    });
    content(with(|set| set.tcb_info.tcb_type = 1), info, |error| {
        matches!(error, DocumentError::TcbType { found: 1 })
    });
    content(with(|set| set.tcb_info.more = r#","fmspc":"000000000000""#.to_owned()), info, |error| {
        matches!(error, DocumentError::Json { .. })
    });
    content(
        with(|set| set.tcb_info.levels[0].status = "Fine".to_owned()),
        info,
        |error| matches!(error, DocumentError::Status { name } if name == "Fine"),
    );
    content(with(|set| set.tcb_info.modules[0].0 = "TDX_1".to_owned()), info, |error| {
        matches!(error, DocumentError::Value { member: "id", .. })
    });
    content(with(|set| set.tcb_info.issue_date = "2025-12-22".to_owned()), info, |error| {
        matches!(error, DocumentError::Value { member: "issueDate", .. })
    });
    content(with(|set| set.qe_identity.mr_signer.truncate(62)), identity, |error| {
        matches!(error, DocumentError::Value { member: "mrsigner", .. })
    });
    content(
        with(|set| set.qe_identity.levels = vec![IsvLevel::new(1, "UpToDate"); 300]),
        identity,
        |error| matches!(error, DocumentError::TooMany { member: "tcbLevels", len: 300, .. }),
    );
    // a new member is nothing to stumble over
    assert!(verified(&with(|set| set.tcb_info.more = r#","new":[1]"#.to_owned())).is_ok());
}

#[test]
fn the_pck_authority() {
    let refused_chain = |set: Encoded, expected: fn(&ChainError) -> bool| {
        let error = verified(&set).unwrap_err();
        let CollateralError::PckCaChain { source } = error else { panic!("{error:?}") };
        assert!(expected(&source), "{source:?}");
    };
    refused_chain(with(|set| set.pck_ca.signed_by = Key::p256("nobody")), |error| {
        matches!(error, ChainError::Path { source: PathError::Issue { index: 0, .. } })
    });
    refused_chain(
        with(|set| set.root_crl.revoked.push((set.pck_ca.serial.clone(), intel::NOW - 5))),
        |error| matches!(error, ChainError::Revoked { place: "issuer", .. }),
    );
    refused_chain(
        with(|set| {
            set.pck_ca.subject = intel::name("Intel SGX PCK Other CA");
            set.pck_crl.issuer = set.pck_ca.subject.clone();
        }),
        |error| matches!(error, ChainError::Name { place: "issuer", .. }),
    );
}

#[test]
fn the_lists_are_their_issuers() {
    let other = Key::p256("nobody");
    refused!(
        verified(&with(|set| set.root_crl.signed_by = other.clone())),
        CollateralError::CrlIssuer { document: Document::RootCrl, source: IssueError::Signature { .. } }
    );
    refused!(
        verified(&with(|set| set.pck_crl.signed_by = other.clone())),
        CollateralError::CrlIssuer { document: Document::PckCrl, source: IssueError::Signature { .. } }
    );
    refused!(
        verified(&with(|set| set.pck_crl.issuer = intel::name("Intel SGX PCK Processor CA"))),
        CollateralError::CrlIssuer { document: Document::PckCrl, source: IssueError::OtherIssuer }
    );
    // a leaf of the root may not revoke in its place
    refused!(
        verified(&with(|set| {
            set.pck_ca.without("2.5.29.15");
            set.pck_ca.extensions.push(Extension::key_usage(&[5]));
        })),
        CollateralError::CrlIssuer { document: Document::PckCrl, source: IssueError::KeyUsage }
    );
    let mut set = good();
    set.root_ca_crl.push(0);
    refused!(
        verified(&set),
        CollateralError::Crl { document: Document::RootCrl, source: CrlError::Malformed { .. } }
    );
}

/// One document alone ends, or begins, a second too early or too late.
fn dated(document: Document, issued: u64, next_update: u64) -> Encoded {
    let date = |seconds: u64| {
        let time = jiff::Timestamp::from_second(seconds.try_into().unwrap()).unwrap();
        time.to_string()
    };
    with(|set| match document {
        Document::TcbInfo => {
            (set.tcb_info.issue_date, set.tcb_info.next_update) = (date(issued), date(next_update));
        }
        Document::QeIdentity => {
            (set.qe_identity.issue_date, set.qe_identity.next_update) = (date(issued), date(next_update));
        }
        Document::PckCrl => (set.pck_crl.this_update, set.pck_crl.next_update) = (issued, next_update),
        Document::RootCrl => (set.root_crl.this_update, set.root_crl.next_update) = (issued, next_update),
    })
}

#[test]
fn each_document_counts_from_issue_to_next_update() {
    let now = intel::NOW;
    for document in [Document::TcbInfo, Document::QeIdentity, Document::PckCrl, Document::RootCrl] {
        assert!(verified(&dated(document, now, now + 1)).is_ok(), "{document}");
        refused!(
            verified(&dated(document, now - 9, now)),
            CollateralError::Stale { document: found, next_update: UnixTime(when) }
                if found == document && when == now
        );
        refused!(
            verified(&dated(document, now + 1, now + 9)),
            CollateralError::NotYetIssued { document: found, issued: UnixTime(when) }
                if found == document && when == now + 1
        );
    }
}

#[test]
fn grace_ends_too() {
    let now = intel::NOW;
    for document in [Document::TcbInfo, Document::QeIdentity, Document::PckCrl, Document::RootCrl] {
        let set = dated(document, now - 100, now - 60);
        let verify =
            |seconds| collateral(&set).verify_with_grace(&roots(&set), Grace::seconds(seconds).unwrap(), NOW);
        let freshness = verify(61).unwrap().check_current(NOW).unwrap();
        assert_eq!(freshness, Freshness::Grace { since: UnixTime(now - 60), overdue: 60 });
        refused!(verify(60), CollateralError::Stale { document: found, .. } if found == document);
    }
    let seconds = Grace::MAX_SECONDS + 1;
    assert_eq!(Grace::seconds(seconds), Err(GraceTooLong { seconds }));
}

#[test]
fn certificates_are_asked_again() {
    for set in [
        with(|set| set.tcb_signer.not_after = intel::NOW + 10),
        with(|set| set.pck_ca.not_after = intel::NOW + 10),
        with(|set| set.root.not_after = intel::NOW + 10),
    ] {
        let collateral = verified(&set).unwrap();
        assert!(collateral.check_current(UnixTime(intel::NOW + 10)).is_ok());
        refused!(
            collateral.check_current(UnixTime(intel::NOW + 11)),
            CollateralError::Certificate { source: ValidityError::Expired { .. } }
        );
    }
}

#[test]
fn every_refusal_is_step_2() {
    let error = verified(&with(|set| set.tcb_info.version = 9)).unwrap_err();
    assert_eq!(error.step(), crate::tdx::Step::Collateral);
}

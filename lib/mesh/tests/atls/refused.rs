//! What is refused, by which error, at both ends.

use std::sync::Arc;

use privatemode_attest::{
    EvidenceKind, UnixTime, UnknownEvidenceKind,
    atls::LeafError,
    signature::SignatureError,
    x509::{CertificateError, ValidityError},
};
use privatemode_manifest::{AppraiseError, PolicyHash};
use privatemode_mesh::atls::{AtlsError, Client, Demand, NonceFault, Server};
use rustls::{ServerConfig, sign::SingleCertAndKey};
use tokio_rustls::TlsAcceptor;

use crate::{
    forge::{self, Hello, Wrong},
    stand::{BOTH, COORDINATOR, FOREIGN, Platform, Stand, WORKLOAD, mutual, tcp},
};

fn nonce() -> Vec<u8> {
    [b"atls:v1:nonce:".to_vec(), b"07".repeat(32)].concat()
}

fn hello() -> Hello {
    Hello { protocols: vec![nonce(), b"h2".to_vec()], certificate: true }
}

/// What a client says to a server that does one thing wrong.
async fn of_server(stand: &Stand, wrong: &Wrong) -> Result<(), AtlsError> {
    let (near, far) = tcp().await;
    let client = stand.anonymous();
    let (at_client, ()) = tokio::join!(client.connect(near), forge::serve(stand, wrong, far));
    stand.verify(at_client, Demand::AnyWorkload).await.map(drop)
}

/// What a server says to such a client.
async fn of_client(stand: &Arc<Stand>, wrong: &Wrong) -> Result<(), AtlsError> {
    let (near, far) = tcp().await;
    let server = stand.server(COORDINATOR);
    let (at_server, ()) =
        tokio::join!(server.accept_mutual(far), forge::connect(stand, wrong, hello(), near));
    stand.verify(at_server, Demand::AnyWorkload).await.map(drop)
}

/// At both ends, on both platforms.
async fn everywhere(wrong: Wrong, expected: impl Fn(&Stand, &AtlsError) -> bool) {
    for platform in BOTH {
        let stand = Arc::new(Stand::new(platform));
        for (end, outcome) in
            [("server", of_server(&stand, &wrong).await), ("client", of_client(&stand, &wrong).await)]
        {
            let error = outcome.expect_err("refused");
            assert!(expected(&stand, &error), "{wrong:?} by a {end}, {platform:?}: {error:?}");
            assert!(!error.is_temporary(), "{error:?}");
        }
    }
}

fn leaf(error: &AtlsError) -> &LeafError {
    let AtlsError::Leaf { source } = error else { panic!("{error:?}") };
    source
}

#[tokio::test]
async fn the_forger_can_do_it_right() {
    for platform in BOTH {
        let stand = Arc::new(Stand::new(platform));
        of_server(&stand, &Wrong::Nothing).await.unwrap();
        of_client(&stand, &Wrong::Nothing).await.unwrap();
    }
}

#[tokio::test]
async fn evidence_for_another_nonce_or_key() {
    for wrong in [Wrong::Nonce, Wrong::Key] {
        everywhere(wrong, |_, error| {
            matches!(error, AtlsError::Appraise { source: AppraiseError::ReportDataMismatch })
        })
        .await;
    }
}

#[tokio::test]
async fn a_certificate_that_was_captured_on_another_connection() {
    everywhere(Wrong::Captured, |_, error| {
        matches!(error, AtlsError::NotItsKey { source: SignatureError::Wrong })
    })
    .await;
}

#[tokio::test]
async fn no_evidence() {
    everywhere(Wrong::None, |_, error| *leaf(error) == LeafError::NoEvidence).await;
}

#[tokio::test]
async fn two_pieces_of_evidence() {
    everywhere(Wrong::Two, |_, error| *leaf(error) == LeafError::SeveralEvidence { count: 2 }).await;
    everywhere(Wrong::SameTwice, |stand, error| {
        let oid = stand.quoter(WORKLOAD).kind().oid_text().to_owned();
        *leaf(error) == LeafError::Certificate { source: CertificateError::DuplicateExtension { oid } }
    })
    .await;
}

#[tokio::test]
async fn evidence_of_another_kind() {
    everywhere(Wrong::ForeignKind, |_, error| {
        let source = UnknownEvidenceKind { oid: vec![1, 3, 9901, 2, 99] };
        *leaf(error) == LeafError::EvidenceKind { source }
    })
    .await;
    everywhere(Wrong::OtherKind, |_, error| {
        let kind = EvidenceKind::Tdx;
        matches!(error, AtlsError::Appraise { source: AppraiseError::PlatformNotInManifest { kind: said } } if *said == kind)
    })
    .await;
}

#[tokio::test]
async fn evidence_that_was_changed() {
    let wrong = LeafError::SelfSignature { source: SignatureError::Wrong };
    everywhere(Wrong::Tampered, |_, error| *leaf(error) == wrong).await;
    everywhere(Wrong::TamperedAndSigned, |stand, error| {
        let kind = stand.quoter(WORKLOAD).kind();
        matches!(error, AtlsError::Appraise { source: AppraiseError::Evidence { kind: said, .. } } if *said == kind)
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_somebody_else_signed() {
    let wrong = LeafError::SelfSignature { source: SignatureError::Wrong };
    everywhere(Wrong::SelfSignature, |_, error| *leaf(error) == wrong).await;
    everywhere(Wrong::OtherIssuer, |_, error| *leaf(error) == LeafError::NotSelfIssued).await;
    everywhere(Wrong::Chain, |_, error| matches!(error, AtlsError::NotOneCertificate { count: 2 })).await;
}

#[tokio::test]
async fn a_certificate_out_of_its_time() {
    everywhere(Wrong::Expired, |stand, error| {
        let until = UnixTime((stand.clock())().as_secs() - 1);
        *leaf(error) == LeafError::Validity { source: ValidityError::Expired { until } }
    })
    .await;
    everywhere(Wrong::NotYetValid, |stand, error| {
        let from = UnixTime((stand.clock())().as_secs() + 60);
        *leaf(error) == LeafError::Validity { source: ValidityError::NotYetValid { from } }
    })
    .await;
}

#[tokio::test]
async fn our_own_certificates_live_for_two_hours_in_both_directions() {
    for platform in BOTH {
        let stand = Stand::new(platform);
        for (off, good) in [(-7200, true), (-7201, false), (7200, true), (7201, false)] {
            let server = Server::new(stand.quoter(COORDINATOR), stand.clock_off_by(off));
            let (near, far) = tcp().await;
            let client = stand.anonymous();
            let (_, at_client) = tokio::join!(server.accept(far), client.connect(near));
            let outcome = stand.verify(at_client, Demand::Coordinator).await;
            assert_eq!(outcome.is_ok(), good, "{off}: {outcome:?}");
            if let Err(error) = outcome {
                assert!(matches!(leaf(&error), LeafError::Validity { .. }), "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_workload_of_another_deployment() {
    for platform in BOTH {
        let stand = Stand::new(platform);
        let foreign = |error: &AtlsError| match (platform, error) {
            (
                Platform::Simulated,
                AtlsError::Appraise { source: AppraiseError::HostDataNotAllowed { got } },
            )
            | (Platform::Snp, AtlsError::Appraise { source: AppraiseError::PolicyNotInManifest { got } }) => {
                *got == PolicyHash::of(FOREIGN)
            }
            _ => false,
        };
        let (at_server, at_client) = mutual(&stand.server(FOREIGN), &stand.client(FOREIGN)).await;
        let error = stand.verify(at_server, Demand::AnyWorkload).await.unwrap_err();
        assert!(foreign(&error), "{error:?}");
        let error = stand.verify(at_client, Demand::AnyWorkload).await.unwrap_err();
        assert!(foreign(&error), "{error:?}");
    }
}

#[tokio::test]
async fn evidence_of_a_platform_that_the_manifest_does_not_name() {
    let (ours, theirs) = (Stand::new(Platform::Snp), Stand::new(Platform::Simulated));
    let (at_server, _) = mutual(&ours.server(COORDINATOR), &theirs.client(WORKLOAD)).await;
    let error = ours.verify(at_server, Demand::AnyWorkload).await.unwrap_err();
    let kind = EvidenceKind::Simulated;
    assert!(
        matches!(&error, AtlsError::Appraise { source: AppraiseError::PlatformNotInManifest { kind: said } } if *said == kind),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_workload_in_the_coordinators_place() {
    for platform in BOTH {
        let stand = Stand::new(platform);
        let (at_server, at_client) = mutual(&stand.server(WORKLOAD), &stand.client(WORKLOAD)).await;
        for error in [
            stand.verify(at_server, Demand::Coordinator).await.unwrap_err(),
            stand.verify(at_client, Demand::Coordinator).await.unwrap_err(),
        ] {
            let got = PolicyHash::of(WORKLOAD);
            assert!(matches!(&error, AtlsError::NotCoordinator { got: said } if *said == got), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_names_no_nonce_or_several() {
    let stand = Arc::new(Stand::new(Platform::Simulated));
    for (protocols, fault) in [
        (vec![], NonceFault::None),
        (vec![b"h2".to_vec()], NonceFault::None),
        (vec![nonce(), nonce(), b"h2".to_vec()], NonceFault::Several),
        (vec![nonce()[..77].to_vec(), b"h2".to_vec()], NonceFault::Form),
    ] {
        let (near, far) = tcp().await;
        let hello = Hello { protocols, certificate: false };
        let server = stand.server(COORDINATOR);
        let (at_server, ()) =
            tokio::join!(server.accept(far), forge::connect(&stand, &Wrong::Nothing, hello, near));
        let error = at_server.unwrap_err();
        assert!(matches!(&error, AtlsError::Nonce { source } if *source == fault), "{fault:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_http2() {
    let stand = Arc::new(Stand::new(Platform::Simulated));
    let (near, far) = tcp().await;
    let hello = Hello { protocols: vec![nonce(), b"http/1.1".to_vec()], certificate: false };
    let server = stand.server(COORDINATOR);
    let (at_server, ()) =
        tokio::join!(server.accept(far), forge::connect(&stand, &Wrong::Nothing, hello, near));
    let error = at_server.unwrap_err();
    assert!(matches!(error, AtlsError::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn a_client_without_a_certificate() {
    let stand = Arc::new(Stand::new(Platform::Simulated));
    let (near, far) = tcp().await;
    let hello = Hello { certificate: false, ..hello() };
    let server = stand.server(COORDINATOR);
    let (at_server, ()) =
        tokio::join!(server.accept_mutual(far), forge::connect(&stand, &Wrong::Nothing, hello, near));
    let error = at_server.unwrap_err();
    assert!(matches!(error, AtlsError::NoCertificate), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_ask_for_our_evidence() {
    let stand = Stand::new(Platform::Simulated);
    let (near, far) = tcp().await;
    let (server, client) = (stand.server(COORDINATOR), stand.client(WORKLOAD));
    let (_, at_client) = tokio::join!(server.accept(far), client.connect(near));
    let error = at_client.unwrap_err();
    assert!(matches!(error, AtlsError::NotAsked), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_agree_to_http2() {
    let stand = Stand::new(Platform::Simulated);
    let certified = Arc::new(forge::certified(&stand, &Wrong::Nothing, &[0; 32]));
    for protocols in [vec![], vec![nonce()]] {
        let mut config = ServerConfig::builder_with_provider(forge::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&certified))));
        let echoes = !protocols.is_empty();
        config.alpn_protocols = protocols;
        let (near, far) = tcp().await;
        let (acceptor, client) = (TlsAcceptor::from(Arc::new(config)), Client::anonymous(stand.clock()));
        let (_, at_client) = tokio::join!(acceptor.accept(far), client.connect(near));
        let error = at_client.unwrap_err();
        // a server that has none of the protocols ends the handshake itself
        let expected = if echoes {
            matches!(error, AtlsError::Tls { .. })
        } else {
            matches!(error, AtlsError::NotHttp2)
        };
        assert!(expected, "{error:?}");
    }
}

//! What works.

use std::{sync::Arc, time::Duration};

use privatemode_attest::{EvidenceKind, ReportData};
use privatemode_manifest::PolicyHash;
use privatemode_mesh::{
    QuoteError, Quoter,
    atls::{AtlsError, Client, Demand, Server},
};
use rustls::HandshakeKind;

use crate::stand::{BOTH, COORDINATOR, Platform, Stand, WORKLOAD, mutual, talk, tcp};

#[tokio::test]
async fn both_ends_know_each_other() {
    for platform in BOTH {
        let stand = Stand::new(platform);
        let identity = stand.identity(WORKLOAD);
        let client = Client::attested(identity.clone(), stand.clock());
        let (at_server, at_client) = mutual(&stand.server(COORDINATOR), &client).await;
        let mut at_server = stand.verify(at_server, Demand::AnyWorkload).await.unwrap();
        let mut at_client = stand.verify(at_client, Demand::Coordinator).await.unwrap();
        let peer = at_server.peer();
        assert_eq!(peer.workload().policy_hash, PolicyHash::of(WORKLOAD));
        assert_eq!(peer.workload().entry.sans, ["workload"]);
        assert_eq!(peer.key().spki_der(), identity.key.spki(), "the key that is certified");
        assert_eq!(peer.manifest(), stand.manifest.digest());
        assert_eq!(at_client.peer().workload().policy_hash, PolicyHash::of(COORDINATOR));
        talk(&mut at_server, &mut at_client).await;
    }
}

#[tokio::test]
async fn a_client_may_stay_anonymous() {
    for platform in BOTH {
        let stand = Stand::new(platform);
        let (server, client) = (stand.server(COORDINATOR), stand.anonymous());
        let (near, far) = tcp().await;
        let (at_server, at_client) = tokio::join!(server.accept(far), client.connect(near));
        let mut at_client = stand.verify(at_client, Demand::Coordinator).await.unwrap();
        talk(&mut at_server.unwrap(), &mut at_client).await;
    }
}

/// As `privatemode_service` runs its processes, and as a library may find itself: on one thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_at_once() {
    let stand = Arc::new(Stand::new(Platform::Simulated));
    let server = Arc::new(stand.server(COORDINATOR));
    let all: Vec<_> = (0..24)
        .map(|_| {
            let (stand, server) = (Arc::clone(&stand), Arc::clone(&server));
            tokio::spawn(async move {
                let (at_server, at_client) = mutual(&server, &stand.client(WORKLOAD)).await;
                let mut at_server = stand.verify(at_server, Demand::AnyWorkload).await.unwrap();
                let mut at_client = stand.verify(at_client, Demand::Coordinator).await.unwrap();
                talk(&mut at_server, &mut at_client).await;
            })
        })
        .collect();
    for each in all {
        each.await.unwrap();
    }
}

#[tokio::test]
async fn each_connection_is_a_full_handshake_with_a_key_of_its_own() {
    let stand = Stand::new(Platform::Simulated);
    let (server, client) = (stand.server(COORDINATOR), stand.anonymous());
    let mut keys = Vec::new();
    for _ in 0..3 {
        let (near, far) = tcp().await;
        let (at_server, at_client) = tokio::join!(server.accept(far), client.connect(near));
        let at_server = at_server.unwrap();
        assert_eq!(at_server.get_ref().1.handshake_kind(), Some(HandshakeKind::Full));
        let attested = stand.verify(at_client, Demand::Coordinator).await.unwrap();
        keys.push(attested.peer().key().clone());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

/// A platform that fails, or has more to say than fits.
struct Odd(Result<usize, ()>);

impl Quoter for Odd {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Simulated
    }

    fn quote(&self, _: &ReportData) -> Result<Vec<u8>, QuoteError> {
        let platform = self.kind();
        self.0.map(|length| vec![0; length]).map_err(|()| QuoteError::OtherReportData { platform })
    }
}

#[tokio::test]
async fn an_end_without_evidence_says_why_at_its_own_end() {
    let stand = Stand::new(Platform::Simulated);
    for (odd, text) in [
        (Err(()), "no evidence for this connection"),
        (
            Ok(60 * 1024),
            "the SIMULATED evidence has 61440 bytes, and a certificate of attested TLS has room for 60416; let the host bring fewer certificates with it",
        ),
    ] {
        let server = Server::new(Arc::new(Odd(odd)), stand.clock());
        let (near, far) = tcp().await;
        let client = stand.anonymous();
        let (at_server, at_client) = tokio::join!(server.accept(far), client.connect(near));
        assert_eq!(at_server.unwrap_err().to_string(), text);
        assert!(matches!(at_client.unwrap_err(), AtlsError::Tls { .. }));

        let key = stand.identity(WORKLOAD).key;
        let identity = privatemode_mesh::atls::Identity { quoter: Arc::new(Odd(odd)), key };
        let client = Client::attested(identity, stand.clock());
        let (at_server, at_client) = mutual(&stand.server(COORDINATOR), &client).await;
        assert_eq!(at_client.unwrap_err().to_string(), text);
        assert!(matches!(at_server.unwrap_err(), AtlsError::NoCertificate));
    }
}

#[tokio::test]
async fn a_silent_end_is_not_waited_for() {
    let stand = Stand::new(Platform::Simulated);
    let limit = Duration::from_millis(20);
    let (_silent, far) = tcp().await;
    let server = stand.server(COORDINATOR).within(limit);
    let error = server.accept_mutual(far).await.unwrap_err();
    assert!(matches!(error, AtlsError::Timeout { limit: said } if said == limit), "{error:?}");
    for client in [stand.client(WORKLOAD), stand.anonymous()] {
        let (near, _silent) = tcp().await;
        let error = client.within(limit).connect(near).await.unwrap_err();
        assert!(matches!(error, AtlsError::Timeout { limit: said } if said == limit), "{error:?}");
        assert!(error.is_temporary());
    }
}

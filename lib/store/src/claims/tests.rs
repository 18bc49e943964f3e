use std::sync::atomic::{AtomicU64, Ordering};

use privatemode_wire::{SecretId, stream::RequestId};

use super::*;

fn key(byte: u8) -> ReplayKey {
    ReplayKey::new(&SecretId::parse("id").unwrap(), &RequestId::from_bytes([byte; 16]))
}

#[test]
fn a_request_is_claimed_once_by_many_at_a_time() {
    let time = Arc::new(AtomicU64::new(1_000_000));
    let now: Now = {
        let time = Arc::clone(&time);
        Arc::new(move || UnixMillis(time.load(Ordering::SeqCst)))
    };
    let memory = Arc::new(ClaimMemory::begin(ReplayLimits::default(), now, [1; 16]));
    let sent = UnixMillis(1_120_000);
    assert!(matches!(memory.claim(&key(0), UnixMillis(1_000_000)), Err(Refusal::BeforeStart { .. })));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let memory = Arc::clone(&memory);
            std::thread::spawn(move || (0..50).filter(|n| memory.claim(&key(*n), sent).is_ok()).count())
        })
        .collect();
    let claimed: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((claimed, memory.len()), (50, 50));
    time.store(2_000_000, Ordering::SeqCst);
    assert_eq!(memory.claim(&key(0), sent), Err(Refusal::TooOld { server_time: memory.now() }));
    assert!(memory.is_empty());
}

#[test]
fn messages() {
    for attempt in [None, Some([9; 16])] {
        let claim = ClaimMessage { key: key(7), sent: UnixMillis(5), attempt };
        assert!(claim.to_json().len() <= ClaimMessage::MAX);
        assert_eq!(ClaimMessage::parse(claim.to_json().as_bytes()), Ok(claim));
    }
    let (server_time, not_before) = (UnixMillis(u64::MAX), UnixMillis(u64::MAX));
    for refusal in [
        Refusal::Replayed,
        Refusal::Share,
        Refusal::Full,
        Refusal::TooOld { server_time },
        Refusal::FromFuture { server_time },
        Refusal::BeforeStart { server_time, not_before },
    ] {
        let json = RefusalMessage(refusal).to_json(UnixMillis(3));
        assert!(json.len() <= RefusalMessage::MAX);
        assert_eq!(RefusalMessage::parse(json.as_bytes()), Ok(RefusalMessage(refusal)));
    }
    for (wrong, error) in [
        (r#"{"key":"AA==","owner":"AAAAAAAAAAA=","sent":1}"#, ClaimMessageError::Key),
        (r#"{"key":"%","owner":"AAAAAAAAAAA=","sent":1}"#, ClaimMessageError::Key),
        (
            r#"{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","owner":"AA==","sent":1}"#,
            ClaimMessageError::Owner,
        ),
        (
            r#"{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","owner":"AAAAAAAAAAA=","sent":1,"attempt":"AA=="}"#,
            ClaimMessageError::Attempt,
        ),
        (r#"{"key":"AA==","sent":1}"#, ClaimMessageError::Json),
        (r#"{"key":"AA==","owner":"","sent":-1}"#, ClaimMessageError::Json),
        (r#"{"key":"AA==","owner":"","sent":1,"x":1}"#, ClaimMessageError::Json),
        ("", ClaimMessageError::Json),
    ] {
        assert_eq!(ClaimMessage::parse(wrong.as_bytes()), Err(error), "{wrong}");
    }
    for (wrong, error) in [
        (r#"{"reason":"before_start","time":1}"#, ClaimMessageError::Refusal),
        (r#"{"reason":"replayed","time":1,"not_before":1}"#, ClaimMessageError::Refusal),
        (r#"{"reason":"other","time":1}"#, ClaimMessageError::Json),
    ] {
        assert_eq!(RefusalMessage::parse(wrong.as_bytes()), Err(error), "{wrong}");
    }
}

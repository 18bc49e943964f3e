use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::secret::SecretId;
use crate::stream::RequestId;

const START: u64 = 1_760_000_000_000;
const WINDOW: u64 = 120_000;

fn key(n: u64) -> ReplayKey {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    ReplayKey::new(&SecretId::parse("secret").unwrap(), &RequestId::from_bytes(bytes))
}

/// Milliseconds after the start.
fn at(millis: u64) -> UnixMillis {
    UnixMillis(START + millis)
}

/// A memory of a worker that has been up for longer than the window.
fn settled(capacity: usize) -> ReplayMemory {
    let limits = ReplayLimits { capacity, share: capacity, ..ReplayLimits::default() };
    ReplayMemory::begin(limits, UnixMillis(START - WINDOW), [1; 16])
}

#[test]
fn once() {
    let mut memory = settled(10);
    assert_eq!(memory.claim(&key(1), at(0), at(0)), Ok(()));
    assert_eq!(memory.claim(&key(1), at(0), at(0)), Err(Refusal::Replayed));
    assert_eq!(memory.claim(&key(1), at(0), at(WINDOW)), Err(Refusal::Replayed));
    assert_eq!(memory.claim(&key(2), at(0), at(0)), Ok(()));
    // Another secret's request of that ID, and the same request dated anew.
    let other = ReplayKey::new(&SecretId::parse("other").unwrap(), &RequestId::from_bytes([0; 16]));
    assert_eq!(memory.claim(&other, at(0), at(0)), Ok(()));
    assert_eq!(memory.claim(&key(1), at(60_000), at(0)), Err(Refusal::Replayed));
    assert_eq!((memory.len(), memory.is_empty()), (3, false));
}

#[test]
fn the_window_has_exact_edges() {
    let now = at(WINDOW * 10);
    let claim = |n, sent: UnixMillis| settled(10).claim(&key(n), sent, now);
    assert_eq!(claim(1, now.minus(WINDOW)), Ok(()));
    assert_eq!(claim(2, now.minus(WINDOW + 1)), Err(Refusal::TooOld { server_time: now }));
    assert_eq!(claim(3, now.plus(WINDOW)), Ok(()));
    assert_eq!(claim(4, now.plus(WINDOW + 1)), Err(Refusal::FromFuture { server_time: now }));
    assert_eq!(claim(5, UnixMillis(0)), Err(Refusal::TooOld { server_time: now }));
    assert_eq!(claim(6, UnixMillis(u64::MAX)), Err(Refusal::FromFuture { server_time: now }));
}

#[test]
fn nothing_is_evicted_when_full() {
    let mut memory = settled(2);
    memory.claim(&key(1), at(0), at(0)).unwrap();
    memory.claim(&key(2), at(0), at(0)).unwrap();
    assert_eq!(memory.claim(&key(3), at(0), at(0)), Err(Refusal::Full));
    // A replay is still told from a lack of room.
    assert_eq!(memory.claim(&key(1), at(0), at(0)), Err(Refusal::Replayed));
    // Until the slice has left the window.
    assert_eq!(memory.claim(&key(3), at(130_000), at(129_999)), Err(Refusal::Full));
    assert_eq!(memory.claim(&key(3), at(130_000), at(130_000)), Ok(()));
    assert_eq!(memory.len(), 1);
}

#[test]
fn a_secret_has_a_share() {
    let limits = ReplayLimits { share: 2, ..ReplayLimits::with_capacity(4) };
    let mut memory = ReplayMemory::begin(limits, UnixMillis(START - WINDOW), [1; 16]);
    let of = |secret: &str, n: u8| {
        ReplayKey::new(&SecretId::parse(secret).unwrap(), &RequestId::from_bytes([n; 16]))
    };
    // Over slices: the share is one of the whole window.
    memory.claim(&of("one", 1), at(0), at(0)).unwrap();
    memory.claim(&of("one", 2), at(60_000), at(0)).unwrap();
    assert_eq!(memory.claim(&of("one", 3), at(0), at(0)), Err(Refusal::Share));
    assert_eq!(memory.claim(&of("one", 1), at(0), at(0)), Err(Refusal::Replayed), "told from a lack of room");
    memory.claim(&of("two", 3), at(0), at(0)).unwrap();
    memory.claim(&of("two", 4), at(0), at(0)).unwrap();
    assert_eq!(memory.claim(&of("three", 5), at(0), at(0)), Err(Refusal::Full));
    // What has left the window counts no more.
    assert_eq!(memory.claim(&of("one", 3), at(130_000), at(130_000)), Ok(()));
    assert_eq!(memory.claim(&of("one", 4), at(130_000), at(130_000)), Err(Refusal::Share));
}

#[test]
fn a_restart_forgets_and_therefore_refuses() {
    let mut before = settled(10);
    let now = at(1000);
    // The client's clock is ahead; the worker dies a millisecond later and comes back at once.
    assert_eq!(before.claim(&key(1), now.plus(WINDOW), now), Ok(()));
    let begun = now.plus(1);
    let mut after = ReplayMemory::begin(ReplayLimits::default(), begun, [2; 16]);
    let not_before = begun.plus(WINDOW);
    assert_eq!(after.not_before(), not_before);
    for later in [0, 1, 1000, WINDOW] {
        let server_time = begun.plus(later);
        assert_eq!(
            after.claim(&key(1), now.plus(WINDOW), server_time),
            Err(Refusal::BeforeStart { server_time, not_before })
        );
    }
    // The retry, dated as it was told, is served at once.
    assert_eq!(after.claim(&key(2), not_before, begun), Ok(()));
    assert_eq!(after.claim(&key(2), not_before, begun), Err(Refusal::Replayed));
}

#[test]
fn clock_steps() {
    let mut memory = settled(10);
    memory.claim(&key(1), at(5000), at(5000)).unwrap();
    // Forward beyond the window, and back: the request is forgotten, and not taken again.
    let late = at(10 * WINDOW);
    assert_eq!(memory.claim(&key(1), at(5000), late), Err(Refusal::TooOld { server_time: late }));
    assert!(memory.is_empty());
    let refusal = Refusal::BeforeStart { server_time: at(6000), not_before: at(10_000) };
    assert_eq!(memory.claim(&key(1), at(5000), at(6000)), Err(refusal));
    // Only as far as something was forgotten.
    assert_eq!(memory.claim(&key(2), at(10_000), at(6000)), Ok(()));
    // Back: what was taken is remembered still.
    let mut memory = settled(10);
    memory.claim(&key(1), at(WINDOW), at(WINDOW)).unwrap();
    assert_eq!(memory.claim(&key(1), at(WINDOW), at(0)), Err(Refusal::Replayed));
    assert_eq!(memory.len(), 1);
}

#[test]
fn an_entry_costs_little() {
    let mut memory = settled(usize::MAX);
    for n in 0..200_000 {
        memory.claim(&key(n), at(n % 1000), at(0)).unwrap();
        if n > 1000 {
            let bytes = memory.capacity_in_bytes() as f64 / memory.len() as f64;
            assert!(bytes <= 32.0, "{bytes} bytes at {n}");
        }
    }
}

#[test]
fn ten_thousand_replays_over_three_workers_with_restarts() {
    let limits = ReplayLimits::default();
    let mut workers: Vec<ReplayMemory> =
        (0..3).map(|n| ReplayMemory::begin(limits, UnixMillis(START - WINDOW), [n; 16])).collect();
    let owner = |n: u64| usize::try_from(n % 3).unwrap();
    let accepted: Vec<u64> =
        (0..3000).filter(|n| workers[owner(*n)].claim(&key(*n), at(n % 7000), at(0)).is_ok()).collect();
    assert_eq!(accepted.len(), 3000);
    let mut taken = 0;
    for round in 0..10_000u64 {
        if round % 1000 == 500 {
            workers[owner(round / 1000)] = ReplayMemory::begin(limits, at(round), [9; 16]);
        }
        let n = accepted[usize::try_from(round * 7 % 3000).unwrap()];
        taken += u32::from(workers[owner(n)].claim(&key(n), at(n % 7000), at(round)).is_ok());
    }
    assert_eq!(taken, 0);
}

/// What happens to a worker.
#[derive(Clone, Debug)]
enum Action {
    Claim { request: u64, sent: i64 },
    Advance(u64),
    Step(i64),
    Restart,
}

fn action(steps: bool) -> impl Strategy<Value = Action> {
    let claim = (0..12u64, -150_000..150_000i64).prop_map(|(request, sent)| Action::Claim { request, sent });
    let advance = (0..60_000u64).prop_map(Action::Advance);
    let step = (-400_000..400_000i64).prop_map(Action::Step);
    if steps {
        prop_oneof![6 => claim, 2 => advance, 1 => step].boxed()
    } else {
        prop_oneof![6 => claim, 2 => advance, 1 => Just(Action::Restart)].boxed()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Without steps of the clock, the memory does exactly what one does that keeps everything for ever.
    #[test]
    fn equals_a_memory_that_forgets_nothing(actions in proptest::collection::vec(action(false), 1..120)) {
        let (mut now, mut floor) = (at(0), at(WINDOW));
        let mut memory = ReplayMemory::begin(ReplayLimits::default(), now, [1; 16]);
        let (mut dated, mut ran) = (BTreeMap::new(), std::collections::BTreeSet::new());
        for action in actions {
            match action {
                Action::Advance(millis) => now = now.plus(millis),
                Action::Step(_) => {}
                Action::Restart => {
                    now = now.plus(1);
                    floor = now.plus(WINDOW);
                    memory = ReplayMemory::begin(ReplayLimits::default(), now, [2; 16]);
                }
                Action::Claim { request, sent } => {
                    // A request has one date, as it is sealed.
                    let sent = *dated.entry(request).or_insert(UnixMillis(now.0.saturating_add_signed(sent)));
                    let expected = if sent < now.minus(WINDOW) {
                        Err(Refusal::TooOld { server_time: now })
                    } else if sent > now.plus(WINDOW) {
                        Err(Refusal::FromFuture { server_time: now })
                    } else if sent < floor {
                        Err(Refusal::BeforeStart { server_time: now, not_before: floor })
                    } else if ran.contains(&request) {
                        Err(Refusal::Replayed)
                    } else {
                        Ok(())
                    };
                    let claimed = memory.claim(&key(request), sent, now);
                    prop_assert_eq!(claimed, expected);
                    if claimed.is_ok() {
                        ran.insert(request);
                    }
                }
            }
        }
    }

    /// Whatever the clock does, nothing is taken twice and memory stays bounded.
    #[test]
    fn nothing_runs_twice(actions in proptest::collection::vec(action(true), 1..150)) {
        let mut now = at(0);
        let limits = ReplayLimits { capacity: 8, share: 8, ..ReplayLimits::default() };
        let mut memory = ReplayMemory::begin(limits, UnixMillis(START - WINDOW), [1; 16]);
        let (mut dated, mut ran) = (BTreeMap::new(), std::collections::BTreeSet::new());
        for action in actions {
            match action {
                Action::Advance(millis) => now = now.plus(millis),
                Action::Step(millis) => now = UnixMillis(now.0.saturating_add_signed(millis)),
                Action::Restart => {}
                Action::Claim { request, sent } => {
                    let sent = *dated.entry(request).or_insert(UnixMillis(now.0.saturating_add_signed(sent)));
                    if memory.claim(&key(request), sent, now).is_ok() {
                        prop_assert!(ran.insert(request), "request {} ran twice", request);
                    }
                }
            }
            prop_assert!(memory.len() <= 8);
        }
    }
}

//! A sealed request runs once, whatever happens to the processes that remember it: three workers of one model, a secret
//! service with the claims, a gateway before them, and replays that are in flight while one after the other of them is
//! killed or drained and started again. protocol.md section 9, decision 0013.

#[path = "replays/client.rs"]
mod client;
#[path = "replays/fleet.rs"]
mod fleet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use privatemode_test_kit::{Reply, StubUpstream};
use privatemode_wire::stream::UnixMillis;
use tokio::task::JoinSet;

use crate::harness::{Up, skipped};
use client::{Answer, Client, Original, Seeded};
use fleet::{End, Fleet};

const WORKERS: usize = 3;
/// Requests at the same time.
const AT_ONCE: usize = 16;

/// What happens in the middle of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Nothing,
    Worker(End),
    SecretService(End),
    /// Whoever has its secret in memory keeps it: with the worker, that goes as well.
    Both(End),
}

const EVENTS: [Event; 7] = [
    Event::Worker(End::Killed),
    Event::SecretService(End::Killed),
    Event::Worker(End::Drained),
    Event::SecretService(End::Drained),
    Event::Both(End::Killed),
    Event::Both(End::Drained),
    Event::Nothing,
];

/// One round: some fresh requests, then replays of any that ran, with an event among them.
struct Round {
    event: Event,
    originals: usize,
    replays: usize,
}

#[derive(Default)]
struct Tally {
    originals: usize,
    fresh: BTreeMap<String, usize>,
    replays: BTreeMap<String, usize>,
    events: BTreeMap<Event, usize>,
    accepted_again: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replay_runs_whatever_restarts() {
    let rounds = EVENTS.map(|event| Round { event, originals: 8, replays: 60 });
    let Some(tally) = play(&rounds, 1).await else { return };
    tally.check();
}

/// The same for longer: `cargo test --release --test stack -- --ignored ten_thousand_replays --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; its short form runs always"]
async fn ten_thousand_replays() {
    let seed = std::env::var("REPLAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut rng = Seeded(seed);
    let mut rounds: Vec<Round> = Vec::new();
    while rounds.iter().map(|round| round.replays).sum::<usize>() < 10_000 {
        let event = EVENTS[rng.below(EVENTS.len())];
        rounds.push(Round { event, originals: 10, replays: 200 });
    }
    let Some(tally) = play(&rounds, seed).await else { return };
    tally.print(seed);
    tally.check();
}

async fn play(rounds: &[Round], seed: u64) -> Option<Tally> {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url(), "--log-level", "error"]);
    if up.arguments_of("gateway").is_empty() {
        skipped("replays", "this system does not show the arguments of processes");
        return None;
    }
    let mut fleet = Fleet::start(&up, WORKERS).await;
    let client = Arc::new(Client::new(&up, &fleet.url));
    let (mut rng, mut tally, mut ran) = (Seeded(seed), Tally::default(), Vec::new());
    for round in rounds {
        for _ in 0..round.originals {
            ran.push(fresh(&client, &mut rng, &mut tally).await);
        }
        tally.originals += round.originals;
        *tally.events.entry(round.event).or_default() += 1;
        replay(&client, &mut fleet, &ran, round, &mut rng, &mut tally).await;
    }
    Some(tally)
}

/// A request that ran: sent, dated and exchanged anew until one does, as a proxy's caller would.
async fn fresh(client: &Arc<Client>, rng: &mut Seeded, tally: &mut Tally) -> Arc<Original> {
    let mut sent = now();
    // Generous: a restarted worker is asked again by the gateway after some time.
    for _ in 0..400 {
        let seed = rng.below(usize::MAX) as u64;
        let original = client.original(sent, seed).await;
        let answer = client.send(&original).await;
        *tally.fresh.entry(answer.kind()).or_default() += 1;
        match answer {
            Answer::Accepted => return Arc::new(original),
            Answer::Refused { send_as: Some(date), .. } => sent = date,
            Answer::Plain { code, .. } if code == "no_secret" => client.replace(original.credential()).await,
            Answer::Refused { .. } | Answer::Plain { .. } | Answer::Broken => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    panic!("no request runs any more: {:?}", tally.fresh);
}

/// Plays back requests that ran, several at once, while the round's event happens.
async fn replay(
    client: &Arc<Client>,
    fleet: &mut Fleet,
    ran: &[Arc<Original>],
    round: &Round,
    rng: &mut Seeded,
    tally: &mut Tally,
) {
    let (at, which) = (rng.below(round.replays), rng.below(WORKERS));
    let mut flying = JoinSet::new();
    // Begins when it is first waited for, and goes on while replays are sent: before, during and after.
    let (mut event, mut over) = (happen(fleet, round.event, which), false);
    for number in 0..round.replays {
        // Newer ones more often: those are within the window, where only the memory stands between them and the engine.
        let newest = if rng.below(4) > 0 { ran.len().min(30) } else { ran.len() };
        let original = Arc::clone(&ran[ran.len() - 1 - rng.below(newest)]);
        let client = Arc::clone(client);
        flying.spawn(async move { client.send(&original).await });
        while flying.len() >= AT_ONCE {
            tokio::select! {
                Some(answer) = flying.join_next() => tally.replayed(&answer.unwrap()),
                () = &mut event, if number >= at && !over => over = true,
            }
        }
    }
    if !over {
        event.await;
    }
    while let Some(answer) = flying.join_next().await {
        tally.replayed(&answer.unwrap());
    }
}

fn happen(fleet: &mut Fleet, event: Event, which: usize) -> std::pin::Pin<Box<dyn Future<Output = ()> + '_>> {
    Box::pin(async move {
        match event {
            Event::Nothing => {}
            Event::Worker(end) => fleet.restart_worker(which, end).await,
            Event::SecretService(end) => fleet.restart_secret_service(end).await,
            Event::Both(end) => {
                fleet.restart_secret_service(end).await;
                fleet.restart_worker(which, end).await;
            }
        }
    })
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(since.as_millis()).unwrap())
}

impl Answer {
    fn kind(&self) -> String {
        match self {
            Self::Accepted => "accepted".to_owned(),
            Self::Refused { status, code, .. } => format!("{status} {code}, under seal"),
            Self::Plain { status, code } => format!("{status} {code}"),
            Self::Broken => "no answer".to_owned(),
        }
    }
}

impl Tally {
    fn replayed(&mut self, answer: &Answer) {
        let kind = answer.kind();
        if matches!(answer, Answer::Accepted) {
            self.accepted_again.push(kind.clone());
        }
        *self.replays.entry(kind).or_default() += 1;
    }

    fn check(&self) {
        assert_eq!(self.accepted_again.len(), 0, "replays ran: {:?}", self.replays);
        // The refusals are the memory's, and not those of a stack that refuses everything.
        let count = |kind: &str| self.replays.get(kind).copied().unwrap_or(0);
        assert!(count("409 Replayed, under seal") > 0, "{:?}", self.replays);
        assert!(count("409 BeforeStart, under seal") > 0, "{:?}", self.replays);
        let accepted = self.fresh.get("accepted").copied().unwrap_or(0);
        assert_eq!(accepted, self.originals, "each fresh request ran in the end: {:?}", self.fresh);
    }

    fn print(&self, seed: u64) {
        let mut text =
            format!("\nseed {seed}; restarts: {:?}\n\n| answer | fresh | replays |\n", self.events);
        text.push_str("| --- | ---: | ---: |\n");
        let mut kinds: Vec<&String> = self.fresh.keys().chain(self.replays.keys()).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let count = |of: &BTreeMap<String, usize>| of.get(kind).copied().unwrap_or(0);
            text.push_str(&format!("| {kind} | {} | {} |\n", count(&self.fresh), count(&self.replays)));
        }
        // Past the capture of a passing test: the figures are what it is for.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), text.as_bytes());
    }
}

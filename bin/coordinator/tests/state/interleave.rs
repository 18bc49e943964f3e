//! Three coordinators over one store, in random order: sets, updates, recoveries, looks at the store, crashes. Every store
//! access is a step of its own, so that anything may happen between any two.
//!
//! What must hold after each step: the history in the store only grows, and is signed by one seed; what was acknowledged is
//! in it; what a coordinator enforces is in it. And in the end all of them can be brought to the same state.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use privatemode_coordinator::Coordinator;
use privatemode_coordinator::reader;
use privatemode_coordinator::shares::SeedShares;
use privatemode_coordinator::state::State;
use privatemode_store::StoreFuture;
use privatemode_store::state::{MemoryState, StateError, StateKey, StateStore, SwapError};
use proptest::prelude::*;

use crate::stand::*;

/// A store each of whose accesses takes a step before it happens and one after.
struct Stepped(Arc<MemoryState>);

impl Stepped {
    async fn step<T>(inner: impl Future<Output = T>) -> T {
        tokio::task::yield_now().await;
        let done = inner.await;
        tokio::task::yield_now().await;
        done
    }
}

impl StateStore for Stepped {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(Self::step(async { self.0.get(key).await }))
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(Self::step(async { self.0.put(key, value).await }))
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        Box::pin(Self::step(async move { self.0.swap(expected, new).await }))
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        self.0.changed(seen)
    }
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Set,
    Update,
    Observe,
    Heal,
    Recover,
    Crash,
    Step(u8),
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let act = prop_oneof![
        2 => Just(Act::Set),
        3 => Just(Act::Update),
        2 => Just(Act::Observe),
        3 => Just(Act::Heal),
        1 => Just(Act::Recover),
        1 => Just(Act::Crash),
        12 => (1..12_u8).prop_map(Act::Step),
    ];
    (0..3_usize, act)
}

type Doing = Pin<Box<dyn Future<Output = Option<[u8; 32]>>>>;

/// One process: its coordinator, and what it is doing.
struct Process {
    coordinator: Arc<Coordinator>,
    doing: Option<Doing>,
}

struct World {
    store: Arc<MemoryState>,
    neighbours: Arc<Neighbours>,
    processes: Vec<Process>,
    acknowledged: Vec<[u8; 32]>,
    history: Vec<[u8; 32]>,
    shares: Arc<Mutex<Option<SeedShares>>>,
    version: u32,
}

fn finish<T>(future: impl Future<Output = T>) -> T {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it hangs");
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            store: Arc::new(MemoryState::new()),
            neighbours: Arc::default(),
            processes: Vec::new(),
            acknowledged: Vec::new(),
            history: Vec::new(),
            shares: Arc::default(),
            version: 0,
        };
        for _ in 0..3 {
            let process = world.start();
            world.processes.push(process);
        }
        world
    }

    fn start(&self) -> Process {
        let store = Arc::new(Stepped(self.store.clone()));
        Process { coordinator: finish(self.neighbours.start(store)), doing: None }
    }

    fn act(&mut self, who: usize, act: Act) {
        self.version += 1;
        let version = self.version;
        let coordinator = self.processes[who].coordinator.clone();
        match act {
            Act::Crash => self.processes[who] = self.start(),
            Act::Step(times) => {
                for _ in 0..times {
                    self.step(who);
                }
            }
            _ if self.processes[who].doing.is_some() => self.step(who),
            Act::Set => {
                let shares = self.shares.clone();
                self.processes[who].doing = Some(Box::pin(async move {
                    let set = coordinator.set(first(manifest(version))).await.ok()?;
                    *shares.lock().unwrap() = set.shares;
                    Some(set.in_force.latest().hash)
                }));
            }
            Act::Update => {
                // on whatever is the latest here: it may be outdated by the time that it is committed
                let Ok(in_force) = coordinator.in_force() else { return };
                let request = update(&in_force.latest().hash, manifest(version));
                self.processes[who].doing = Some(Box::pin(async move {
                    Some(coordinator.set(request).await.ok()?.in_force.latest().hash)
                }));
            }
            Act::Observe => {
                self.processes[who].doing = Some(Box::pin(async move {
                    coordinator.observe().await.unwrap();
                    None
                }));
            }
            Act::Heal => {
                self.processes[who].doing = Some(Box::pin(async move {
                    coordinator.recover_from_peers().await;
                    None
                }));
            }
            Act::Recover => {
                let Some(shares) = self.shares.lock().unwrap().clone() else { return };
                let latest = *self.history.last().unwrap();
                self.processes[who].doing = Some(Box::pin(async move {
                    let _ = coordinator.recover(&share_owner(0).request(&shares, latest)).await;
                    None
                }));
            }
        }
        self.check();
    }

    fn step(&mut self, who: usize) {
        let Some(doing) = &mut self.processes[who].doing else { return };
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(acknowledged) = doing.as_mut().poll(&mut context) {
            self.processes[who].doing = None;
            self.acknowledged.extend(acknowledged);
        }
        self.check();
    }

    fn check(&mut self) {
        let stored = finish(reader::read(&*self.store)).unwrap();
        let steps: Vec<_> =
            stored.iter().flat_map(|stored| stored.steps.iter().map(|step| step.transition)).collect();
        assert!(steps.starts_with(&self.history), "the history does not only grow");
        self.history = steps;
        for transition in &self.acknowledged {
            assert!(self.history.contains(transition), "acknowledged and lost");
        }
        for process in &self.processes {
            if let (State::InForce(in_force), Some(stored)) = (&*process.coordinator.state(), &stored) {
                assert!(self.history.contains(&in_force.latest().hash), "in force, and not in the history");
                stored.verify(in_force.seed()).unwrap();
            }
        }
    }

    /// Lets everybody finish, and then brings all to one state.
    fn settle(mut self) {
        for who in 0..self.processes.len() {
            for _ in 0..10_000 {
                self.step(who);
            }
            assert!(self.processes[who].doing.is_none(), "it hangs");
        }
        let all: Vec<_> = self.processes.iter().map(|process| process.coordinator.clone()).collect();
        all.iter().for_each(|one| {
            finish(one.observe()).unwrap();
        });
        let Some(latest) = self.history.last().copied() else { return };
        if all.iter().all(|one| one.in_force().is_err()) {
            // the shares are in the store, should the answer have been lost in a crash
            let shares = match self.shares.lock().unwrap().clone() {
                Some(shares) => Some(shares),
                None => {
                    finish(all[0].seed_shares()).unwrap().map(|text| serde_json::from_slice(&text).unwrap())
                }
            };
            // only after an update that followed a lost answer nobody has them: then the owners never had them either
            let Some(shares) = shares else { return };
            finish(all[0].recover(&share_owner(0).request(&shares, latest))).unwrap();
        }
        for one in &all {
            finish(one.recover_from_peers());
            assert_eq!(one.in_force().unwrap().latest().hash, latest);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn any_order_keeps_one_history(acts in prop::collection::vec(act(), 1..80)) {
        let mut world = World::new();
        for (who, act) in acts {
            world.act(who, act);
        }
        world.settle();
    }
}

//! A worker in front of a stub engine, and a client that seals and opens as real ones do.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses its part; a failed set-up is a failed test"
)]

pub mod sealed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use privatemode_inference_proxy::{
    Claims, Engine, EngineTimeouts, GpuStatus, Limits, LocalClaims, Metrics, Sealing, SecretCache,
    StoreSource, Tasks, Worker,
};
use privatemode_service::{BoxBody, metrics::Registry};
use privatemode_store::{
    Embedded, ManualClock, SecretStore,
    claims::{ClaimMemory, Now},
};
use privatemode_test_kit::StubUpstream;
use privatemode_wire::{
    Endpoint, Secret, SecretId,
    message::{OpenError, RequestSealer, ResponseOpener},
    replay::ReplayLimits,
    stream::UnixMillis,
};

use sealed::TestSigner;

/// When the stack's replay memory begins, in milliseconds; its wall clock stands ten minutes later.
pub const BEGAN: u64 = 1_760_000_000_000;
pub const NOW: UnixMillis = UnixMillis(BEGAN + 600_000);

pub const SALT: &str = "0123456789abcdef0123456789abcdef";
pub const LIMIT: Duration = Duration::from_secs(20);

pub fn rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

pub struct Stack {
    pub stub: StubUpstream,
    pub worker: Worker,
    pub registry: Registry,
    pub store: Arc<Embedded>,
    pub clock: Arc<ManualClock>,
    pub id: SecretId,
    pub secret: Secret,
    /// The wall clock of the worker and of its replay memory.
    pub wall: Arc<AtomicU64>,
    pub signer: Arc<TestSigner>,
}

#[derive(Default)]
pub struct Options {
    pub gpus: GpuStatus,
    pub limits: Limits,
    pub tasks: Vec<&'static str>,
    pub engine: Option<String>,
    pub engine_key: Option<&'static str>,
    pub timeouts: EngineTimeouts,
    /// Instead of a memory in the worker.
    pub claims: Option<Arc<dyn Claims>>,
}

impl Stack {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let stub = StubUpstream::start().await;
        let target = options.engine.unwrap_or_else(|| stub.url()).parse().unwrap();
        let engine = Arc::new(Engine::new(target, options.engine_key, options.timeouts).unwrap());
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let clock = Arc::new(ManualClock::new());
        let store = Arc::new(Embedded::new(clock.clone(), 16));
        let id = SecretId::parse("c2VjcmV0LW51bWJlci1vbmU=").unwrap();
        let secret = Secret::random(&mut rng());
        store.put(id.as_str(), secret.expose(), Duration::from_secs(3600)).await.unwrap();
        let cache =
            SecretCache::new(Arc::new(StoreSource::new(store.clone())), clock.clone(), 16, metrics.clone());
        let tasks = Tasks::new(options.tasks.iter().map(|text| text.parse().unwrap()).collect());
        let wall = Arc::new(AtomicU64::new(BEGAN));
        let now = wall_clock(&wall);
        let claims = options.claims.unwrap_or_else(|| {
            let memory = ClaimMemory::begin(ReplayLimits::default(), Arc::clone(&now), [7; 16]);
            Arc::new(LocalClaims::new(Arc::new(memory)))
        });
        wall.store(NOW.0, Ordering::SeqCst);
        let signer = Arc::new(TestSigner::new());
        let sealing = Sealing { claims, signer: signer.clone(), now };
        let worker = Worker::new(cache, engine, options.gpus, tasks, options.limits, sealing, metrics);
        Self { stub, worker, registry, store, clock, id, secret, wall, signer }
    }

    /// Seals a body and makes the request that a client would send.
    pub fn seal(
        &self,
        endpoint: Endpoint,
        content_type: Option<&str>,
        body: &[u8],
    ) -> (Request<Full<Bytes>>, ResponseOpener) {
        let mut sealer = RequestSealer::new(&self.id, &self.secret, &mut rng());
        let sealed = sealer.seal(endpoint, content_type, body, &mut rng()).unwrap();
        let mut request = Request::post(endpoint.path())
            .header("content-type", content_type.unwrap_or("application/json"))
            .header("privatemode-secret-id", self.id.as_str());
        request = request.header("authorization", "Bearer of-the-caller");
        (request.body(Full::new(sealed.into())).unwrap(), sealer.finish())
    }

    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.worker.handle(request).await).await
    }

    /// Seals, sends, opens a unary answer.
    pub async fn ask(&self, endpoint: Endpoint, body: &str) -> (StatusCode, String) {
        let (request, opener) = self.seal(endpoint, None, body.as_bytes());
        let answer = self.send(request).await;
        let opened = answer.open(endpoint, opener).unwrap();
        (answer.status, opened)
    }
}

/// A wall clock that a test sets.
pub fn wall_clock(wall: &Arc<AtomicU64>) -> Now {
    let wall = Arc::clone(wall);
    Arc::new(move || UnixMillis(wall.load(Ordering::SeqCst)))
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Whether the body came to its end.
    pub whole: bool,
}

impl Answer {
    pub async fn of(response: Response<BoxBody>) -> Self {
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let mut whole = true;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(_) => whole = false,
            }
        }
        Self { status: parts.status, headers: parts.headers, body: bytes.into(), whole }
    }

    pub fn is_plain(&self) -> bool {
        self.headers.get("privatemode-encrypted").is_some_and(|value| value == "false")
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn open(&self, endpoint: Endpoint, mut opener: ResponseOpener) -> Result<String, OpenError> {
        assert!(!self.is_plain(), "{}", self.text());
        opener.open(endpoint, &self.body).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    pub fn open_stream(&self, endpoint: Endpoint, opener: ResponseOpener) -> Result<String, OpenError> {
        assert_eq!(self.headers["content-type"], "text/event-stream");
        let mut opener = opener.into_stream(endpoint);
        let mut out = Vec::new();
        // odd pieces: the opener must not care
        for piece in self.body.chunks(7) {
            opener.push(piece, &mut out)?;
        }
        opener.finish()?;
        Ok(String::from_utf8(out).unwrap())
    }
}

//! Asks the sources in their order, and lets one fetch serve all who want the same. Verifies nothing.
//!
//! ```text
//!  evidence ─▶ bundle ─▶ cache ─▶ network (one flight per document) ─▶ cache
//!     current: taken    current: taken   │ failed: the newest at hand, within the grace, marked so
//! ```

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};
use privatemode_attest::UnixTime;
use rustls::ClientConfig;

use crate::{
    bundle::Bundle,
    cache::{Cache, Entry},
    document::{Document, Freshness, declared_next_update},
    endpoint::Endpoints,
    error::{FetchError, SetupError},
    fetch::{Fetcher, Retry},
    found::{Found, Provenance, State},
    http::Http,
    key::Key,
    nvidia::is_request_of,
    progress::{Event, Progress},
    timing::{SystemTiming, Timing},
    tls::system_tls,
};

mod freshness;
mod resolve;

/// Reads the next update out of a document; `None` where it has none.
pub type NextUpdate = Arc<dyn Fn(&Key, &Document) -> Option<UnixTime> + Send + Sync>;

/// Which outbound proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Proxy {
    /// As `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This one.
    Url(String),
}

/// How to collect.
#[derive(Clone)]
pub struct Settings {
    /// The cache's folder; none: nothing is kept.
    pub folder: Option<PathBuf>,
    /// Most bytes in the cache; the documents fetched longest ago go first.
    pub max_cache: u64,
    /// Where the vendors are.
    pub endpoints: Endpoints,
    /// Outbound proxy.
    pub proxy: Proxy,
    /// TLS roots; none: the system's.
    pub tls: Option<ClientConfig>,
    /// Never the network.
    pub offline: bool,
    /// Gets the ASK, too, where evidence brings none. Verifiers have AMD's built in; only a test root's must be fetched.
    pub amd_signing_key: bool,
    /// To connect.
    pub connect_timeout: Duration,
    /// For one attempt, from connecting to the last byte.
    pub timeout: Duration,
    /// Attempts and pauses.
    pub retry: Retry,
    /// How long past its next update a document may stand in for one that cannot be fetched. Visible in the result.
    pub grace: Duration,
    /// How long a reference manifest counts, as it declares no next update: its signer's certificate runs out in time.
    pub manifest_age: Duration,
    /// Documents that were handed in.
    pub bundle: Option<Arc<Bundle>>,
    /// Reads next updates.
    pub next_update: NextUpdate,
    /// Is told of every step.
    pub progress: Option<Progress>,
    /// Clock, jitter and timer.
    pub timing: Arc<dyn Timing>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            folder: None,
            max_cache: 256 << 20,
            endpoints: Endpoints::default(),
            proxy: Proxy::Environment,
            tls: None,
            offline: false,
            amd_signing_key: false,
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            grace: Duration::ZERO,
            manifest_age: Duration::from_secs(7 * 24 * 3600),
            bundle: None,
            next_update: Arc::new(declared_next_update),
            progress: None,
            timing: Arc::new(SystemTiming),
        }
    }
}

type Outcome = Result<Found, FetchError>;
type Flight = BoxFuture<'static, Outcome>;

struct Inner {
    cache: Option<Arc<Cache>>,
    fetcher: Fetcher,
    offline: bool,
    amd_signing_key: bool,
    grace: Duration,
    manifest_age: Duration,
    bundle: Option<Arc<Bundle>>,
    next_update: NextUpdate,
    timing: Arc<dyn Timing>,
    flights: Mutex<HashMap<Key, WeakShared<Flight>>>,
}

/// Gets documents. Cheap to clone; clones share cache, flights and connections.
#[derive(Clone)]
pub struct Collector {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("offline", &self.inner.offline).finish_non_exhaustive()
    }
}

/// Documents that evidence brought along.
pub type Extras = BTreeMap<Key, Document>;

impl Collector {
    /// Opens the cache and sets up the HTTP client; asks nobody yet.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let client = client(&settings)?;
        let Settings {
            folder,
            max_cache,
            endpoints,
            offline,
            amd_signing_key,
            retry,
            grace,
            manifest_age,
            bundle,
            next_update,
            progress,
            timing,
            proxy: _,
            tls: _,
            connect_timeout: _,
            timeout: _,
        } = settings;
        let cache = folder
            .map(|folder| {
                Cache::open(&folder, max_cache).map_err(|source| SetupError::Folder { folder, source })
            })
            .transpose()?
            .map(Arc::new);
        let fetcher = Fetcher::new(Http::new(client, endpoints), retry, Arc::clone(&timing), progress);
        let flights = Mutex::default();
        let inner = Inner {
            cache,
            fetcher,
            offline,
            amd_signing_key,
            grace,
            manifest_age,
            bundle,
            next_update,
            timing,
            flights,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The document of `key`, from the first source that has a current one. `body` is the OCSP request of an OCSP key.
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn document(&self, key: &Key, body: &[u8], extras: &Extras) -> Result<Found, FetchError> {
        if !is_request_of(key, body) {
            return Err(FetchError::NoRequest);
        }
        let outcome = self.resolve(key, body, extras).await;
        match &outcome {
            Ok(found) => {
                let Provenance { origin, state, .. } = &found.provenance;
                tracing::debug!(%key, %origin, ?state, "collateral found");
                self.inner.fetcher.tell(&Event::Found { key: key.clone(), origin: origin.clone() });
            }
            Err(error) => {
                tracing::warn!(%key, %error, "collateral not found");
                self.inner.fetcher.tell(&Event::Failed { key: key.clone() });
            }
        }
        outcome
    }

    async fn resolve(&self, key: &Key, body: &[u8], extras: &Extras) -> Outcome {
        let given = match self.inner.given(key, extras) {
            resolve::Given::Current(found) => return Ok(found),
            resolve::Given::Past(found, since) => Some((found, since)),
            resolve::Given::Nothing => None,
        };
        match given {
            // verification may be at an earlier time, for which this one is right
            Some((found, since)) if self.inner.offline => Ok(resolve::marked(found, State::Past { since })),
            Some((found, since)) => match self.board(key, body).await {
                Err(_) if self.inner.in_grace(since) => Ok(resolve::marked(found, State::Grace { since })),
                outcome => outcome,
            },
            None => self.board(key, body).await,
        }
    }

    /// Joins the fetch under way for `key`, or starts it. It goes on as long as one of those who wait is there.
    async fn board(&self, key: &Key, body: &[u8]) -> Outcome {
        let flight: Shared<Flight> = {
            let mut flights = self.inner.flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.retain(|_, flight| flight.upgrade().is_some());
            match flights.get(key).and_then(WeakShared::upgrade) {
                Some(flight) => flight,
                None => {
                    let (inner, key, body) = (Arc::clone(&self.inner), key.clone(), body.to_vec());
                    let name = key.clone();
                    let flight = async move { inner.cached_or_fetched(&key, &body).await }.boxed().shared();
                    if let Some(weak) = flight.downgrade() {
                        flights.insert(name, weak);
                    }
                    flight
                }
            }
        };
        flight.await
    }

    /// Whether the ASK has to be fetched.
    pub(crate) fn wants_amd_signing_key(&self) -> bool {
        self.inner.amd_signing_key
    }

    /// Says how long a document counts, now that it has been verified. Another one that came into the cache meanwhile, from
    /// whoever writes there or from a vendor gone bad, is left as it is: nobody has verified that one.
    pub async fn confirm(&self, verified: &Found, freshness: Freshness) {
        let (key, document) = (verified.provenance.key.clone(), Arc::clone(&verified.document));
        self.inner
            .in_cache(move |cache| {
                let same = |entry: &Entry| entry.document == *document && entry.freshness != freshness;
                if let Some(mut entry) = cache.load(&key).filter(same) {
                    entry.freshness = freshness;
                    if let Err(error) = cache.store(&key, &entry) {
                        tracing::warn!(%key, %error, "a document cannot be kept");
                    }
                }
            })
            .await;
    }

    /// Drops a document that failed verification, so that the next call asks the vendor. Another one that came into the
    /// cache meanwhile stays: it may be the right one.
    pub async fn reject(&self, refused: &Found) {
        let (key, document) = (refused.provenance.key.clone(), Arc::clone(&refused.document));
        self.inner
            .in_cache(move |cache| {
                if cache.load(&key).is_some_and(|entry| entry.document == *document) {
                    tracing::warn!(%key, "collateral failed verification, and was dropped from the cache");
                    cache.remove(&key);
                }
            })
            .await;
    }
}

fn client(settings: &Settings) -> Result<reqwest::Client, SetupError> {
    let tls = match &settings.tls {
        Some(tls) => tls.clone(),
        None => system_tls().map_err(|source| SetupError::Tls { source })?,
    };
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none()) // a redirect could lead anywhere, over plain HTTP too
        .retry(reqwest::retry::never()) // counted here, with pauses
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_max_idle_per_host(2)
        .pool_idle_timeout(Duration::from_secs(30));
    let builder = match &settings.proxy {
        Proxy::Environment => builder,
        Proxy::Direct => builder.no_proxy(),
        Proxy::Url(url) => {
            builder.proxy(reqwest::Proxy::all(url).map_err(|source| SetupError::Proxy { source })?)
        }
    };
    builder.build().map_err(|source| SetupError::Client { source })
}

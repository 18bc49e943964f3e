//! Puts the parts together and serves until told to stop. Decides nothing.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::service::service_fn;
use privatemode_attest::SimulatedAllowed;
use privatemode_client::{
    Clock, Entropy, Session, Settings as SessionSettings, SystemClock, SystemEntropy, Vendors,
};
use privatemode_collateral::Collector;
use privatemode_manifest::VerifyOptions;
use privatemode_service::{BoxFuture, FileTls, Limits, Process, TlsSource, listen, serve, version};
use privatemode_wire::{salt::SaltPolicy, stream::Padding};

use crate::{
    app::App,
    config::{Config, PromptCache, Settings},
    dump::Dump,
    key::KeyRing,
    manifest_log::ManifestLog,
    manifests::{LoggedManifests, Source},
    receipts::Receipts,
    roots::client_config,
    sealed::SendingTime,
    status::About,
    upstream::{self, Upstream},
};

/// Tools keep their connection open between two requests of a person.
const IDLE: Duration = Duration::from_secs(75);

/// Runs the proxy until the process is told to end.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let settings = config.settings()?;
        tracing::info!(version = version(), "Privatemode proxy");
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        serve_with(settings, process).await
    })
}

async fn serve_with(settings: Settings, process: Process) -> anyhow::Result<()> {
    // Everything that can be wrong on this machine is found before a port is opened.
    let log = ManifestLog::open(&settings.workspace)?;
    let api = upstream::client(settings.extra_roots.as_deref(), settings.insecure_api)?;
    // The manifest's host is always checked; `--insecureAPIConnection` is about the API endpoint.
    let cdn = if settings.insecure_api {
        upstream::client(settings.extra_roots.as_deref(), false)?
    } else {
        api.clone()
    };
    let source = Source::open(&settings.manifest, &cdn, settings.simulated)?;
    let tls = match &settings.tls {
        Some((certificate, key)) => Some(Arc::new(FileTls::load(certificate, key)?) as Arc<dyn TlsSource>),
        None => None,
    };
    let dump = if settings.dump_requests { Some(Dump::open(&settings.workspace)?) } else { None };
    let receipts = Receipts::open(settings.receipts.as_deref(), &settings.workspace);
    let receipts = Arc::new(receipts.context("cannot make the folder for receipts (--receipts)")?);
    let mut plan = settings.collateral.clone();
    plan.settings.tls = Some(client_config(settings.extra_roots.as_deref(), false)?);
    let collector = plan.collector()?;
    let listener = listen(settings.listen)?;
    let address = listener.local_addr()?;

    let scheme = if tls.is_some() { "https" } else { "http" };
    let manifests = LoggedManifests::new(source, log);
    let app = app(settings, api, collector, manifests, dump, receipts, format!("{scheme}://{address}"));
    let maintenance = tokio::spawn(Arc::clone(&app.session).maintain());
    process.announce(&[("http", address)]);

    let limits = Limits { header_timeout: IDLE, ..Limits::default() };
    let service = service_fn(move |request| Arc::clone(&app).handle(request));
    serve(listener, tls, service, limits, process.shutdown.clone()).await;
    maintenance.abort();
    Ok(())
}

fn app(
    settings: Settings,
    api: reqwest::Client,
    collector: Collector,
    manifests: Arc<LoggedManifests>,
    dump: Option<Dump>,
    receipts: Arc<Receipts>,
    listening: String,
) -> Arc<App> {
    let about = about(&settings, manifests.origin(), listening);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let upstream = Arc::new(Upstream::new(api, settings.api, Arc::new(KeyRing::new(settings.api_key))));
    let session_settings = SessionSettings {
        verify: VerifyOptions {
            simulated: simulated_allowed(settings.simulated),
            ..settings.collateral.options()
        },
        protocol: settings.protocol,
        clock: Arc::clone(&clock),
        entropy: Arc::clone(&entropy),
        collateral: Arc::new(Vendors::new(collector)),
    };
    let salt = match settings.cache {
        PromptCache::Off => SaltPolicy::Random,
        PromptCache::Process => SaltPolicy::shared_random(&mut *entropy.rng()),
        PromptCache::Salt(salt) => SaltPolicy::Shared(salt),
    };
    Arc::new(App {
        session: Session::new(Arc::clone(&upstream), manifests, session_settings),
        upstream,
        entropy,
        clock,
        salt,
        ocsp: settings.ocsp,
        dump,
        padding: settings.padding,
        receipts,
        sending_time: SendingTime::default(),
        allow_origins: settings.allow_origins,
        attestation_wait: settings.attestation_wait,
        about,
    })
}

#[cfg(feature = "simulated")]
fn simulated_allowed(simulated: bool) -> Option<SimulatedAllowed> {
    simulated.then(SimulatedAllowed::danger_accept_simulated)
}

/// Nothing in this build can accept simulated evidence.
#[cfg(not(feature = "simulated"))]
fn simulated_allowed(_: bool) -> Option<SimulatedAllowed> {
    None
}

fn about(settings: &Settings, manifest_source: String, listening: String) -> About {
    About {
        api_endpoint: settings.api.clone(),
        manifest_source,
        key_mode: if settings.api_key.is_some() { "configured" } else { "each caller's own" },
        prompt_cache: match settings.cache {
            PromptCache::Off => "not shared: a salt for each request",
            PromptCache::Process => "shared by the users of this proxy, until it ends",
            PromptCache::Salt(_) => "shared by all who use the configured salt",
        },
        padding: settings.padding.to_string(),
        listening,
        downgrades: downgrades(settings),
    }
}

/// Security rule: lenient settings show (security.md, last rule).
fn downgrades(settings: &Settings) -> Vec<String> {
    let mut downgrades = Vec::new();
    if settings.ocsp.allow_unknown {
        downgrades.push("GPU certificates of which NVIDIA's OCSP service knows nothing are accepted (--nvidiaOCSPAllowUnknown)".to_owned());
    }
    if settings.ocsp.revoked_grace > 0 {
        downgrades.push(format!(
            "revoked GPU certificates are accepted for {} h after their revocation (--nvidiaOCSPRevokedGracePeriod)",
            settings.ocsp.revoked_grace / 3600
        ));
    }
    downgrades.extend(settings.collateral_downgrade.clone());
    if settings.insecure_api {
        downgrades
            .push("the API endpoint's TLS certificate is not checked (--insecureAPIConnection)".to_owned());
    }
    if !settings.listen.ip().is_loopback() && settings.tls.is_none() {
        downgrades.push(
            "callers on other machines reach this proxy without TLS (--host without --tlsCertPath)"
                .to_owned(),
        );
    }
    if settings.padding == Padding::Off {
        downgrades
            .push("exact lengths of requests and answers are visible on the wire (--padding off)".to_owned());
    }
    if settings.dump_requests {
        downgrades.push("requests and answers are written to disk in clear text (--dumpRequests)".to_owned());
    }
    downgrades.extend(settings.collateral.danger().map(|danger| format!("DANGER: {danger}")));
    if settings.simulated {
        downgrades.push("simulated evidence is accepted (--danger-simulated)".to_owned());
    }
    downgrades
}

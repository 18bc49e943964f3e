//! What is counted. Labels are our own words: an engine's status is one of a bounded set, a model's name never appears.

use http::StatusCode;
use privatemode_service::metrics::{Counter, Gauge, Histogram, LATENCY_SECONDS, Registry};
use privatemode_wire::{
    Endpoint,
    ocsp::{CertificateState, GpuStates},
    replay::Refusal,
};

use crate::ClaimError;

/// The inference proxy's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub(crate) open_requests: Gauge,
    pub(crate) open_streams: Gauge,
    pub(crate) cached_secrets: Gauge,
    pub(crate) secrets_watched: Gauge,
}

/// How a lookup ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lookup {
    Cached,
    Found,
    Unknown,
    Failed,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            open_requests: registry.gauge(
                "privatemode_open_requests",
                "Requests whose answer is not complete.",
                &[],
            ),
            open_streams: registry.gauge(
                "privatemode_open_streams",
                "Streamed answers that are not complete.",
                &[],
            ),
            cached_secrets: registry.gauge("privatemode_cached_secrets", "Secrets in the cache.", &[]),
            secrets_watched: registry.gauge(
                "privatemode_secrets_watched",
                "1 while new secrets come by themselves (--etcd), 0 while each is looked up.",
                &[],
            ),
        }
    }

    /// Shows the states of the worker's GPUs: 0 good, 1 revoked, -1 unknown.
    pub fn show_gpus(&self, gpus: &[GpuStates]) {
        let count = self.registry.gauge(
            "privatemode_gpus",
            "GPUs whose OCSP states are known; 0: a worker without GPUs, every OCSP policy is met.",
            &[],
        );
        count.set(i64::try_from(gpus.len()).unwrap_or(i64::MAX));
        for (index, GpuStates { gpu, vbios, driver }) in gpus.iter().enumerate() {
            for (component, state) in [("gpu", gpu), ("vbios", vbios), ("driver", driver)] {
                let labels = [("i", format!("gpu_index_{index}")), ("component", component.to_owned())];
                let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
                let gauge = self.registry.gauge(
                    "privatemode_nvidia_ocsp_status",
                    "NVIDIA OCSP status of the attested components (0=good, 1=revoked, -1=unknown).",
                    &labels,
                );
                gauge.set(match state {
                    CertificateState::Good => 0,
                    CertificateState::Revoked { .. } => 1,
                    CertificateState::Unknown => -1,
                });
            }
        }
    }

    pub(crate) fn request(&self, endpoint: &'static str, status: StatusCode) -> Counter {
        let labels = [("endpoint", endpoint), ("status", status.as_str())];
        self.registry.counter("privatemode_requests_total", "Requests by endpoint and status.", &labels)
    }

    /// From the head of the request to the last byte of the answer.
    pub(crate) fn duration(&self, endpoint: &'static str) -> Histogram {
        self.registry.histogram(
            "privatemode_request_seconds",
            "Duration of requests, whole streams included.",
            &[("endpoint", endpoint)],
            LATENCY_SECONDS,
        )
    }

    /// How often the engine gave up in the middle of a stream.
    pub(crate) fn broken_streams(&self) -> Counter {
        self.registry.counter(
            "privatemode_broken_streams_total",
            "Streams that the engine did not complete.",
            &[],
        )
    }

    /// How often a caller left in the middle of an answer and the gateway said so.
    pub(crate) fn cancelled_answers(&self) -> Counter {
        self.registry.counter(
            "privatemode_cancelled_answers_total",
            "Answers that were ended because their caller had left.",
            &[],
        )
    }

    /// How claims of sealed requests end.
    pub(crate) fn claim(&self, claimed: &Result<(), ClaimError>) {
        let result = match claimed {
            Ok(()) => "claimed",
            Err(ClaimError::Refused(Refusal::Replayed)) => "replayed",
            Err(ClaimError::Refused(Refusal::TooOld { .. })) => "too_old",
            Err(ClaimError::Refused(Refusal::FromFuture { .. })) => "from_future",
            Err(ClaimError::Refused(Refusal::BeforeStart { .. })) => "before_start",
            Err(ClaimError::Refused(Refusal::Share)) => "share",
            Err(ClaimError::Refused(Refusal::Full)) => "full",
            Err(ClaimError::Unreachable(_) | ClaimError::Answer { .. }) => "failed",
        };
        self.registry
            .counter(
                "privatemode_claims_total",
                "Claims of sealed requests by result.",
                &[("result", result)],
            )
            .increment();
    }

    pub(crate) fn lookup(&self, result: Lookup) {
        let result = match result {
            Lookup::Cached => "cached",
            Lookup::Found => "found",
            Lookup::Unknown => "unknown",
            Lookup::Failed => "failed",
        };
        self.registry
            .counter(
                "privatemode_secret_lookups_total",
                "Lookups of secrets by result.",
                &[("result", result)],
            )
            .increment();
    }
}

/// The label of an endpoint.
pub(crate) fn label(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::ChatCompletions => "chat_completions",
        Endpoint::Completions => "completions",
        Endpoint::Embeddings => "embeddings",
        Endpoint::Transcriptions => "transcriptions",
        Endpoint::Translations => "translations",
        Endpoint::Messages => "messages",
        Endpoint::Responses => "responses",
        Endpoint::Unstructured => "unstructured",
    }
}

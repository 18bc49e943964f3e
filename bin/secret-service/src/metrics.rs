//! What is counted.

use privatemode_service::metrics::{Counter, Gauge, Histogram, LATENCY_SECONDS, Registry};
use privatemode_wire::replay::Refusal;

/// The secret service's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub(crate) secrets: Gauge,
    pub(crate) remembered: Gauge,
    pub(crate) exchange_seconds: Histogram,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            secrets: registry.gauge("privatemode_secrets", "Secrets in the store.", &[]),
            remembered: registry.gauge(
                "privatemode_claims_remembered",
                "Requests in the replay memory.",
                &[],
            ),
            exchange_seconds: registry.histogram(
                "privatemode_secret_exchange_seconds",
                "Duration of a secret exchange.",
                &[],
                LATENCY_SECONDS,
            ),
        }
    }

    pub(crate) fn claim(&self, claimed: Result<(), Refusal>) {
        let result = match claimed {
            Ok(()) => "claimed",
            Err(Refusal::Replayed) => "replayed",
            Err(Refusal::TooOld { .. }) => "too_old",
            Err(Refusal::FromFuture { .. }) => "from_future",
            Err(Refusal::BeforeStart { .. }) => "before_start",
            Err(Refusal::Share) => "share",
            Err(Refusal::Full) => "full",
        };
        self.count_claim(result);
    }

    /// Nobody could be asked.
    pub(crate) fn claim_failed(&self) {
        self.count_claim("unavailable");
    }

    fn count_claim(&self, result: &'static str) {
        self.registry
            .counter(
                "privatemode_claims_total",
                "Claims of sealed requests by result.",
                &[("result", result)],
            )
            .increment();
    }

    pub(crate) fn request(&self, route: &'static str, status: http::StatusCode) -> Counter {
        let labels = [("route", route), ("status", status.as_str())];
        self.registry.counter("privatemode_requests_total", "Requests by route and status.", &labels)
    }
}

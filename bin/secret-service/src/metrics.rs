//! What is counted.

use privatemode_service::metrics::{Counter, Gauge, Histogram, LATENCY_SECONDS, Registry};

/// The secret service's metrics.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    pub(crate) secrets: Gauge,
    pub(crate) exchange_seconds: Histogram,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            secrets: registry.gauge("privatemode_secrets", "Secrets in the store.", &[]),
            exchange_seconds: registry.histogram(
                "privatemode_secret_exchange_seconds",
                "Duration of a secret exchange.",
                &[],
                LATENCY_SECONDS,
            ),
        }
    }

    pub(crate) fn request(&self, route: &'static str, status: http::StatusCode) -> Counter {
        let labels = [("route", route), ("status", status.as_str())];
        self.registry.counter("privatemode_requests_total", "Requests by route and status.", &labels)
    }
}

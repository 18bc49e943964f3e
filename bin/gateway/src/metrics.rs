//! The gateway's figures for Prometheus. Labels hold our own names and models that workers serve, never a caller's text.

use std::time::Duration;

use privatemode_service::metrics::{Entered, LATENCY_SECONDS, Registry};

use crate::ledger::Amounts;

#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Registry,
}

impl Metrics {
    pub(crate) fn new(registry: Registry) -> Metrics {
        Metrics { registry }
    }

    /// One more request in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> Entered {
        self.registry.gauge("gateway_requests_in_flight", "Requests being answered.", &[]).enter()
    }

    pub(crate) fn request(&self, endpoint: &str, status: u16, outcome: &str, duration: Duration) {
        let status = status.to_string();
        let labels = [("endpoint", endpoint), ("status", status.as_str()), ("outcome", outcome)];
        self.registry.counter("gateway_requests_total", "Requests that have ended.", &labels).increment();
        self.registry
            .histogram(
                "gateway_request_duration_seconds",
                "From a request's head to the end of its answer.",
                &[("endpoint", endpoint)],
                LATENCY_SECONDS,
            )
            .observe_duration(duration);
    }

    pub(crate) fn tokens(&self, model: &str, amounts: Amounts) {
        let Amounts {
            requests: _,
            prompt_tokens,
            completion_tokens,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = amounts;
        for (kind, count) in
            [("prompt", prompt_tokens), ("completion", completion_tokens), ("cached", cached_tokens)]
        {
            if count > 0 {
                let labels = [("model", model), ("kind", kind)];
                self.registry
                    .counter("gateway_tokens_total", "Tokens as workers report them.", &labels)
                    .add(count);
            }
        }
        if audio_seconds > 0 {
            self.registry
                .counter("gateway_audio_seconds_total", "Audio as workers report it.", &[("model", model)])
                .add(audio_seconds);
        }
        if audio_bytes > 0 {
            self.registry
                .counter("gateway_audio_bytes_total", "Audio as workers report it.", &[("model", model)])
                .add(audio_bytes);
        }
    }

    /// Something behind the gateway failed.
    pub(crate) fn upstream_error(&self, kind: &str) {
        self.registry
            .counter(
                "gateway_upstream_errors_total",
                "Failures of what is behind the gateway.",
                &[("kind", kind)],
            )
            .increment();
    }
}

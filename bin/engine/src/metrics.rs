//! Counters under vLLM's names, so that the dashboards and routers made for it work here.

use privatemode_service::metrics::{Counter, Gauge, Histogram, LATENCY_SECONDS, Registry};

/// What the worker and the HTTP side count.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
    pub(crate) prompt_tokens: Counter,
    pub(crate) generation_tokens: Counter,
    pub(crate) first_token: Histogram,
    pub(crate) per_token: Histogram,
    pub(crate) stopped: Counter,
    pub(crate) length: Counter,
    pub(crate) aborted: Counter,
    pub(crate) failed: Counter,
    pub(crate) refused: Counter,
}

impl Metrics {
    pub(crate) fn new(model: &str) -> Self {
        let registry = Registry::new();
        let name = [("model_name", model)];
        let finished = |reason: &str| {
            registry.counter(
                "vllm:request_success_total",
                "Requests by how they ended.",
                &[("model_name", model), ("finished_reason", reason)],
            )
        };
        Self {
            waiting: registry.gauge("vllm:num_requests_waiting", "Requests in the queue.", &name),
            running: registry.gauge("vllm:num_requests_running", "Requests being computed.", &name),
            prompt_tokens: registry.counter("vllm:prompt_tokens_total", "Tokens read.", &name),
            generation_tokens: registry.counter("vllm:generation_tokens_total", "Tokens generated.", &name),
            first_token: registry.histogram(
                "vllm:time_to_first_token_seconds",
                "From the queue's end to the first token.",
                &name,
                LATENCY_SECONDS,
            ),
            per_token: registry.histogram(
                "vllm:time_per_output_token_seconds",
                "Between two tokens, averaged over a request.",
                &name,
                LATENCY_SECONDS,
            ),
            stopped: finished("stop"),
            length: finished("length"),
            aborted: finished("abort"),
            failed: registry.counter(
                "engine_requests_failed_total",
                "Requests that the model failed.",
                &name,
            ),
            refused: registry.counter(
                "engine_requests_refused_total",
                "Requests refused by a full queue.",
                &name,
            ),
            registry,
        }
    }

    pub(crate) fn render(&self) -> String {
        self.registry.render()
    }
}

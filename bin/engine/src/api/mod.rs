//! vLLM's HTTP shape: routes, limits and the errors of all endpoints. Computes nothing: it puts jobs into the queue.

mod chat;
mod completions;
mod embeddings;
mod request;
mod stream;

use axum::body::{Body, HttpBody};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header};
use privatemode_service::{BodyError, body::read_limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokenizers::Tokenizer;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::backend::Task;
use crate::error::Refusal;
use crate::metrics::Metrics;
use crate::queue::{Event, Full, Job, Queue, Work};
use crate::text::template::ChatTemplate;

/// The served model as the handlers see it.
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) task: Task,
    pub(crate) max_context: usize,
    /// Longest text that one token can stand for, in bytes, where there is such a length.
    pub(crate) longest_token: Option<usize>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) template: ChatTemplate,
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) max_body: usize,
    pub(crate) started: u64,
}

type Shared = State<Arc<Served>>;

/// All endpoints.
pub(crate) fn router(served: Arc<Served>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat::create))
        .route("/v1/completions", post(completions::create))
        .route("/v1/embeddings", post(embeddings::create))
        .route("/v1/models", get(models))
        .route("/v1/models/{*id}", get(model))
        .route("/health", get(|| async {}))
        .route("/version", get(|| async { Json(json!({"version": env!("CARGO_PKG_VERSION")})) }))
        .route("/metrics", get(metrics))
        .fallback(|| async { Refusal::not_found("not_found", "There is nothing at this path.") })
        .method_not_allowed_fallback(|| async {
            Refusal::method_not_allowed("This path does not take this method.")
        })
        .with_state(served)
}

async fn metrics(State(served): Shared) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], served.metrics.render()).into_response()
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    root: &'a str,
    parent: Option<()>,
    max_model_len: usize,
    tasks: [&'static str; 1],
}

impl Served {
    fn model(&self) -> Model<'_> {
        let task = match self.task {
            Task::Generate => "generate",
            Task::Embed => "embed",
        };
        Model {
            id: &self.name,
            object: "model",
            created: self.started,
            owned_by: "privatemode",
            root: &self.name,
            parent: None,
            max_model_len: self.max_context,
            tasks: [task],
        }
    }

    /// A missing name means the one model there is, as in vLLM.
    fn check_model(&self, asked: Option<&str>) -> Result<(), Refusal> {
        match asked {
            Some(name) if name != self.name => Err(Refusal::not_found(
                "model_not_found",
                format!("The model `{name}` does not exist. Here is `{}`.", self.name),
            )
            .with_param("model")),
            _ => Ok(()),
        }
    }

    fn check_task(&self, needed: Task, endpoint: &str) -> Result<(), Refusal> {
        if self.task == needed {
            return Ok(());
        }
        let message = format!("The model `{}` does not support the {endpoint} API.", self.name);
        Err(Refusal::bad_request("unsupported_endpoint", message))
    }

    /// Text to tokens. What cannot fit is refused by its length: tokenizers take seconds over megabytes.
    fn encode(&self, text: String, special: bool, param: &'static str) -> Result<Vec<u32>, Refusal> {
        let at_least = self.longest_token.map_or(0, |longest| text.len().div_ceil(longest));
        if at_least > self.max_context {
            let message = format!(
                "This model's maximum context length is {} tokens. However, your request has at least {at_least} \
                 input tokens. Please reduce the length of the input.",
                self.max_context
            );
            return Err(Refusal::bad_request("context_length_exceeded", message).with_param(param));
        }
        let encoding = self.tokenizer.encode_fast(text, special).map_err(Refusal::internal)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Enqueues; one channel of events per piece of work.
    fn submit(&self, works: Vec<Work>) -> Result<Vec<UnboundedReceiver<Event>>, Refusal> {
        let (jobs, receivers) = works
            .into_iter()
            .map(|work| {
                let (events, receiver) = unbounded_channel();
                (Job { work, events }, receiver)
            })
            .unzip();
        match self.queue.submit(jobs) {
            Ok(()) => Ok(receivers),
            Err(Full { waiting }) => {
                let message =
                    format!("The engine is busy: {waiting} requests are waiting. Try again shortly.");
                Err(Refusal::busy(message, waiting.clamp(1, 30)))
            }
        }
    }
}

async fn models(State(served): Shared) -> Response {
    Json(json!({"object": "list", "data": [served.model()]})).into_response()
}

async fn model(State(served): Shared, Path(id): Path<String>) -> Result<Response, Refusal> {
    served.check_model(Some(&id))?;
    Ok(Json(served.model()).into_response())
}

/// What is read and thrown away of a body that is too large, and for how long.
const MAX_DRAIN: u64 = 128 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// The JSON body, at most `max_body` bytes of it.
async fn read_json<T: DeserializeOwned>(served: &Served, mut body: Body) -> Result<T, Refusal> {
    let read = read_limited(&mut body, served.max_body).await;
    if matches!(read, Err(BodyError::TooLarge { .. })) {
        drain(body).await;
    }
    let body = read?;
    if body.is_empty() {
        return Err(Refusal::bad_request("invalid_json", "The request has no body; send a JSON object."));
    }
    // serde_json's message ends with line and column.
    serde_json::from_slice(&body).map_err(|error| {
        Refusal::bad_request("invalid_json", format!("The body is not a valid request: {error}."))
    })
}

/// Reads on to the end: a sender that writes its whole request before it reads would find the connection broken, and never
/// learn why.
async fn drain(body: Body) {
    let mut left = MAX_DRAIN;
    if body.size_hint().lower() > left {
        return;
    }
    let mut pieces = body.into_data_stream();
    let rest = async {
        while let Some(Ok(piece)) = pieces.next().await {
            let Some(less) = left.checked_sub(piece.len() as u64) else { return };
            left = less;
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, rest).await;
}

/// Work that would hold up other connections: templates and tokenizers on long texts.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(Refusal::internal)?
}

/// `chatcmpl-` and so on with the caller's `X-Request-Id`, so that one ID finds a request everywhere, or a random one.
fn answer_id(prefix: &str, headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match headers.get("x-request-id").and_then(|id| id.to_str().ok()).filter(plain) {
        Some(id) => format!("{prefix}-{id}"),
        None => format!("{prefix}-{}", uuid::Uuid::new_v4().simple()),
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Token counts, with the members vLLM sends.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: Option<()>,
}

impl Usage {
    fn new(prompt_tokens: usize, completion_tokens: usize) -> Self {
        let total_tokens = prompt_tokens + completion_tokens;
        Self { prompt_tokens, total_tokens, completion_tokens, prompt_tokens_details: None }
    }
}

#[cfg(test)]
mod tests;

//! The worker's events as an answer: collected, or as server-sent events in vLLM's order: role, text, finish reason,
//! usage if asked for, `[DONE]`. Dropping the body drops the event channels, which stops the generation.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;
use std::collections::VecDeque;
use tokio::sync::mpsc::UnboundedReceiver;

use super::request::UsageReports;
use super::{Usage, now};
use crate::error::Refusal;
use crate::queue::{Event, Finish};

/// A whole answer.
pub(super) struct Collected {
    pub(super) text: String,
    pub(super) reason: Finish,
    pub(super) tokens: usize,
}

fn failed() -> Refusal {
    Refusal::internal("the model failed; the worker has logged why")
}

pub(super) async fn collect(receivers: Vec<UnboundedReceiver<Event>>) -> Result<Vec<Collected>, Refusal> {
    let mut answers = Vec::with_capacity(receivers.len());
    for mut receiver in receivers {
        let mut whole = String::new();
        loop {
            match receiver.recv().await {
                Some(Event::Text { text, .. }) => whole.push_str(&text),
                Some(Event::Finished { reason, tokens }) => {
                    answers.push(Collected { text: whole, reason, tokens });
                    break;
                }
                Some(Event::Embedded { .. } | Event::Failed) | None => return Err(failed()),
            }
        }
    }
    Ok(answers)
}

pub(super) fn finish_reason(reason: &Finish) -> &'static str {
    match reason {
        Finish::End | Finish::StopString(_) | Finish::StopToken(_) => "stop",
        Finish::Length => "length",
    }
}

/// vLLM's addition: which stop it was; null for the model's own end.
pub(super) fn stop_reason(reason: &Finish) -> Option<serde_json::Value> {
    match reason {
        Finish::End | Finish::Length => None,
        Finish::StopString(stop) => Some(stop.as_str().into()),
        Finish::StopToken(token) => Some((*token).into()),
    }
}

/// Which endpoint's chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Chat,
    Text,
}

/// One streamed answer.
pub(super) struct Streamer {
    shape: Shape,
    id: String,
    model: String,
    created: u64,
    reports: UsageReports,
    prompts: Vec<usize>,
    /// Tokens so far, per choice.
    tokens: Vec<usize>,
    receivers: VecDeque<UnboundedReceiver<Event>>,
    /// The choice that the first receiver belongs to.
    index: usize,
    began: bool,
    ready: VecDeque<Bytes>,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [ChunkChoice],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(Serialize)]
struct ChunkChoice {
    index: usize,
    #[serde(flatten)]
    piece: Piece,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
    stop_reason: Option<serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Piece {
    Delta(Delta),
    Text(String),
}

#[derive(Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    content: String,
}

impl Streamer {
    pub(super) fn new(
        shape: Shape,
        id: String,
        model: &str,
        prompts: Vec<usize>,
        receivers: Vec<UnboundedReceiver<Event>>,
        reports: UsageReports,
    ) -> Self {
        Self {
            shape,
            id,
            model: model.to_owned(),
            created: now(),
            reports,
            tokens: vec![0; prompts.len()],
            prompts,
            receivers: receivers.into(),
            index: 0,
            began: false,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn response(self) -> Response {
        let events = futures_util::stream::unfold(self, |mut streamer| async move {
            let bytes = streamer.next().await?;
            Some((Ok::<_, std::convert::Infallible>(bytes), streamer))
        });
        let mut response = Response::new(Body::from_stream(events));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            let event = self.receivers.front_mut()?.recv().await;
            self.take(event);
        }
    }

    fn take(&mut self, event: Option<Event>) {
        let began = std::mem::replace(&mut self.began, true);
        if !began && self.shape == Shape::Chat && !matches!(event, Some(Event::Failed) | None) {
            self.chunk(Some("assistant"), String::new(), None);
        }
        match event {
            Some(Event::Text { text, tokens }) => {
                self.tokens[self.index] = tokens;
                self.chunk(None, text, None);
            }
            Some(Event::Finished { reason, tokens }) => {
                self.tokens[self.index] = tokens;
                self.chunk(None, String::new(), Some(&reason));
                self.receivers.pop_front();
                self.index += 1;
                if self.receivers.is_empty() {
                    self.end();
                }
            }
            Some(Event::Embedded { .. } | Event::Failed) | None => {
                self.receivers.clear();
                self.ready.push_back(event_line(&failed().to_json()));
                self.ready.push_back(event_line("[DONE]"));
            }
        }
    }

    fn end(&mut self) {
        if self.reports.at_end {
            let usage = Usage::new(self.prompts.iter().sum(), self.tokens.iter().sum());
            self.emit(&[], Some(usage));
        }
        self.ready.push_back(event_line("[DONE]"));
    }

    fn chunk(&mut self, role: Option<&'static str>, text: String, reason: Option<&Finish>) {
        let piece = match self.shape {
            Shape::Chat => Piece::Delta(Delta { role, content: text }),
            Shape::Text => Piece::Text(text),
        };
        let choice = ChunkChoice {
            index: self.index,
            piece,
            logprobs: None,
            finish_reason: reason.map(finish_reason),
            stop_reason: reason.and_then(stop_reason),
        };
        let usage = Usage::new(self.prompts[self.index], self.tokens[self.index]);
        self.emit(&[choice], self.reports.in_each.then_some(usage));
    }

    fn emit(&mut self, choices: &[ChunkChoice], usage: Option<Usage>) {
        let object = match self.shape {
            Shape::Chat => "chat.completion.chunk",
            Shape::Text => "text_completion",
        };
        let chunk = Chunk { id: &self.id, object, created: self.created, model: &self.model, choices, usage };
        let json = serde_json::to_string(&chunk).expect("strings and numbers always serialise");
        self.ready.push_back(event_line(&json));
    }
}

fn event_line(data: &str) -> Bytes {
    Bytes::from(format!("data: {data}\n\n"))
}

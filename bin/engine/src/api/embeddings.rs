//! `POST /v1/embeddings`

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::completions::tokenize;
use super::request::Prompt;
use super::{Shared, Usage, answer_id, now, off_thread, read_json};
use crate::backend::Task;
use crate::error::Refusal;
use crate::queue::{Event, Work};

#[derive(Deserialize)]
struct EmbeddingRequest {
    model: Option<String>,
    input: Option<Prompt>,
    encoding_format: Option<Format>,
    dimensions: Option<usize>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Format {
    Float,
    Base64,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    data: Vec<Embedding>,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    index: usize,
    object: &'static str,
    embedding: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Float(Vec<f32>),
    Base64(String),
}

pub(super) async fn create(
    State(served): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let request: EmbeddingRequest = read_json(&served, body).await?;
    served.check_model(request.model.as_deref())?;
    served.check_task(Task::Embed, "Embeddings")?;
    if request.dimensions.is_some() {
        let error =
            Refusal::bad_request("unsupported", "This model gives vectors of one size: omit `dimensions`.");
        return Err(error.with_param("dimensions"));
    }
    let inputs = {
        let served = Arc::clone(&served);
        off_thread(move || tokenize(&served, request.input, "input")).await?
    };
    if let Some(long) = inputs.iter().map(Vec::len).find(|length| *length > served.max_context) {
        let message = format!(
            "This model's maximum context length is {} tokens. However, an input has {long} tokens. Please split it.",
            served.max_context
        );
        return Err(Refusal::bad_request("context_length_exceeded", message).with_param("input"));
    }
    let prompt_tokens = inputs.iter().map(Vec::len).sum();
    let mut receivers = served.submit(vec![Work::Embed(inputs)])?;
    let event = match receivers.first_mut() {
        Some(receiver) => receiver.recv().await,
        None => None,
    };
    let Some(Event::Embedded { vectors }) = event else {
        return Err(Refusal::internal("the model gave no vectors"));
    };
    let format = request.encoding_format.unwrap_or(Format::Float);
    let data = vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        index,
        object: "embedding",
        embedding: format.encode(vector),
    });
    let answer = Answer {
        id: answer_id("embd", &headers),
        object: "list",
        created: now(),
        model: &served.name,
        data: data.collect(),
        usage: Usage::new(prompt_tokens, 0),
    };
    Ok(Json(answer).into_response())
}

impl Format {
    fn encode(self, vector: Vec<f32>) -> Vector {
        match self {
            Self::Float => Vector::Float(vector),
            // Little-endian F32, as the official clients decode it.
            Self::Base64 => Vector::Base64(
                STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
            ),
        }
    }
}

//! `POST /v1/chat/completions`

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;

use super::request::{GenerateRequest, template_message};
use super::stream::{Shape, Streamer, collect, finish_reason, stop_reason};
use super::{Served, Shared, Usage, answer_id, now, off_thread, read_json};
use crate::backend::Task;
use crate::error::Refusal;
use crate::queue::{Generation, Work};
use crate::text::template::ChatInput;

#[derive(Serialize)]
struct Answer<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [Choice; 1],
    usage: Usage,
    system_fingerprint: Option<()>,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    message: Message,
    logprobs: Option<()>,
    finish_reason: &'static str,
    stop_reason: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Message {
    role: &'static str,
    content: String,
    refusal: Option<()>,
}

pub(super) async fn create(
    State(served): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let request: GenerateRequest = read_json(&served, body).await?;
    served.check_model(request.model.as_deref())?;
    served.check_task(Task::Generate, "Chat Completions")?;
    request.check()?;
    let stream = request.stream == Some(true);
    let reports = request.usage_reports();
    let generation = {
        let served = Arc::clone(&served);
        off_thread(move || prepare(&served, &request)).await?
    };
    let prompt_tokens = generation.prompt.len();
    let receivers = served.submit(vec![Work::Generate(generation)])?;
    let id = answer_id("chatcmpl", &headers);
    if stream {
        return Ok(
            Streamer::new(Shape::Chat, id, &served.name, vec![prompt_tokens], receivers, reports).response()
        );
    }
    let [text] =
        collect(receivers).await?.try_into().map_err(|_| Refusal::internal("one answer expected"))?;
    let answer = Answer {
        id,
        object: "chat.completion",
        created: now(),
        model: &served.name,
        usage: Usage::new(prompt_tokens, text.tokens),
        choices: [Choice {
            index: 0,
            finish_reason: finish_reason(&text.reason),
            stop_reason: stop_reason(&text.reason),
            message: Message { role: "assistant", content: text.text, refusal: None },
            logprobs: None,
        }],
        system_fingerprint: None,
    };
    Ok(Json(answer).into_response())
}

fn prepare(served: &Served, request: &GenerateRequest) -> Result<Generation, Refusal> {
    let invalid = |message: String| Refusal::bad_request("invalid_value", message).with_param("messages");
    let messages = request.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(invalid("`messages` must be a list with at least one message.".to_owned()));
    }
    let messages: Result<Vec<_>, _> =
        messages.iter().enumerate().map(|(index, message)| template_message(index, message)).collect();
    let tools = request.tools.as_ref().filter(|_| request.offers_tools());
    let tools = tools.map(|raw| serde_json::from_str(raw.get())).transpose();
    let input = ChatInput {
        messages: messages?,
        tools: tools.map_err(|error| invalid(format!("`tools`: {error}")).with_param("tools"))?,
        extra: request.chat_template_kwargs.clone(),
        continue_last: request.continue_final_message == Some(true),
    };
    let prompt = served.template.render(&input).map_err(|error| {
        let detail = error.detail().map_or_else(|| error.to_string(), str::to_owned);
        invalid(format!("The model's chat template refuses these messages: {detail}"))
    })?;
    // The template writes special tokens itself.
    request.generation(served, served.encode(prompt, false, "messages")?, None)
}

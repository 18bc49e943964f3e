//! `POST /v1/completions`

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;

use super::request::{GenerateRequest, MAX_INPUTS, Prompt};
use super::stream::{Shape, Streamer, collect, finish_reason, stop_reason};
use super::{Served, Shared, Usage, answer_id, now, off_thread, read_json};
use crate::backend::Task;
use crate::error::Refusal;
use crate::queue::{Generation, Work};

#[derive(Serialize)]
struct Answer<'a> {
    id: String,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<Choice>,
    usage: Usage,
}

#[derive(Serialize)]
struct Choice {
    index: usize,
    text: String,
    logprobs: Option<()>,
    finish_reason: &'static str,
    stop_reason: Option<serde_json::Value>,
}

/// What OpenAI and vLLM generate when nothing is said.
const DEFAULT_MAX_TOKENS: usize = 16;

pub(super) async fn create(
    State(served): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let request: GenerateRequest = read_json(&served, body).await?;
    served.check_model(request.model.as_deref())?;
    served.check_task(Task::Generate, "Completions")?;
    request.check()?;
    let stream = request.stream == Some(true);
    let reports = request.usage_reports();
    let generations = {
        let served = Arc::clone(&served);
        off_thread(move || prepare(&served, request)).await?
    };
    let prompts: Vec<usize> = generations.iter().map(|generation| generation.prompt.len()).collect();
    let prompt_tokens = prompts.iter().sum();
    let receivers = served.submit(generations.into_iter().map(Work::Generate).collect())?;
    let id = answer_id("cmpl", &headers);
    if stream {
        return Ok(Streamer::new(Shape::Text, id, &served.name, prompts, receivers, reports).response());
    }
    let texts = collect(receivers).await?;
    let tokens = texts.iter().map(|text| text.tokens).sum();
    let choices = texts.into_iter().enumerate().map(|(index, text)| Choice {
        index,
        finish_reason: finish_reason(&text.reason),
        stop_reason: stop_reason(&text.reason),
        text: text.text,
        logprobs: None,
    });
    let answer = Answer {
        id,
        object: "text_completion",
        created: now(),
        model: &served.name,
        choices: choices.collect(),
        usage: Usage::new(prompt_tokens, tokens),
    };
    Ok(Json(answer).into_response())
}

fn prepare(served: &Served, mut request: GenerateRequest) -> Result<Vec<Generation>, Refusal> {
    let prompts = tokenize(served, request.prompt.take(), "prompt")?;
    prompts.into_iter().map(|prompt| request.generation(served, prompt, Some(DEFAULT_MAX_TOKENS))).collect()
}

/// Texts or tokens to tokens; used by embeddings too.
pub(super) fn tokenize(
    served: &Served,
    prompt: Option<Prompt>,
    param: &'static str,
) -> Result<Vec<Vec<u32>>, Refusal> {
    let invalid = |message: String| Refusal::bad_request("invalid_value", message).with_param(param);
    let encode = |text: String| served.encode(text, true, param);
    let lists: Vec<Vec<u32>> = match prompt {
        Some(Prompt::Text(text)) => vec![encode(text)?],
        Some(Prompt::Texts(texts)) if texts.len() <= MAX_INPUTS => {
            texts.into_iter().map(encode).collect::<Result<_, Refusal>>()?
        }
        Some(Prompt::Tokens(tokens)) => vec![tokens],
        Some(Prompt::TokenLists(lists)) if lists.len() <= MAX_INPUTS => lists,
        Some(Prompt::Texts(_) | Prompt::TokenLists(_)) => {
            return Err(invalid(format!("At most {MAX_INPUTS} inputs are allowed in one request.")));
        }
        None => return Err(invalid(format!("`{param}` is missing."))),
    };
    if lists.is_empty() || lists.iter().any(Vec::is_empty) {
        return Err(invalid(format!("`{param}` is empty.")));
    }
    // Tokens may come from the caller, and the embedding table ends somewhere.
    let known = served.tokenizer.get_vocab_size(true);
    match lists.iter().flatten().find(|token| **token as usize >= known) {
        Some(token) => Err(invalid(format!("The token {token} is not among the model's {known}."))),
        None => Ok(lists),
    }
}

//! Answers in the shapes of the APIs, and which of them a path gets when a test asks for nothing else.

use serde_json::{Value, json};

use super::{Recorded, Reply};

impl Reply {
    /// A chat completion.
    #[must_use]
    pub fn chat(text: &str) -> Self {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "stub",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": usage(),
        });
        Self::json(200, body.to_string())
    }

    /// A streamed chat completion, one event a part: each delta, the end, with `usage` the usage, `[DONE]`.
    #[must_use]
    pub fn chat_stream(deltas: &[&str], with_usage: bool) -> Self {
        let chunk = |choices: Value, usage: Value| {
            let chunk = json!({
                "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "stub",
                "choices": choices, "usage": usage,
            });
            format!("data: {chunk}\n\n")
        };
        let mut events: Vec<String> = deltas
            .iter()
            .map(|text| chunk(json!([{"index": 0, "delta": {"content": text}}]), Value::Null))
            .collect();
        events.push(chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null));
        if with_usage {
            events.push(chunk(json!([]), usage()));
        }
        events.push("data: [DONE]\n\n".into());
        Self::stream(events)
    }

    /// A text completion.
    #[must_use]
    pub fn completion(text: &str) -> Self {
        let body = json!({
            "id": "cmpl-1", "object": "text_completion", "created": 1_700_000_000, "model": "stub",
            "choices": [{"index": 0, "text": text, "finish_reason": "stop"}], "usage": usage(),
        });
        Self::json(200, body.to_string())
    }

    /// A streamed text completion.
    #[must_use]
    pub fn completion_stream(deltas: &[&str]) -> Self {
        let mut events: Vec<String> = deltas
            .iter()
            .map(|text| {
                let chunk = json!({
                    "id": "cmpl-1", "object": "text_completion", "model": "stub",
                    "choices": [{"index": 0, "text": text}],
                });
                format!("data: {chunk}\n\n")
            })
            .collect();
        events.push("data: [DONE]\n\n".into());
        Self::stream(events)
    }

    /// Embeddings, one row each.
    #[must_use]
    pub fn embeddings(rows: &[&[f32]]) -> Self {
        let data: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(index, row)| json!({"object": "embedding", "index": index, "embedding": row}))
            .collect();
        let body = json!({"id": "embd-1", "object": "list", "data": data, "model": "stub", "usage": usage()});
        Self::json(200, body.to_string())
    }

    /// A list of models, as vLLM gives it.
    #[must_use]
    pub fn models(ids: &[&str]) -> Self {
        let data: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id, "object": "model", "created": 1_700_000_000, "owned_by": "stub"}))
            .collect();
        Self::json(200, json!({"object": "list", "data": data}).to_string())
    }

    /// A transcription.
    #[must_use]
    pub fn transcription(text: &str) -> Self {
        let body = json!({"text": text, "duration": 1.5, "usage": {"type": "duration", "seconds": 2}});
        Self::json(200, body.to_string())
    }

    /// An Anthropic message.
    #[must_use]
    pub fn message(text: &str) -> Self {
        let body = json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "stub",
            "content": [{"type": "text", "text": text}], "stop_reason": "end_turn",
            "usage": {"input_tokens": 5, "output_tokens": 3},
        });
        Self::json(200, body.to_string())
    }

    /// A streamed Anthropic message: every event has its `event:` line, and the last is `message_stop`.
    #[must_use]
    pub fn message_stream(deltas: &[&str]) -> Self {
        let usage = json!({"input_tokens": 5, "output_tokens": 3});
        let mut events = vec![
            named(
                &json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [],
                "model": "stub", "usage": usage}}),
            ),
            named(
                &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
        ];
        for text in deltas {
            let delta = json!({"type": "text_delta", "text": text});
            events.push(named(&json!({"type": "content_block_delta", "index": 0, "delta": delta})));
        }
        events.push(named(&json!({"type": "content_block_stop", "index": 0})));
        let delta = json!({"stop_reason": "end_turn"});
        events.push(named(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3}})));
        events.push(named(&json!({"type": "message_stop"})));
        Self::stream(events)
    }

    /// An answer of the Responses API.
    #[must_use]
    pub fn response(text: &str) -> Self {
        Self::json(200, response(text, "completed").to_string())
    }

    /// A streamed answer of the Responses API; the last event is `response.completed`.
    #[must_use]
    pub fn response_stream(deltas: &[&str]) -> Self {
        let mut events = vec![named(&json!({"type": "response.created", "sequence_number": 0,
            "response": response("", "in_progress")}))];
        for text in deltas {
            events
                .push(named(&json!({"type": "response.output_text.delta", "sequence_number": events.len(),
                "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": text})));
        }
        events.push(named(&json!({"type": "response.completed", "sequence_number": events.len(),
            "response": response(&deltas.concat(), "completed")})));
        Self::stream(events)
    }

    /// The elements of a document.
    #[must_use]
    pub fn elements(texts: &[&str]) -> Self {
        let elements: Vec<Value> = texts
            .iter()
            .map(|text| json!({"type": "NarrativeText", "element_id": "1", "text": text, "metadata": {}}))
            .collect();
        Self::json(200, Value::from(elements).to_string())
    }
}

/// What an engine would answer.
pub(super) fn default_reply(path: &str, request: &Recorded) -> Reply {
    const DELTAS: [&str; 3] = ["Hello", ", ", "world"];
    let body = request.json();
    let streamed = body["stream"] == true;
    match path {
        "/v1/chat/completions" if streamed => {
            Reply::chat_stream(&DELTAS, body["stream_options"]["include_usage"] == true)
        }
        "/v1/chat/completions" => Reply::chat("Hello, world"),
        "/v1/completions" if streamed => Reply::completion_stream(&DELTAS),
        "/v1/completions" => Reply::completion("Hello, world"),
        "/v1/embeddings" => Reply::embeddings(&[&[0.25, -1.0, 3.5]]),
        "/v1/audio/transcriptions" | "/v1/audio/translations" => Reply::transcription("Hello, world"),
        "/v1/messages" if streamed => Reply::message_stream(&DELTAS),
        "/v1/messages" => Reply::message("Hello, world"),
        "/v1/responses" if streamed => Reply::response_stream(&DELTAS),
        "/v1/responses" => Reply::response("Hello, world"),
        "/v1/models" => Reply::models(&["stub"]),
        "/health" => Reply::raw(200, "text/plain", ""),
        path if path.ends_with("/general/v0/general") => Reply::elements(&["Hello", "world"]),
        _ => Reply::error(404, "the stub has no such path"),
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 2}})
}

fn response(text: &str, status: &str) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": "stub", "status": status,
        "output": [{"type": "message", "id": "msg_1", "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]}],
        "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}})
}

fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}

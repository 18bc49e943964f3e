//! What a chat or completion request may say, and its translation into a [`Generation`]. Members that vLLM does not
//! know are ignored; members that would change the answer and are not supported here are refused, not ignored.

use minijinja::Value;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Served;
use crate::error::Refusal;
use crate::queue::Generation;
use crate::sampling::Sampling;

/// Both endpoints share nearly all members, so they share the type; serde can then name line and column.
#[derive(Deserialize, Default)]
pub(super) struct GenerateRequest {
    pub(super) model: Option<String>,
    pub(super) messages: Option<Vec<Value>>,
    pub(super) prompt: Option<Prompt>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<i64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<i64>,
    min_p: Option<f32>,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    stop_token_ids: Option<Vec<u32>>,
    ignore_eos: Option<bool>,
    n: Option<i64>,
    best_of: Option<i64>,
    logprobs: Option<Box<RawValue>>,
    prompt_logprobs: Option<Box<RawValue>>,
    logit_bias: Option<Box<RawValue>>,
    echo: Option<bool>,
    suffix: Option<String>,
    response_format: Option<ResponseFormat>,
    pub(super) tools: Option<Box<RawValue>>,
    tool_choice: Option<ToolChoice>,
    pub(super) continue_final_message: Option<bool>,
    pub(super) chat_template_kwargs: Option<Value>,
    chat_template: Option<String>,
}

#[derive(Deserialize, Clone, Copy, Default)]
pub(super) struct StreamOptions {
    include_usage: Option<bool>,
    continuous_usage_stats: Option<bool>,
}

/// When usage is reported in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsageReports {
    pub(super) at_end: bool,
    pub(super) in_each: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Prompt {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct ResponseFormat {
    r#type: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ToolChoice {
    Word(String),
    Named {},
}

/// Prompts or inputs in one request.
pub(super) const MAX_INPUTS: usize = 2048;
const MAX_STOPS: usize = 64;

fn bad(param: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::bad_request("invalid_value", message).with_param(param)
}

fn unsupported(param: &'static str, what: &str) -> Refusal {
    Refusal::bad_request("unsupported", format!("This engine does not support {what}.")).with_param(param)
}

impl GenerateRequest {
    /// Refuses what would silently give another answer than asked for.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.n.is_some_and(|n| n != 1) || self.best_of.is_some_and(|best| best > 1) {
            return Err(bad(
                "n",
                "This engine gives one answer per request: send the request n times, with n = 1.",
            ));
        }
        let on = |raw: &Option<Box<RawValue>>| {
            raw.as_ref().is_some_and(|raw| !matches!(raw.get(), "false" | "null"))
        };
        let refusals = [
            (on(&self.logprobs), "logprobs", "log probabilities"),
            (on(&self.prompt_logprobs), "prompt_logprobs", "log probabilities"),
            (
                self.logit_bias.as_ref().is_some_and(|bias| !matches!(bias.get(), "{}" | "null")),
                "logit_bias",
                "logit biases",
            ),
            (self.echo == Some(true), "echo", "echoing the prompt"),
            (self.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()), "suffix", "a suffix"),
            (
                self.response_format.as_ref().is_some_and(|format| format.r#type != "text"),
                "response_format",
                "enforced output formats; ask for the format in the prompt",
            ),
            (self.chat_template.is_some(), "chat_template", "a chat template in the request"),
        ];
        if let Some((_, param, what)) = refusals.into_iter().find(|(refused, ..)| *refused) {
            return Err(unsupported(param, what));
        }
        match &self.tool_choice {
            None => {}
            Some(ToolChoice::Word(word)) if matches!(word.as_str(), "auto" | "none") => {}
            Some(_) => return Err(unsupported("tool_choice", "forced tool calls; use `auto`")),
        }
        if self.stream_options.is_some() && self.stream != Some(true) {
            return Err(bad("stream_options", "Stream options can only be set when `stream` is true."));
        }
        Ok(())
    }

    /// Tools reach the template unless the request switches them off.
    pub(super) fn offers_tools(&self) -> bool {
        !matches!(&self.tool_choice, Some(ToolChoice::Word(word)) if word == "none")
    }

    pub(super) fn usage_reports(&self) -> UsageReports {
        let options = self.stream_options.unwrap_or_default();
        let at_end = options.include_usage.unwrap_or(false);
        // As in vLLM, the second has no effect without the first.
        UsageReports { at_end, in_each: at_end && options.continuous_usage_stats.unwrap_or(false) }
    }

    /// The work for one prompt. `default_max` is what an answer may have when nothing is said.
    pub(super) fn generation(
        &self,
        served: &Served,
        prompt: Vec<u32>,
        default_max: Option<usize>,
    ) -> Result<Generation, Refusal> {
        let max_tokens = self.max_tokens(served, prompt.len(), default_max)?;
        Ok(Generation {
            prompt,
            max_tokens,
            min_tokens: self.min_tokens()?,
            sampling: self.sampling()?,
            stop: self.stops()?,
            stop_tokens: self.stop_token_ids.clone().unwrap_or_default(),
            end_tokens: if self.ignore_eos == Some(true) { Vec::new() } else { served.end_tokens.clone() },
        })
    }

    fn min_tokens(&self) -> Result<usize, Refusal> {
        let count = self.min_tokens.unwrap_or(0);
        usize::try_from(count)
            .map_err(|_| bad("min_tokens", format!("min_tokens must not be negative, got {count}.")))
    }

    fn max_tokens(
        &self,
        served: &Served,
        prompt: usize,
        default_max: Option<usize>,
    ) -> Result<usize, Refusal> {
        let context = served.max_context;
        let too_long = |message: String| Refusal::bad_request("context_length_exceeded", message);
        if prompt == 0 {
            return Err(bad("prompt", "The prompt is empty; it must have at least one token."));
        }
        let room = context.saturating_sub(prompt);
        if room == 0 {
            return Err(too_long(format!(
                "This model's maximum context length is {context} tokens. However, your request has {prompt} input \
                 tokens. Please reduce the length of the input."
            )));
        }
        let Some(asked) = self.max_completion_tokens.or(self.max_tokens) else {
            return Ok(default_max.map_or(room, |default| default.min(room)));
        };
        match usize::try_from(asked) {
            Ok(asked) if asked > room => Err(too_long(format!(
                "'max_tokens' or 'max_completion_tokens' is too large: {asked}. This model's maximum context length \
                 is {context} tokens and your request has {prompt} input tokens ({asked} > {context} - {prompt})."
            ))
            .with_param("max_tokens")),
            Ok(asked) if asked > 0 => Ok(asked),
            _ => Err(bad("max_tokens", format!("max_tokens must be at least 1, got {asked}."))),
        }
    }

    fn stops(&self) -> Result<Vec<String>, Refusal> {
        let stops = match &self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(stop)) => vec![stop.clone()],
            Some(OneOrMany::Many(stops)) => stops.clone(),
        };
        if stops.len() > MAX_STOPS {
            return Err(bad(
                "stop",
                format!("At most {MAX_STOPS} stop strings are allowed, got {}.", stops.len()),
            ));
        }
        if stops.iter().any(String::is_empty) {
            return Err(bad("stop", "stop cannot contain an empty string."));
        }
        Ok(stops)
    }

    fn sampling(&self) -> Result<Sampling, Refusal> {
        let plain = Sampling::default();
        let within = |param: &'static str, value: Option<f32>, default: f32, low: f32, high: f32| {
            let value = value.unwrap_or(default);
            if (low..=high).contains(&value) {
                return Ok(value);
            }
            Err(bad(param, format!("{param} must be in [{low}, {high}], got {value}.")))
        };
        let top_p = within("top_p", self.top_p, plain.top_p, f32::MIN_POSITIVE, 1.0);
        let top_k = self.top_k.unwrap_or(0);
        if top_k < -1 {
            return Err(bad("top_k", format!("top_k must be -1 or 0 (off) or at least 1, got {top_k}.")));
        }
        Ok(Sampling {
            temperature: within("temperature", self.temperature, plain.temperature, 0.0, f32::MAX)?,
            top_p: top_p.map_err(|_| bad("top_p", "top_p must be in (0, 1]."))?,
            // -1 is vLLM's other word for off.
            top_k: usize::try_from(top_k).unwrap_or(0),
            min_p: within("min_p", self.min_p, plain.min_p, 0.0, 1.0)?,
            presence_penalty: within("presence_penalty", self.presence_penalty, 0.0, -2.0, 2.0)?,
            frequency_penalty: within("frequency_penalty", self.frequency_penalty, 0.0, -2.0, 2.0)?,
            repetition_penalty: within("repetition_penalty", self.repetition_penalty, 1.0, 0.01, 100.0)?,
            // Any number is a seed; the sign is only bits.
            seed: self.seed.map(i64::cast_unsigned),
        })
    }
}

/// One message as templates expect it: text content, tool arguments as objects.
pub(super) fn template_message(index: usize, message: &Value) -> Result<Value, Refusal> {
    let fault = |what: &str| bad("messages", format!("messages[{index}]{what}"));
    let member =
        |name: &str| message.get_attr(name).ok().filter(|value| !value.is_undefined() && !value.is_none());
    if member("role").and_then(|role| role.as_str().map(str::to_owned)).is_none() {
        return Err(fault(" needs a `role` that is a string."));
    }
    let content = match member("content") {
        None => String::new(),
        Some(content) => match content.as_str() {
            Some(text) => text.to_owned(),
            None => join_parts(&content).map_err(|what| fault(&what))?,
        },
    };
    let keys = message.try_iter().map_err(|_| fault(" must be an object."))?;
    let mut pairs = Vec::new();
    for key in keys.filter(|key| key.as_str() != Some("content")) {
        let value = message.get_item(&key).map_err(|_| fault(" must be an object."))?;
        let value = if key.as_str() == Some("tool_calls") && !value.is_none() {
            value
                .try_iter()
                .map_err(|_| fault(".tool_calls must be a list."))?
                .map(|call| tool_call(&call))
                .collect()
        } else {
            value
        };
        pairs.push((key, value));
    }
    pairs.push((Value::from("content"), Value::from(content)));
    Ok(Value::from_pairs(pairs))
}

/// The text of content parts, one per line as in vLLM.
fn join_parts(content: &Value) -> Result<String, String> {
    let parts = content.try_iter().map_err(|_| ".content must be a string or a list of parts.".to_owned())?;
    let mut texts = Vec::new();
    for (index, part) in parts.enumerate() {
        let text = part.get_attr("text").ok().and_then(|text| text.as_str().map(str::to_owned));
        match text.or_else(|| part.as_str().map(str::to_owned)) {
            Some(text) => texts.push(text),
            None => return Err(format!(".content[{index}] is not text; this model takes text only.")),
        }
    }
    Ok(texts.join("\n"))
}

/// OpenAI carries a call's arguments as a string of JSON; templates write them as an object.
fn tool_call(call: &Value) -> Value {
    let Ok(function) = call.get_attr("function") else { return call.clone() };
    let arguments = function.get_attr("arguments").ok();
    let Some(arguments) = arguments.as_ref().and_then(Value::as_str) else { return call.clone() };
    let Ok(parsed) = serde_json::from_str::<Value>(arguments) else { return call.clone() };
    with_member(call, "function", &with_member(&function, "arguments", &parsed))
}

fn with_member(object: &Value, name: &str, value: &Value) -> Value {
    let Ok(keys) = object.try_iter() else { return object.clone() };
    let pairs = keys.map(|key| {
        let kept = if key.as_str() == Some(name) {
            value.clone()
        } else {
            object.get_item(&key).unwrap_or_default()
        };
        (key, kept)
    });
    Value::from_pairs(pairs.collect::<Vec<_>>())
}

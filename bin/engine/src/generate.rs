//! One generation from prompt to end: the loop of model, sampler, detokenizer and stop strings. No HTTP, no queue.

use std::time::Instant;
use tokenizers::Tokenizer;
use tokio::sync::mpsc::UnboundedSender;

use crate::backend::{Backend, BackendError};
use crate::metrics::Metrics;
use crate::queue::{Event, Finish, Generation};
use crate::sampling::Sampler;
use crate::text::detokenize::Detokenizer;
use crate::text::stop::StopFilter;

/// Runs to the end, or to `Aborted` once nobody listens on `events`.
pub(crate) fn run(
    generation: &Generation,
    backend: &mut dyn Backend,
    tokenizer: &Tokenizer,
    events: &UnboundedSender<Event>,
    metrics: &Metrics,
) -> Result<(), BackendError> {
    let began = Instant::now();
    metrics.prompt_tokens.add(generation.prompt.len() as u64);
    let mut logits = backend.prefill(&generation.prompt, &|| events.is_closed())?;
    let mut writer = Writer::new(generation, tokenizer, events);
    metrics.first_token.observe_duration(began.elapsed());
    let prefilled = Instant::now();
    let reason = loop {
        let step = writer.accept(logits);
        metrics.generation_tokens.increment();
        if let Some(reason) = step? {
            break reason;
        }
        if events.is_closed() {
            return Err(BackendError::Aborted);
        }
        logits = backend.decode(writer.last)?;
    };
    let tokens = writer.tokens;
    let seconds = prefilled.elapsed().as_secs_f64();
    if tokens > 1 {
        metrics.per_token.observe(seconds / (tokens - 1) as f64);
    }
    if reason == Finish::Length {
        metrics.length.increment();
    } else {
        metrics.stopped.increment();
    }
    tracing::info!(
        prompt_tokens = generation.prompt.len(),
        completion_tokens = tokens,
        prefill_ms = (prefilled - began).as_millis() as u64,
        tokens_per_second = ((tokens - 1) as f64 / seconds.max(1e-9)).round() as u64,
        "generated"
    );
    let _ = events.send(Event::Finished { reason, tokens });
    Ok(())
}

/// The text side of a generation.
struct Writer<'a> {
    generation: &'a Generation,
    tokenizer: &'a Tokenizer,
    events: &'a UnboundedSender<Event>,
    sampler: Sampler,
    detokenizer: Detokenizer,
    stop: StopFilter,
    /// What may not be drawn before `min_tokens`.
    ends: Vec<u32>,
    tokens: usize,
    last: u32,
}

impl<'a> Writer<'a> {
    fn new(generation: &'a Generation, tokenizer: &'a Tokenizer, events: &'a UnboundedSender<Event>) -> Self {
        Self {
            generation,
            tokenizer,
            events,
            sampler: Sampler::new(generation.sampling.clone(), &generation.prompt),
            detokenizer: Detokenizer::new(),
            stop: StopFilter::new(&generation.stop),
            ends: generation.end_tokens.iter().chain(&generation.stop_tokens).copied().collect(),
            tokens: 0,
            last: 0,
        }
    }

    /// Draws a token and writes what it completes; the reason if it is the last one.
    fn accept(&mut self, logits: Vec<f32>) -> Result<Option<Finish>, BackendError> {
        let Generation { end_tokens, stop_tokens, min_tokens, max_tokens, .. } = self.generation;
        let banned: &[u32] = if self.tokens < *min_tokens { &self.ends } else { &[] };
        let token = self.sampler.next(logits, banned);
        let token = token.ok_or_else(|| candle_core::Error::msg("the model's logits are not numbers"))?;
        self.tokens += 1;
        self.last = token;
        if end_tokens.contains(&token) {
            return Ok(Some(self.close(Finish::End)?));
        }
        if stop_tokens.contains(&token) {
            return Ok(Some(self.close(Finish::StopToken(token))?));
        }
        let text = self.detokenizer.push(self.tokenizer, token).map_err(decoding)?;
        if let Some(stop) = self.write(&text) {
            return Ok(Some(Finish::StopString(stop)));
        }
        if self.tokens >= *max_tokens {
            return Ok(Some(self.close(Finish::Length)?));
        }
        Ok(None)
    }

    /// Lets out what was held back; that may still complete a stop string.
    fn close(&mut self, reason: Finish) -> Result<Finish, BackendError> {
        let text = self.detokenizer.finish(self.tokenizer).map_err(decoding)?;
        if let Some(stop) = self.write(&text) {
            return Ok(Finish::StopString(stop));
        }
        let rest = self.stop.finish();
        self.send(rest);
        Ok(reason)
    }

    fn write(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        let passed = self.stop.push(text);
        self.send(passed.text);
        passed.stopped_by
    }

    fn send(&self, text: String) {
        if !text.is_empty() {
            // A closed channel is noticed by the caller, once per token.
            let _ = self.events.send(Event::Text { text, tokens: self.tokens });
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn decoding(error: tokenizers::Error) -> BackendError {
    BackendError::Compute { source: candle_core::Error::msg(error.to_string()) }
}

//! The seam between serving and computing: a small synchronous trait, driven by one worker thread ([`crate::queue`]).
//! Knows tokens and numbers; no text, no HTTP, no threads of its own.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, xlm_roberta};
use thiserror::Error;

use crate::model::decoder::{Decoder, KvCache};

/// What a model is for; the words of `tasks` in `GET /v1/models`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Generate,
    Embed,
}

/// Why no numbers came.
#[derive(Debug, Error)]
pub(crate) enum BackendError {
    #[error("stopped on request")]
    Aborted,
    #[error("this model does not do that")]
    WrongTask,
    #[error("the model failed")]
    Compute {
        #[from]
        source: candle_core::Error,
    },
}

/// One model, one sequence at a time.
pub(crate) trait Backend: Send {
    fn task(&self) -> Task;
    /// The most tokens one sequence can have.
    fn max_context(&self) -> usize;
    /// Starts a new sequence and returns the logits after its last token. `abort` is asked between chunks.
    fn prefill(&mut self, tokens: &[u32], abort: &dyn Fn() -> bool) -> Result<Vec<f32>, BackendError>;
    /// Adds one token to the sequence and returns the logits after it.
    fn decode(&mut self, token: u32) -> Result<Vec<f32>, BackendError>;
    /// One vector for one input.
    fn embed(&mut self, tokens: &[u32]) -> Result<Vec<f32>, BackendError>;
}

/// Text generation with a [`Decoder`].
pub(crate) struct Generator {
    decoder: Decoder,
    cache: KvCache,
    max_context: usize,
}

/// Tokens between two looks at `abort`: large enough for full speed, small enough to stop within a fraction of a second.
const PREFILL_CHUNK: usize = 256;

impl Generator {
    pub(crate) fn new(decoder: Decoder, max_context: usize) -> Self {
        let cache = decoder.new_cache();
        Self { decoder, cache, max_context }
    }
}

impl Backend for Generator {
    fn task(&self) -> Task {
        Task::Generate
    }

    fn max_context(&self) -> usize {
        self.max_context
    }

    fn prefill(&mut self, tokens: &[u32], abort: &dyn Fn() -> bool) -> Result<Vec<f32>, BackendError> {
        self.cache.clear();
        let mut hidden = None;
        for chunk in tokens.chunks(PREFILL_CHUNK) {
            if abort() {
                return Err(BackendError::Aborted);
            }
            hidden = Some(self.decoder.forward(&mut self.cache, chunk)?);
        }
        let hidden = hidden.ok_or_else(|| candle_core::Error::msg("an empty prompt"))?;
        Ok(self.decoder.logits(&hidden)?)
    }

    fn decode(&mut self, token: u32) -> Result<Vec<f32>, BackendError> {
        let hidden = self.decoder.forward(&mut self.cache, &[token])?;
        Ok(self.decoder.logits(&hidden)?)
    }

    fn embed(&mut self, _tokens: &[u32]) -> Result<Vec<f32>, BackendError> {
        Err(BackendError::WrongTask)
    }
}

/// How the vectors of an input's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pooling {
    Mean,
    First,
    Last,
}

/// The encoder of an embedding model.
pub(crate) enum Encoder {
    Bert(bert::BertModel),
    XlmRoberta(xlm_roberta::XLMRobertaModel),
    /// A decoder used as an encoder (Qwen3-Embedding): its last hidden states.
    Decoder(Decoder),
}

/// Embeddings with an [`Encoder`].
pub(crate) struct Embedder {
    pub(crate) encoder: Encoder,
    pub(crate) pooling: Pooling,
    pub(crate) normalise: bool,
    pub(crate) max_context: usize,
}

impl Encoder {
    pub(crate) fn bert(config: &bert::Config, weights: VarBuilder<'_>) -> candle_core::Result<Self> {
        bert::BertModel::load(weights, config).map(Self::Bert)
    }

    pub(crate) fn xlm_roberta(
        config: &xlm_roberta::Config,
        weights: VarBuilder<'_>,
    ) -> candle_core::Result<Self> {
        let prefixed = weights.contains_tensor("roberta.embeddings.word_embeddings.weight");
        let weights = if prefixed { weights.pp("roberta") } else { weights };
        xlm_roberta::XLMRobertaModel::new(config, weights).map(Self::XlmRoberta)
    }

    /// `[tokens, hidden]`
    fn hidden(&self, tokens: &[u32]) -> candle_core::Result<Tensor> {
        let ids = || Tensor::new(tokens, &candle_core::Device::Cpu)?.unsqueeze(0);
        match self {
            Self::Bert(model) => model.forward(&ids()?, &ids()?.zeros_like()?, None)?.squeeze(0),
            Self::XlmRoberta(model) => {
                let ids = ids()?;
                let (mask, types) = (ids.ones_like()?, ids.zeros_like()?);
                model.forward(&ids, &mask, &types, None, None, None)?.squeeze(0)
            }
            Self::Decoder(decoder) => decoder.forward(&mut decoder.new_cache(), tokens),
        }
    }
}

impl Backend for Embedder {
    fn task(&self) -> Task {
        Task::Embed
    }

    fn max_context(&self) -> usize {
        self.max_context
    }

    fn prefill(&mut self, _tokens: &[u32], _abort: &dyn Fn() -> bool) -> Result<Vec<f32>, BackendError> {
        Err(BackendError::WrongTask)
    }

    fn decode(&mut self, _token: u32) -> Result<Vec<f32>, BackendError> {
        Err(BackendError::WrongTask)
    }

    fn embed(&mut self, tokens: &[u32]) -> Result<Vec<f32>, BackendError> {
        let hidden = self.encoder.hidden(tokens)?;
        let pooled = match self.pooling {
            Pooling::Mean => hidden.mean(0)?,
            Pooling::First => hidden.get(0)?,
            Pooling::Last => hidden.get(hidden.dim(0)?.saturating_sub(1))?,
        };
        let mut vector: Vec<f32> = pooled.to_vec1()?;
        if self.normalise {
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|x| *x /= length);
        }
        Ok(vector)
    }
}

/// A model of the tests' own making: says a fixed text, or counts, exactly and at once.
#[cfg(test)]
pub(crate) mod scripted {
    use super::{Backend, BackendError, Task};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Answers every prompt with `script`, over and over; counts its steps. `gate` can hold it before each step.
    pub(crate) struct Scripted {
        pub(crate) script: Vec<u32>,
        pub(crate) vocabulary: usize,
        pub(crate) max_context: usize,
        pub(crate) steps: Arc<AtomicUsize>,
        pub(crate) gate: Option<std::sync::mpsc::Receiver<()>>,
        pub(crate) at: usize,
    }

    impl Scripted {
        fn next(&mut self) -> Vec<f32> {
            if let Some(gate) = &self.gate {
                // A closed gate is an open one: the test has seen what it wanted.
                let _ = gate.recv();
            }
            self.steps.fetch_add(1, Ordering::SeqCst);
            let mut logits = vec![0.0; self.vocabulary];
            logits[self.script[self.at % self.script.len()] as usize] = 100.0;
            self.at += 1;
            logits
        }
    }

    impl Backend for Scripted {
        fn task(&self) -> Task {
            Task::Generate
        }

        fn max_context(&self) -> usize {
            self.max_context
        }

        fn prefill(&mut self, _tokens: &[u32], abort: &dyn Fn() -> bool) -> Result<Vec<f32>, BackendError> {
            if abort() {
                return Err(BackendError::Aborted);
            }
            self.at = 0;
            Ok(self.next())
        }

        fn decode(&mut self, _token: u32) -> Result<Vec<f32>, BackendError> {
            Ok(self.next())
        }

        fn embed(&mut self, _tokens: &[u32]) -> Result<Vec<f32>, BackendError> {
            Err(BackendError::WrongTask)
        }
    }
}

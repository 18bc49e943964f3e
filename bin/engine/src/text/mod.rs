//! Text in, tokens out, and back: tokenizer, chat template, incremental decoding, stop strings. No model, no HTTP.

pub(crate) mod detokenize;
pub(crate) mod stop;
pub(crate) mod template;
pub(crate) mod tokenizer;

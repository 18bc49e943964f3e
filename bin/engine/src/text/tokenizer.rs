//! The tokenizer of a model: `tokenizer.json`, or rebuilt from GGUF metadata where that is a byte-level BPE.

use candle_core::quantized::gguf_file::Value;
use serde_json::json;
use std::collections::HashMap;
use tokenizers::{Tokenizer, models::ModelWrapper};

use crate::error::LoadError;
use crate::model::shape::Metadata;

/// From the bytes of a `tokenizer.json`. Cutting and padding that the file asks for are switched off: too long is an
/// error here, never a silent cut.
pub(crate) fn from_json(bytes: &[u8]) -> Result<Tokenizer, LoadError> {
    let failed = |error: tokenizers::Error| LoadError::Tokenizer { detail: error.to_string() };
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(failed)?;
    tokenizer.with_truncation(None).map_err(failed)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The longest text, in bytes, that one token can stand for. `None` where there is no such length: models that make one
/// token of any unknown word, or skip what they do not know.
pub(crate) fn longest_token(tokenizer: &Tokenizer) -> Option<usize> {
    let ModelWrapper::BPE(model) = tokenizer.get_model() else { return None };
    if model.unk_token.is_some() && model.fuse_unk && !model.byte_fallback {
        return None;
    }
    // As written in the vocabulary, a token is never shorter than what it stands for.
    tokenizer.get_vocab(true).keys().map(String::len).max().filter(|longest| *longest > 0)
}

/// GGUF token types (`tokenizer.ggml.token_type`).
const CONTROL: usize = 3;
const USER_DEFINED: usize = 4;

/// From `tokenizer.ggml.*`.
pub(crate) fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Tokenizer, LoadError> {
    let meta = Metadata(metadata);
    let failed = |detail: String| LoadError::Tokenizer { detail };
    let model = meta.text("tokenizer.ggml.model").unwrap_or("none");
    if model != "gpt2" {
        return Err(failed(format!(
            "the GGUF file holds one of the kind `{model}`; only byte-level BPE (`gpt2`) can be rebuilt. \
             Put the model's tokenizer.json beside the file"
        )));
    }
    let texts = |key: &str| -> Result<Vec<&str>, LoadError> {
        let list = meta.list(key).ok_or_else(|| LoadError::Metadata { key: key.to_owned() })?;
        Ok(list.iter().filter_map(|value| value.to_string().ok().map(String::as_str)).collect())
    };
    let tokens = texts("tokenizer.ggml.tokens")?;
    let merges = texts("tokenizer.ggml.merges")?;
    let kinds = meta.list("tokenizer.ggml.token_type").unwrap_or_default();
    let added: Vec<serde_json::Value> = (0..)
        .zip(tokens.iter().zip(kinds))
        .filter_map(|(id, (token, kind)): (u32, _)| {
            let kind = kind.to_i32().ok().and_then(|kind| usize::try_from(kind).ok())?;
            matches!(kind, CONTROL | USER_DEFINED).then(|| {
                json!({"id": id, "content": token, "special": kind == CONTROL, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false})
            })
        })
        .collect();
    let vocabulary: HashMap<&str, u32> = tokens.iter().copied().zip(0..).collect();
    let pre = meta.text("tokenizer.ggml.pre").unwrap_or("default");
    let document = json!({
        "version": "1.0",
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer(pre)?,
        "post_processor": bos_processor(&meta, &tokens),
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges, "ignore_merges": pre == "llama-bpe"},
    });
    from_json(document.to_string().as_bytes())
}

/// How text is cut before merging, by llama.cpp's name for it. A wrong guess would quietly spoil every answer.
fn pre_tokenizer(name: &str) -> Result<serde_json::Value, LoadError> {
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
    let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let first = match name {
        "default" | "gpt-2" | "gpt2" => return Ok(bytes(true)),
        "llama-bpe" | "llama3" | "llama-v3" => split(LLAMA3),
        "qwen2" | "deepseek-r1-qwen" => split(QWEN2),
        "smollm" | "starcoder" | "refact" | "command-r" => {
            let digits = json!({"type": "Digits", "individual_digits": true});
            return Ok(json!({"type": "Sequence", "pretokenizers": [digits, bytes(true)]}));
        }
        other => {
            let detail = format!(
                "the GGUF file cuts text by the unknown rule `{other}`. Put the model's tokenizer.json beside it"
            );
            return Err(LoadError::Tokenizer { detail });
        }
    };
    Ok(json!({"type": "Sequence", "pretokenizers": [first, bytes(false)]}))
}

/// The start token before a plain prompt, where the model wants one. (Chat templates write their own.)
fn bos_processor(meta: &Metadata<'_>, tokens: &[&str]) -> serde_json::Value {
    let id = meta.number("tokenizer.ggml.bos_token_id");
    match id.and_then(|id| tokens.get(id).map(|token| (id, token))) {
        Some((id, token)) if meta.flag("tokenizer.ggml.add_bos_token") == Some(true) => json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {*token: {"id": token, "ids": [id], "tokens": [token]}},
        }),
        _ => serde_json::Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::byte_alphabet;

    fn metadata(model: &str, pre: &str) -> HashMap<String, Value> {
        let text = |text: &str| Value::String(text.to_owned());
        let mut tokens: Vec<Value> = byte_alphabet().into_iter().map(Value::String).collect();
        tokens.extend(["he", "ll", "hell", "<|end|>"].map(text));
        let mut kinds = vec![Value::I32(1); tokens.len()];
        *kinds.last_mut().unwrap() = Value::I32(CONTROL as i32);
        HashMap::from([
            ("tokenizer.ggml.model".to_owned(), text(model)),
            ("tokenizer.ggml.pre".to_owned(), text(pre)),
            ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens)),
            ("tokenizer.ggml.token_type".to_owned(), Value::Array(kinds)),
            ("tokenizer.ggml.merges".to_owned(), Value::Array(["h e", "l l", "he ll"].map(text).to_vec())),
            ("tokenizer.ggml.bos_token_id".to_owned(), Value::U32(259)),
            ("tokenizer.ggml.add_bos_token".to_owned(), Value::Bool(true)),
        ])
    }

    #[test]
    fn a_gguf_vocabulary_merges_and_returns() {
        for pre in ["default", "llama-bpe", "qwen2", "smollm"] {
            let tokenizer = from_gguf(&metadata("gpt2", pre)).unwrap();
            let encoding = tokenizer.encode("hello<|end|>é 12", true).unwrap();
            assert_eq!(encoding.get_ids()[..4], [259, 258, u32::from(b'o'), 259], "{pre}");
            assert_eq!(tokenizer.decode(encoding.get_ids(), true).unwrap(), "helloé 12", "{pre}");
        }
    }

    #[test]
    fn other_kinds_are_refused_with_the_way_out() {
        for (model, pre, word) in [("llama", "default", "`llama`"), ("gpt2", "tekken", "`tekken`")] {
            let Err(LoadError::Tokenizer { detail }) = from_gguf(&metadata(model, pre)) else {
                panic!("{model}/{pre} must be refused");
            };
            assert!(detail.contains(word) && detail.contains("tokenizer.json"), "{detail}");
        }
    }
}

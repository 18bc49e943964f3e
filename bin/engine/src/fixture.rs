//! Tiny models with random weights and a tokenizer whose tokens are bytes, made anew by each test.

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;
use tokenizers::Tokenizer;

pub(crate) const HIDDEN: usize = 64;
pub(crate) const INNER: usize = 96;
pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 4;
pub(crate) const KV_HEADS: usize = 2;
pub(crate) const CONTEXT: usize = 512;
pub(crate) const VOCABULARY: usize = 258;
/// `<|im_end|>`
pub(crate) const END: u32 = 257;

/// The family decides names, head size and extra tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Llama,
    Qwen3,
}

impl Family {
    pub(crate) fn head_dim(self) -> usize {
        match self {
            Self::Llama => HIDDEN / HEADS,
            Self::Qwen3 => 32,
        }
    }

    pub(crate) fn config(self) -> serde_json::Value {
        let name = match self {
            Self::Llama => "llama",
            Self::Qwen3 => "qwen3",
        };
        json!({
            "model_type": name, "hidden_size": HIDDEN, "intermediate_size": INNER, "vocab_size": VOCABULARY,
            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
            "head_dim": self.head_dim(), "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "max_position_embeddings": CONTEXT, "tie_word_embeddings": false, "attention_bias": false,
            "sliding_window": null, "max_window_layers": LAYERS, "use_sliding_window": false, "eos_token_id": END,
        })
    }
}

pub(crate) fn random(rng: &mut StdRng, shape: &[usize], around: f32) -> Tensor {
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| around + rng.random_range(-0.3f32..0.3)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The same weights every time, under their transformers names.
pub(crate) fn weights(family: Family) -> HashMap<String, Tensor> {
    let rng = &mut StdRng::seed_from_u64(42);
    let (queries, keys) = (HEADS * family.head_dim(), KV_HEADS * family.head_dim());
    let mut all = Vec::new();
    let mut add = |name: String, shape: &[usize], around: f32| all.push((name, random(rng, shape, around)));
    add("model.embed_tokens.weight".into(), &[VOCABULARY, HIDDEN], 0.0);
    for layer in 0..LAYERS {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        add(name("input_layernorm"), &[HIDDEN], 1.0);
        add(name("post_attention_layernorm"), &[HIDDEN], 1.0);
        add(name("self_attn.q_proj"), &[queries, HIDDEN], 0.0);
        add(name("self_attn.k_proj"), &[keys, HIDDEN], 0.0);
        add(name("self_attn.v_proj"), &[keys, HIDDEN], 0.0);
        add(name("self_attn.o_proj"), &[HIDDEN, queries], 0.0);
        add(name("mlp.gate_proj"), &[INNER, HIDDEN], 0.0);
        add(name("mlp.up_proj"), &[INNER, HIDDEN], 0.0);
        add(name("mlp.down_proj"), &[HIDDEN, INNER], 0.0);
        if family == Family::Qwen3 {
            add(name("self_attn.q_norm"), &[family.head_dim()], 1.0);
            add(name("self_attn.k_norm"), &[family.head_dim()], 1.0);
        }
    }
    add("model.norm.weight".into(), &[HIDDEN], 1.0);
    add("lm_head.weight".into(), &[VOCABULARY, HIDDEN], 0.0);
    all.into_iter().collect()
}

fn write_json(path: &Path, value: &serde_json::Value) {
    std::fs::write(path, value.to_string()).unwrap();
}

/// A model directory as the hub has them; in two shards if asked.
pub(crate) fn write_directory(directory: &Path, family: Family, shards: bool) {
    write_json(&directory.join("config.json"), &family.config());
    std::fs::write(directory.join("tokenizer.json"), byte_tokenizer().to_string(false).unwrap()).unwrap();
    write_json(&directory.join("tokenizer_config.json"), &json!({"eos_token": {"content": "<|im_end|>"}}));
    let weights = weights(family);
    if !shards {
        candle_core::safetensors::save(&weights, directory.join("model.safetensors")).unwrap();
        return;
    }
    let mut map = serde_json::Map::new();
    let (first, second): (HashMap<_, _>, HashMap<_, _>) =
        weights.into_iter().partition(|(name, _)| name.contains("layers.0"));
    for (part, weights) in [(1, first), (2, second)] {
        let file = format!("model-0000{part}-of-00002.safetensors");
        candle_core::safetensors::save(&weights, directory.join(&file)).unwrap();
        map.extend(weights.into_keys().map(|name| (name, json!(file))));
    }
    write_json(&directory.join("model.safetensors.index.json"), &json!({"weight_map": map}));
}

/// What llama.cpp's converter does to the rows of Q and K of the llama family: halves become neighbours.
fn permute(tensor: &Tensor, heads: usize) -> Tensor {
    let (rows, columns) = tensor.dims2().unwrap();
    let halves = tensor.reshape((heads, 2, rows / heads / 2, columns)).unwrap();
    halves.transpose(1, 2).unwrap().contiguous().unwrap().reshape((rows, columns)).unwrap()
}

/// The same weights as a GGUF file, as llama.cpp's converter writes it, with its tokenizer inside.
pub(crate) fn write_gguf(path: &Path, family: Family, dtype: GgmlDType) {
    let weights = weights(family);
    let get = |name: &str| weights[name].clone();
    let mut tensors = Vec::new();
    let mut add = |name: String, tensor: &Tensor| {
        let dtype = if tensor.rank() == 1 { GgmlDType::F32 } else { dtype };
        tensors.push((name, QTensor::quantize(tensor, dtype).unwrap()));
    };
    add("token_embd.weight".into(), &get("model.embed_tokens.weight"));
    add("output_norm.weight".into(), &get("model.norm.weight"));
    add("output.weight".into(), &get("lm_head.weight"));
    for layer in 0..LAYERS {
        let theirs = |part: &str| get(&format!("model.layers.{layer}.{part}.weight"));
        let ours = |part: &str| format!("blk.{layer}.{part}.weight");
        let turned =
            |tensor: Tensor, heads| if family == Family::Llama { permute(&tensor, heads) } else { tensor };
        add(ours("attn_norm"), &theirs("input_layernorm"));
        add(ours("ffn_norm"), &theirs("post_attention_layernorm"));
        add(ours("attn_q"), &turned(theirs("self_attn.q_proj"), HEADS));
        add(ours("attn_k"), &turned(theirs("self_attn.k_proj"), KV_HEADS));
        add(ours("attn_v"), &theirs("self_attn.v_proj"));
        add(ours("attn_output"), &theirs("self_attn.o_proj"));
        add(ours("ffn_gate"), &theirs("mlp.gate_proj"));
        add(ours("ffn_up"), &theirs("mlp.up_proj"));
        add(ours("ffn_down"), &theirs("mlp.down_proj"));
        if family == Family::Qwen3 {
            add(ours("attn_q_norm"), &theirs("self_attn.q_norm"));
            add(ours("attn_k_norm"), &theirs("self_attn.k_norm"));
        }
    }
    let metadata = gguf_metadata(family);
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    gguf_file::write(&mut std::fs::File::create(path).unwrap(), &metadata, &tensors).unwrap();
}

pub(crate) fn gguf_metadata(family: Family) -> Vec<(String, Value)> {
    let name = match family {
        Family::Llama => "llama",
        Family::Qwen3 => "qwen3",
    };
    let number = |value: usize| Value::U32(value.try_into().unwrap());
    let mut tokens: Vec<Value> = byte_alphabet().into_iter().map(Value::String).collect();
    tokens.extend(["<|im_start|>", "<|im_end|>"].map(|token| Value::String(token.to_owned())));
    let kinds = (0..tokens.len()).map(|id| Value::I32(if id < 256 { 1 } else { 3 })).collect();
    let own = [
        ("embedding_length", number(HIDDEN)),
        ("feed_forward_length", number(INNER)),
        ("block_count", number(LAYERS)),
        ("attention.head_count", number(HEADS)),
        ("attention.head_count_kv", number(KV_HEADS)),
        ("attention.key_length", number(family.head_dim())),
        ("rope.dimension_count", number(family.head_dim())),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.freq_base", Value::F32(10_000.0)),
        ("context_length", number(CONTEXT)),
    ];
    let mut all: Vec<(String, Value)> =
        own.into_iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect();
    all.extend([
        ("general.architecture".to_owned(), Value::String(name.to_owned())),
        ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".to_owned())),
        ("tokenizer.ggml.tokens".to_owned(), Value::Array(tokens)),
        ("tokenizer.ggml.token_type".to_owned(), Value::Array(kinds)),
        ("tokenizer.ggml.merges".to_owned(), Value::Array(Vec::new())),
        ("tokenizer.ggml.eos_token_id".to_owned(), Value::U32(END)),
    ]);
    all
}

/// The printable stand-in of each byte, as GPT-2 defined it.
pub(crate) fn byte_alphabet() -> Vec<String> {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut shifted = 256..;
    let stand_in = |byte| if printable(byte) { byte } else { shifted.next().unwrap() };
    (0..256).map(stand_in).map(|code| char::from_u32(code).unwrap().to_string()).collect()
}

/// Token n is the byte n; 256 and 257 are ChatML's marks.
pub(crate) fn byte_tokenizer() -> Tokenizer {
    let metadata: HashMap<String, Value> = gguf_metadata(Family::Llama).into_iter().collect();
    crate::text::tokenizer::from_gguf(&metadata).unwrap()
}

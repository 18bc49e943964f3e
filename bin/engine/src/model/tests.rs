use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{llama, qwen3};
use serde_json::json;

use super::decoder::{Decoder, KvCache};
use super::shape::{RopeScaling, Shape};
use super::weights::{Precision, Safetensors, Weights};
use crate::error::LoadError;
use crate::fixture::{CONTEXT, Family, write_directory, write_gguf};

const F32: Precision = Precision::Dense(DType::F32);
const PROMPT: [u32; 9] = [3, 200, 17, 256, 99, 4, 4, 130, 65];

fn from_directory(family: Family, precision: Precision, config: &serde_json::Value) -> Decoder {
    let directory = tempfile::tempdir().unwrap();
    write_directory(directory.path(), family, false);
    let file = std::fs::File::open(directory.path().join("model.safetensors")).unwrap();
    let mut weights = Weights::Safetensors(vec![Safetensors::open(Box::new(file)).unwrap()]);
    let shape = Shape::from_config(config.to_string().as_bytes()).unwrap();
    Decoder::load(shape, &mut weights, precision, CONTEXT, &mut |_, _| {}).unwrap()
}

fn from_gguf(family: Family, stored: GgmlDType, precision: Precision) -> Decoder {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.gguf");
    write_gguf(&path, family, stored);
    let mut file = std::fs::File::open(path).unwrap();
    let content = candle_core::quantized::gguf_file::Content::read(&mut file).unwrap();
    let shape = Shape::from_gguf(&content.metadata).unwrap();
    let mut weights = Weights::Gguf { content, file: Box::new(file) };
    Decoder::load(shape, &mut weights, precision, CONTEXT, &mut |_, _| {}).unwrap()
}

/// Logits after the prompt and after each of three further tokens.
fn our_logits(decoder: &Decoder) -> Vec<Vec<f32>> {
    let mut cache = decoder.new_cache();
    let mut step = |tokens: &[u32]| {
        let hidden = decoder.forward(&mut cache, tokens).unwrap();
        decoder.logits(&hidden).unwrap()
    };
    vec![step(&PROMPT), step(&[7]), step(&[250]), step(&[31])]
}

fn oracle_logits(mut step: impl FnMut(&Tensor, usize) -> Tensor) -> Vec<Vec<f32>> {
    let input = |tokens: &[u32]| Tensor::new(tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let mut logits = |tokens: &[u32], at: usize| -> Vec<f32> {
        step(&input(tokens), at).flatten_all().unwrap().to_vec1().unwrap()
    };
    vec![logits(&PROMPT, 0), logits(&[7], 9), logits(&[250], 10), logits(&[31], 11)]
}

fn assert_close(ours: &[Vec<f32>], theirs: &[Vec<f32>], tolerance: f32) {
    for (step, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len());
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < tolerance, "step {step}: off by {worst}");
    }
}

fn greedy(decoder: &Decoder, count: usize) -> Vec<u32> {
    let mut cache = decoder.new_cache();
    let mut next = PROMPT.to_vec();
    let mut produced = Vec::new();
    for _ in 0..count {
        let hidden = decoder.forward(&mut cache, &next).unwrap();
        let logits = decoder.logits(&hidden).unwrap();
        let best = (0u32..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        produced.push(best);
        next = vec![best];
    }
    produced
}

#[test]
fn llama_agrees_with_candles_own() {
    for scaled in [false, true] {
        let mut config = Family::Llama.config();
        if scaled {
            config["rope_scaling"] = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 32});
        }
        let theirs: llama::LlamaConfig = serde_json::from_value(config.clone()).unwrap();
        let theirs = theirs.into_config(false);
        let builder =
            VarBuilder::from_tensors(crate::fixture::weights(Family::Llama), DType::F32, &Device::Cpu);
        let oracle = llama::Llama::load(builder, &theirs).unwrap();
        let mut cache = llama::Cache::new(true, DType::F32, &theirs, &Device::Cpu).unwrap();
        let expected = oracle_logits(|input, at| oracle.forward(input, at, &mut cache).unwrap());
        assert_close(&our_logits(&from_directory(Family::Llama, F32, &config)), &expected, 2e-4);
    }
}

#[test]
fn qwen3_agrees_with_candles_own() {
    let config = Family::Qwen3.config();
    let theirs: qwen3::Config = serde_json::from_value(config.clone()).unwrap();
    let builder = VarBuilder::from_tensors(crate::fixture::weights(Family::Qwen3), DType::F32, &Device::Cpu);
    let mut oracle = qwen3::ModelForCausalLM::new(&theirs, builder).unwrap();
    let expected = oracle_logits(|input, at| oracle.forward(input, at).unwrap());
    assert_close(&our_logits(&from_directory(Family::Qwen3, F32, &config)), &expected, 2e-4);
}

#[test]
fn safetensors_and_gguf_give_the_same_tokens() {
    for family in [Family::Llama, Family::Qwen3] {
        let tensors = from_directory(family, F32, &family.config());
        let gguf = from_gguf(family, GgmlDType::F32, F32);
        assert_close(&our_logits(&gguf), &our_logits(&tensors), 1e-4);
        assert_eq!(greedy(&gguf, 40), greedy(&tensors, 40), "{family:?}");
    }
}

#[test]
fn quantised_weights_stay_close() {
    let exact = our_logits(&from_directory(Family::Llama, F32, &Family::Llama.config()));
    let q8 = Precision::Quantised(GgmlDType::Q8_0);
    let at_load = our_logits(&from_directory(Family::Llama, q8, &Family::Llama.config()));
    let in_file = our_logits(&from_gguf(Family::Llama, GgmlDType::Q8_0, q8));
    let slow_format = our_logits(&from_gguf(Family::Llama, GgmlDType::BF16, q8));
    for quantised in [at_load, in_file, slow_format] {
        for (quantised, exact) in quantised.iter().zip(&exact) {
            assert!(cosine(quantised, exact) > 0.999, "cosine {}", cosine(quantised, exact));
        }
    }
    // Not a multiple of 256 wide: Q4_K falls back to Q8_0 instead of failing.
    let narrow = from_directory(Family::Llama, Precision::Quantised(GgmlDType::Q4K), &Family::Llama.config());
    assert!(cosine(&our_logits(&narrow)[0], &exact[0]) > 0.999);
    let half = from_directory(Family::Llama, Precision::Dense(DType::F16), &Family::Llama.config());
    assert!(cosine(&our_logits(&half)[0], &exact[0]) > 0.999);
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn a_prompt_in_pieces_is_the_same_prompt() {
    let decoder = from_directory(Family::Qwen3, F32, &Family::Qwen3.config());
    let last = |cache: &mut KvCache, pieces: &[&[u32]]| {
        let hidden = pieces.iter().map(|piece| decoder.forward(cache, piece).unwrap()).last().unwrap();
        decoder.logits(&hidden).unwrap()
    };
    let mut cache = decoder.new_cache();
    let whole = last(&mut cache, &[&PROMPT]);
    cache.clear();
    let pieces = last(&mut cache, &[&PROMPT[..4], &PROMPT[4..5], &PROMPT[5..]]);
    assert_close(&[pieces], &[whole], 1e-4);
}

#[test]
fn shapes_that_cannot_be_computed_are_refused() {
    let with = |member: &str, value: serde_json::Value| {
        let mut config = Family::Qwen3.config();
        config[member] = value;
        Shape::from_config(config.to_string().as_bytes())
    };
    assert!(
        matches!(with("model_type", json!("mamba")), Err(LoadError::Architecture { name }) if name == "mamba")
    );
    for (member, value) in [
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0})),
        ("hidden_act", json!("gelu")),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
    ] {
        assert!(matches!(with(member, value), Err(LoadError::Unsupported { .. })), "{member}");
    }
    let linear = with("rope_scaling", json!({"type": "linear", "factor": 2.0})).unwrap();
    assert_eq!(linear.rope_scaling, RopeScaling::Linear { factor: 2.0 });
    assert!(matches!(with("hidden_size", json!("x")), Err(LoadError::Json { .. })));
}

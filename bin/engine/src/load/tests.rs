use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};
use candle_nn::{VarBuilder, VarMap};
use candle_transformers::models::bert;
use serde_json::json;
use std::path::Path;

use super::*;
use crate::fixture::{CONTEXT, END, Family, byte_tokenizer, write_directory, write_gguf};
use crate::source::demo;

const OPTIONS: Options = Options { precision: Precision::Dense(DType::F32), max_context: None };

fn load_path(path: &Path) -> Result<Loaded, LoadError> {
    load(&Bundle::at_path(path)?, OPTIONS)
}

fn greedy(loaded: &mut Loaded, prompt: &str, count: usize) -> Vec<u32> {
    let prompt = loaded.tokenizer.encode(prompt, false).unwrap();
    let mut logits = loaded.backend.prefill(prompt.get_ids(), &|| false).unwrap();
    let mut produced = Vec::new();
    for _ in 0..count {
        let best = (0u32..).zip(&logits).max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        produced.push(best);
        logits = loaded.backend.decode(best).unwrap();
    }
    produced
}

#[test]
fn one_file_two_shards_and_gguf_are_the_same_model() {
    let root = tempfile::tempdir().unwrap();
    let (one, two, gguf) = (root.path().join("one"), root.path().join("two"), root.path().join("it.gguf"));
    for (path, shards) in [(&one, false), (&two, true)] {
        std::fs::create_dir(path).unwrap();
        write_directory(path, Family::Llama, shards);
    }
    write_gguf(&gguf, Family::Llama, GgmlDType::F32);
    let mut outputs = Vec::new();
    for path in [&one, &two, &gguf] {
        let mut loaded = load_path(path).unwrap();
        assert_eq!(loaded.end_tokens, [END]);
        assert_eq!(loaded.backend.max_context(), CONTEXT);
        let first = greedy(&mut loaded, "Hello", 24);
        // A new sequence starts from nothing.
        assert_eq!(greedy(&mut loaded, "Hello", 24), first);
        outputs.push(first);
    }
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
}

#[test]
fn an_aborted_prompt_stops() {
    let directory = tempfile::tempdir().unwrap();
    write_directory(directory.path(), Family::Llama, false);
    let mut loaded = load_path(directory.path()).unwrap();
    let error = loaded.backend.prefill(&[1, 2], &|| true).unwrap_err();
    assert!(matches!(error, crate::backend::BackendError::Aborted));
}

#[test]
fn broken_models_name_what_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let fails = |expected: &str| {
        let Err(error) = load_path(path) else { panic!("{expected}: must not load") };
        assert!(format!("{error:?}").contains(expected), "{error:?}");
    };
    write_directory(path, Family::Llama, false);
    let weights = path.join("model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 1]).unwrap();
    fails("Safetensors");
    std::fs::write(&weights, u64::MAX.to_le_bytes()).unwrap();
    fails("Safetensors");

    let mut tensors = crate::fixture::weights(Family::Llama);
    tensors.remove("model.layers.1.mlp.up_proj.weight");
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    fails("MissingTensor { name: \"blk.1.ffn_up.weight\" }");

    std::fs::write(&weights, &whole).unwrap();
    let mut config = Family::Llama.config();
    config["intermediate_size"] = json!(64);
    std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    fails("TensorShape");

    std::fs::remove_file(path.join("tokenizer.json")).unwrap();
    fails("MissingFile { file: \"tokenizer.json\" }");
}

#[test]
fn more_context_than_the_model_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    write_directory(directory.path(), Family::Llama, false);
    let bundle = Bundle::at_path(directory.path()).unwrap();
    let with = |max_context| load(&bundle, Options { max_context, ..OPTIONS });
    assert_eq!(with(Some(64)).unwrap().backend.max_context(), 64);
    assert!(matches!(with(Some(CONTEXT + 1)), Err(LoadError::Context { asked: 513, limit: 512 })));
}

fn write_bert(path: &Path, pooling: &str) -> bert::BertModel {
    let config = json!({
        "model_type": "bert", "vocab_size": 258, "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "intermediate_size": 48, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 64, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    });
    std::fs::write(path.join("config.json"), config.to_string()).unwrap();
    std::fs::write(path.join("tokenizer.json"), byte_tokenizer().to_string(false).unwrap()).unwrap();
    std::fs::create_dir_all(path.join("1_Pooling")).unwrap();
    std::fs::write(path.join("1_Pooling/config.json"), json!({pooling: true}).to_string()).unwrap();
    std::fs::write(path.join("sentence_bert_config.json"), r#"{"max_seq_length": 48}"#).unwrap();
    let map = VarMap::new();
    let builder = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let config: bert::Config = serde_json::from_value(config).unwrap();
    let model = bert::BertModel::load(builder, &config).unwrap();
    map.save(path.join("model.safetensors")).unwrap();
    model
}

#[test]
fn embeddings_pool_as_the_model_says() {
    for (mode, mean) in [("pooling_mode_mean_tokens", true), ("pooling_mode_cls_token", false)] {
        let directory = tempfile::tempdir().unwrap();
        let model = write_bert(directory.path(), mode);
        let mut loaded = load_path(directory.path()).unwrap();
        assert_eq!(loaded.backend.max_context(), 48);
        let tokens: Vec<u32> = b"attested".iter().map(|byte| u32::from(*byte)).collect();
        let vector = loaded.backend.embed(&tokens).unwrap();
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");

        let ids = candle_core::Tensor::new(tokens.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let hidden = model.forward(&ids, &ids.zeros_like().unwrap(), None).unwrap().squeeze(0).unwrap();
        let pooled = if mean { hidden.mean(0).unwrap() } else { hidden.get(0).unwrap() };
        let pooled: Vec<f32> = pooled.to_vec1().unwrap();
        let norm = pooled.iter().map(|x| x * x).sum::<f32>().sqrt();
        for (ours, theirs) in vector.iter().zip(pooled.iter().map(|x| x / norm)) {
            assert!((ours - theirs).abs() < 1e-5);
        }
    }
}

#[test]
fn the_demonstration_model_loads_and_writes_words() {
    let mut loaded =
        load(&demo::bundle(), Options { precision: Precision::Quantised(GgmlDType::Q8_0), ..OPTIONS })
            .unwrap();
    assert_eq!(loaded.name, demo::SERVED_NAME);
    assert!(!loaded.end_tokens.is_empty());
    let tokens = greedy(&mut loaded, "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n", 16);
    let text = loaded.tokenizer.decode(&tokens, true).unwrap();
    assert!(text.chars().filter(char::is_ascii_alphabetic).count() > 4, "{text}");
}

//! From a model's files to something that can be served: which kind it is, its weights, its text side.
//! Blocking and slow: run it off the async threads. Fetches nothing.

use candle_core::quantized::{GgmlDType, gguf_file};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;
use tokenizers::Tokenizer;

use crate::backend::{Backend, Embedder, Encoder, Generator, Pooling};
use crate::config::{Config, Dtype, Quantize};
use crate::error::LoadError;
use crate::model::decoder::Decoder;
use crate::model::shape::{Metadata, Shape};
use crate::model::weights::{Precision, Safetensors, Weights};
use crate::source::Bundle;
use crate::source::hub::safe_name;
use crate::source::progress::{Progress, Unit};
use crate::text::template::ChatTemplate;
use crate::text::tokenizer;

/// What a served model consists of.
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) template: ChatTemplate,
    /// Tokens that end an answer.
    pub(crate) end_tokens: Vec<u32>,
}

/// How to load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) precision: Precision,
    pub(crate) max_context: Option<usize>,
}

/// Longer contexts cost memory for every request; who wants them says so.
const DEFAULT_CONTEXT: usize = 32_768;

impl Options {
    pub(crate) fn of(config: &Config) -> Self {
        let precision = match (config.quantize, config.dtype) {
            (Quantize::Q8_0, _) => Precision::Quantised(GgmlDType::Q8_0),
            (Quantize::Q4K, _) => Precision::Quantised(GgmlDType::Q4K),
            (Quantize::None, Dtype::F32) => Precision::Dense(DType::F32),
            (Quantize::None, Dtype::F16) => Precision::Dense(DType::F16),
        };
        Self { precision, max_context: config.max_context }
    }

    fn context(&self, limit: usize) -> Result<usize, LoadError> {
        match self.max_context {
            None => Ok(limit.min(DEFAULT_CONTEXT)),
            Some(asked) if asked == 0 || asked > limit => Err(LoadError::Context { asked, limit }),
            Some(asked) => Ok(asked),
        }
    }
}

/// Loads whatever the bundle holds.
pub(crate) fn load(bundle: &Bundle, options: Options) -> Result<Loaded, LoadError> {
    let began = Instant::now();
    let loaded = match &bundle.gguf {
        Some(file) => load_gguf(bundle, file, options),
        None => load_directory(bundle, options),
    }?;
    tracing::info!(
        model = loaded.name,
        task = ?loaded.backend.task(),
        max_context = loaded.backend.max_context(),
        seconds = began.elapsed().as_secs_f64(),
        "model loaded"
    );
    Ok(loaded)
}

fn load_gguf(bundle: &Bundle, file: &str, options: Options) -> Result<Loaded, LoadError> {
    let mut reader = bundle.open(file)?;
    let content = gguf_file::Content::read(&mut reader)?;
    let shape = Shape::from_gguf(&content.metadata)?;
    let tokenizer = match bundle.read("tokenizer.json")? {
        Some(json) => tokenizer::from_json(&json)?,
        None => tokenizer::from_gguf(&content.metadata)?,
    };
    let text =
        TextSide::from_gguf(&content.metadata, &tokenizer).or(TextSide::from_files(bundle, &tokenizer)?);
    let mut weights = Weights::Gguf { content, file: reader };
    let decoder = load_decoder(bundle, shape, &mut weights, options)?;
    finish(bundle, decoder, tokenizer, text)
}

fn load_directory(bundle: &Bundle, options: Options) -> Result<Loaded, LoadError> {
    let missing = |file: &str| LoadError::MissingFile { file: file.to_owned() };
    let config = bundle.read("config.json")?.ok_or_else(|| missing("config.json"))?;
    let tokenizer = bundle.read("tokenizer.json")?.ok_or_else(|| missing("tokenizer.json"))?;
    let tokenizer = tokenizer::from_json(&tokenizer)?;
    let kind: Kind = parse("config.json", &config)?;
    let files = safetensors(bundle)?;
    let text = TextSide::from_files(bundle, &tokenizer)?;
    let sentence = SentenceFiles::read(bundle)?;
    let backend: Box<dyn Backend> = match kind.model_type.as_str() {
        "bert" | "xlm-roberta" => Box::new(load_encoder(&kind, &config, files, &sentence, options)?),
        _ => {
            let shape = Shape::from_config(&config)?;
            let mut weights = Weights::Safetensors(files);
            let (decoder, max_context) = load_decoder(bundle, shape, &mut weights, options)?;
            match sentence.pooling {
                None => return finish(bundle, (decoder, max_context), tokenizer, text),
                Some(pooling) => {
                    let encoder = Encoder::Decoder(decoder);
                    Box::new(Embedder { encoder, pooling, normalise: sentence.normalise, max_context })
                }
            }
        }
    };
    assemble(bundle, backend, tokenizer, text)
}

fn finish(
    bundle: &Bundle,
    (decoder, max_context): (Decoder, usize),
    tokenizer: Tokenizer,
    text: TextSide,
) -> Result<Loaded, LoadError> {
    // The sampler may draw any row of the output; the tokenizer must have been made for the same rows.
    let (rows, known) = (decoder.vocabulary(), tokenizer.get_vocab_size(true));
    if known > rows {
        let detail =
            format!("it knows {known} tokens, but the weights have {rows}: they belong to different models");
        return Err(LoadError::Tokenizer { detail });
    }
    assemble(bundle, Box::new(Generator::new(decoder, max_context)), tokenizer, text)
}

fn assemble(
    bundle: &Bundle,
    backend: Box<dyn Backend>,
    tokenizer: Tokenizer,
    text: TextSide,
) -> Result<Loaded, LoadError> {
    let TextSide { template, bos, eos, end_tokens } = text;
    let template = ChatTemplate::new(template, bos.unwrap_or_default(), eos.unwrap_or_default())?;
    let end_tokens = end_tokens.into_iter().collect();
    Ok(Loaded { name: bundle.name.clone(), backend, tokenizer, template, end_tokens })
}

fn load_decoder(
    bundle: &Bundle,
    shape: Shape,
    weights: &mut Weights,
    options: Options,
) -> Result<(Decoder, usize), LoadError> {
    let max_context = options.context(shape.max_positions)?;
    let mut progress =
        Progress::start(format!("loading {}", bundle.name), Unit::Layers, shape.layers as u64 + 1);
    let mut report = |done: usize, _total: usize| progress.at(done as u64);
    let decoder = Decoder::load(shape, weights, options.precision, max_context, &mut report)?;
    Ok((decoder, max_context))
}

fn load_encoder(
    kind: &Kind,
    config: &[u8],
    files: Vec<Safetensors>,
    sentence: &SentenceFiles,
    options: Options,
) -> Result<Embedder, LoadError> {
    let weights = VarBuilder::from_tensors(Weights::all_dense(files)?, DType::F32, &Device::Cpu);
    let (encoder, positions) = if kind.model_type == "bert" {
        let config = parse("config.json", config)?;
        (Encoder::bert(&config, weights)?, config.max_position_embeddings)
    } else {
        let config: candle_transformers::models::xlm_roberta::Config = parse("config.json", config)?;
        // Its positions start after the padding index.
        let positions = config.max_position_embeddings.saturating_sub(config.pad_token_id as usize + 1);
        (Encoder::xlm_roberta(&config, weights)?, positions)
    };
    let limit = sentence.max_length.map_or(positions, |length| length.min(positions));
    Ok(Embedder {
        encoder,
        pooling: sentence.pooling.unwrap_or(Pooling::Mean),
        normalise: sentence.normalise,
        max_context: options.context(limit)?,
    })
}

#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

fn safetensors(bundle: &Bundle) -> Result<Vec<Safetensors>, LoadError> {
    let index = "model.safetensors.index.json";
    let names = match bundle.read(index)? {
        None => BTreeSet::from(["model.safetensors".to_owned()]),
        Some(json) => parse::<ShardIndex>(index, &json)?.weight_map.into_values().collect(),
    };
    let open = |name: String| {
        if !safe_name(&name) {
            return Err(LoadError::MissingFile { file: name });
        }
        Safetensors::open(bundle.open(&name)?)
    };
    names.into_iter().map(open).collect()
}

fn parse<'a, T: Deserialize<'a>>(file: &str, json: &'a [u8]) -> Result<T, LoadError> {
    serde_json::from_slice(json).map_err(|source| LoadError::Json { file: file.to_owned(), source })
}

fn parse_optional<T: for<'a> Deserialize<'a> + Default>(bundle: &Bundle, file: &str) -> Result<T, LoadError> {
    bundle.read(file)?.map_or_else(|| Ok(T::default()), |json| parse(file, &json))
}

/// What sentence-transformers says about a model.
#[derive(Default)]
struct SentenceFiles {
    pooling: Option<Pooling>,
    normalise: bool,
    max_length: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PoolingFile {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize)]
struct Module {
    r#type: String,
}

#[derive(Deserialize, Default)]
struct SentenceFile {
    max_seq_length: Option<usize>,
}

impl SentenceFiles {
    fn read(bundle: &Bundle) -> Result<Self, LoadError> {
        let file = "1_Pooling/config.json";
        let pooling = match bundle.read(file)? {
            None => None,
            Some(json) => {
                let modes: PoolingFile = parse(file, &json)?;
                let set = [
                    (modes.pooling_mode_mean_tokens, Pooling::Mean),
                    (modes.pooling_mode_cls_token, Pooling::First),
                    (modes.pooling_mode_lasttoken, Pooling::Last),
                ];
                let mut set = set.into_iter().filter(|(on, _)| *on).map(|(_, pooling)| pooling);
                match (set.next(), set.next()) {
                    (Some(pooling), None) => Some(pooling),
                    _ => return Err(LoadError::Unsupported { what: "its way of pooling".to_owned() }),
                }
            }
        };
        let modules: Option<Vec<Module>> =
            bundle.read("modules.json")?.map(|json| parse("modules.json", &json)).transpose()?;
        // Without that file, cosine similarity is what everybody computes: unit length.
        let normalise =
            modules.is_none_or(|modules| modules.iter().any(|module| module.r#type.ends_with("Normalize")));
        let sentence: SentenceFile = parse_optional(bundle, "sentence_bert_config.json")?;
        Ok(Self { pooling, normalise, max_length: sentence.max_seq_length })
    }
}

/// Template and special tokens, as far as they are known.
#[derive(Default)]
struct TextSide {
    template: Option<String>,
    bos: Option<String>,
    eos: Option<String>,
    end_tokens: BTreeSet<u32>,
}

#[derive(Deserialize, Default)]
struct TokenizerConfig {
    chat_template: Option<Templates>,
    bos_token: Option<Token>,
    eos_token: Option<Token>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object { content: String },
}

#[derive(Deserialize, Default)]
struct EndTokens {
    eos_token_id: Option<Ids>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Many(Vec<u32>),
}

impl Token {
    fn text(self) -> String {
        match self {
            Self::Text(content) | Self::Object { content } => content,
        }
    }
}

impl Templates {
    fn default_one(self) -> Option<String> {
        match self {
            Self::One(template) => Some(template),
            Self::Named(named) => {
                named.into_iter().find(|named| named.name == "default").map(|named| named.template)
            }
        }
    }
}

impl TextSide {
    fn from_files(bundle: &Bundle, tokenizer: &Tokenizer) -> Result<Self, LoadError> {
        let config: TokenizerConfig = parse_optional(bundle, "tokenizer_config.json")?;
        let separate: TokenizerConfig = parse_optional(bundle, "chat_template.json")?;
        let jinja = bundle.read("chat_template.jinja")?.and_then(|bytes| String::from_utf8(bytes).ok());
        let inside = config.chat_template.or(separate.chat_template).and_then(Templates::default_one);
        let eos = config.eos_token.map(Token::text);
        let mut end_tokens: BTreeSet<u32> = eos.iter().filter_map(|eos| tokenizer.token_to_id(eos)).collect();
        for file in ["generation_config.json", "config.json"] {
            match parse_optional::<EndTokens>(bundle, file)?.eos_token_id {
                None => {}
                Some(Ids::One(id)) => end_tokens.extend([id]),
                Some(Ids::Many(ids)) => end_tokens.extend(ids),
            }
        }
        Ok(Self { template: jinja.or(inside), bos: config.bos_token.map(Token::text), eos, end_tokens })
    }

    fn from_gguf(
        metadata: &HashMap<String, candle_core::quantized::gguf_file::Value>,
        tokenizer: &Tokenizer,
    ) -> Self {
        let meta = Metadata(metadata);
        let id = |key: &str| meta.number(key).and_then(|id| u32::try_from(id).ok());
        let token = |key: &str| id(key).and_then(|id| tokenizer.id_to_token(id));
        let ids = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"].into_iter().filter_map(id);
        // Converters often name only one end; these close a turn wherever they exist.
        let known = ["<|im_end|>", "<|eot_id|>"].into_iter().filter_map(|end| tokenizer.token_to_id(end));
        Self {
            template: meta.text("tokenizer.chat_template").map(str::to_owned),
            bos: token("tokenizer.ggml.bos_token_id"),
            eos: token("tokenizer.ggml.eos_token_id"),
            end_tokens: ids.chain(known).collect(),
        }
    }

    /// Files beside a GGUF file win over what it carries: somebody put them there.
    fn or(self, files: Self) -> Self {
        Self {
            template: files.template.or(self.template),
            bos: files.bos.or(self.bos),
            eos: files.eos.or(self.eos),
            end_tokens: self.end_tokens.into_iter().chain(files.end_tokens).collect(),
        }
    }
}

#[cfg(test)]
mod tests;

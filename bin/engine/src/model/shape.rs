//! The dimensions of a decoder, read from a `config.json` or from GGUF metadata.
//! Reads no weights. What cannot be computed exactly (sliding windows, unknown rope scalings) is refused here.

use candle_core::quantized::gguf_file::Value;
use serde::Deserialize;
use std::collections::HashMap;

use crate::error::LoadError;

/// How a head's dimensions are paired for rotary position embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RopePairs {
    /// `(i, i + d/2)`: the transformers layout, and GGUF of the Qwen families.
    Halves,
    /// `(2i, 2i + 1)`: GGUF of the llama family, whose converter permutes the rows of Q and K for it.
    Neighbours,
}

/// How rotary frequencies are stretched for long contexts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RopeScaling {
    None,
    Linear { factor: f32 },
    Llama3 { factor: f32, low: f32, high: f32, original: f32 },
}

/// Everything about a decoder but its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) norm_epsilon: f32,
    pub(crate) rope_base: f32,
    pub(crate) rope_scaling: RopeScaling,
    pub(crate) rope_pairs: RopePairs,
    pub(crate) max_positions: usize,
}

/// The members of a decoder's `config.json` that matter.
#[derive(Debug, Deserialize)]
struct HfConfig {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<HfRope>,
    rope_parameters: Option<HfRope>,
    max_position_embeddings: usize,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    hidden_act: Option<String>,
}

/// `rope_scaling`, or `rope_parameters` as newer files call it.
#[derive(Debug, Default, Deserialize)]
struct HfRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f32>,
    low_freq_factor: Option<f32>,
    high_freq_factor: Option<f32>,
    original_max_position_embeddings: Option<f32>,
}

impl Shape {
    /// From a transformers `config.json`.
    pub(crate) fn from_config(json: &[u8]) -> Result<Self, LoadError> {
        let config: HfConfig = serde_json::from_slice(json)
            .map_err(|source| LoadError::Json { file: "config.json".to_owned(), source })?;
        if !matches!(config.model_type.as_str(), "llama" | "mistral" | "qwen2" | "qwen3") {
            return Err(LoadError::Architecture { name: config.model_type });
        }
        // Mistral has a window whenever it names one; the Qwen families only when they say so.
        let windowed = config.use_sliding_window.unwrap_or(config.model_type == "mistral");
        if windowed && config.sliding_window.is_some() {
            return Err(LoadError::Unsupported { what: "sliding-window attention".to_owned() });
        }
        if let Some(act) = config.hidden_act.filter(|act| act != "silu") {
            return Err(LoadError::Unsupported { what: format!("the activation `{act}`") });
        }
        let rope = config.rope_parameters.or(config.rope_scaling).unwrap_or_default();
        let heads = config.num_attention_heads;
        Self {
            hidden: config.hidden_size,
            inner: config.intermediate_size,
            layers: config.num_hidden_layers,
            heads,
            kv_heads: config.num_key_value_heads.unwrap_or(heads),
            head_dim: config.head_dim.unwrap_or(config.hidden_size / heads.max(1)),
            norm_epsilon: config.rms_norm_eps as f32,
            rope_base: rope.rope_theta.or(config.rope_theta).unwrap_or(10_000.0) as f32,
            rope_scaling: rope.scaling()?,
            rope_pairs: RopePairs::Halves,
            max_positions: config.max_position_embeddings,
        }
        .checked()
    }

    /// From the metadata of a GGUF file.
    pub(crate) fn from_gguf(metadata: &HashMap<String, Value>) -> Result<Self, LoadError> {
        let meta = Metadata(metadata);
        let family = meta.text("general.architecture").unwrap_or_default();
        if !matches!(family, "llama" | "qwen2" | "qwen3") {
            return Err(LoadError::Architecture { name: family.to_owned() });
        }
        if meta.number(&format!("{family}.expert_count")).is_some_and(|experts| experts > 0) {
            return Err(LoadError::Unsupported { what: "a mixture of experts".to_owned() });
        }
        let key = |name: &str| format!("{family}.{name}");
        let hidden = meta.required(&key("embedding_length"))?;
        let heads = meta.required(&key("attention.head_count"))?;
        let head_dim = meta.number(&key("attention.key_length")).unwrap_or(hidden / heads.max(1));
        if meta.number(&key("rope.dimension_count")).is_some_and(|rotated| rotated != head_dim) {
            return Err(LoadError::Unsupported {
                what: "rotary embedding of a part of each head".to_owned(),
            });
        }
        let scaling = HfRope {
            rope_type: meta.text(&key("rope.scaling.type")).map(str::to_owned),
            factor: meta.real(&key("rope.scaling.factor")),
            ..HfRope::default()
        };
        let pairs = if family == "llama" { RopePairs::Neighbours } else { RopePairs::Halves };
        Self {
            hidden,
            inner: meta.required(&key("feed_forward_length"))?,
            layers: meta.required(&key("block_count"))?,
            heads,
            kv_heads: meta.number(&key("attention.head_count_kv")).unwrap_or(heads),
            head_dim,
            norm_epsilon: meta.real(&key("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5),
            rope_base: meta.real(&key("rope.freq_base")).unwrap_or(10_000.0),
            rope_scaling: scaling.scaling()?,
            rope_pairs: pairs,
            max_positions: meta.required(&key("context_length"))?,
        }
        .checked()
    }

    /// The inverse frequency of each pair of dimensions.
    pub(crate) fn inverse_frequencies(&self) -> Vec<f32> {
        let dim = self.head_dim as f32;
        let plain = (0..self.head_dim).step_by(2).map(|i| 1.0 / self.rope_base.powf(i as f32 / dim));
        plain.map(|frequency| self.rope_scaling.apply(frequency)).collect()
    }

    /// A file may say anything; later code divides by these.
    fn checked(self) -> Result<Self, LoadError> {
        let Self { hidden, inner, layers, heads, kv_heads, head_dim, max_positions, .. } = self;
        let positive = [hidden, inner, layers, heads, kv_heads, head_dim, max_positions];
        if positive.contains(&0) || head_dim % 2 != 0 || !heads.is_multiple_of(kv_heads) {
            return Err(LoadError::Unsupported {
                what: "its dimensions (zero, odd or not divisible)".to_owned(),
            });
        }
        Ok(self)
    }
}

impl RopeScaling {
    fn apply(&self, frequency: f32) -> f32 {
        match *self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor,
            Self::Llama3 { factor, low, high, original } => {
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength < original / high {
                    frequency
                } else if wavelength > original / low {
                    frequency / factor
                } else {
                    let smooth = (original / wavelength - low) / (high - low);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        }
    }
}

impl HfRope {
    fn scaling(&self) -> Result<RopeScaling, LoadError> {
        let missing = || LoadError::Unsupported { what: "a rope scaling without its parameters".to_owned() };
        match self.rope_type.as_deref() {
            None | Some("default" | "none") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear { factor: self.factor.ok_or_else(missing)? }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: self.factor.ok_or_else(missing)?,
                low: self.low_freq_factor.ok_or_else(missing)?,
                high: self.high_freq_factor.ok_or_else(missing)?,
                original: self.original_max_position_embeddings.ok_or_else(missing)?,
            }),
            Some(other) => Err(LoadError::Unsupported { what: format!("the rope scaling `{other}`") }),
        }
    }
}

/// Typed reads of GGUF metadata; integers come in every width.
pub(crate) struct Metadata<'a>(pub(crate) &'a HashMap<String, Value>);

impl<'a> Metadata<'a> {
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        self.0.get(key)?.to_string().ok().map(String::as_str)
    }

    pub(crate) fn number(&self, key: &str) -> Option<usize> {
        match *self.0.get(key)? {
            Value::U8(value) => Some(value.into()),
            Value::U16(value) => Some(value.into()),
            Value::U32(value) => usize::try_from(value).ok(),
            Value::U64(value) => usize::try_from(value).ok(),
            Value::I32(value) => usize::try_from(value).ok(),
            Value::I64(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    pub(crate) fn real(&self, key: &str) -> Option<f32> {
        match *self.0.get(key)? {
            Value::F32(value) => Some(value),
            Value::F64(value) => Some(value as f32),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.0.get(key)?.to_bool().ok()
    }

    pub(crate) fn list(&self, key: &str) -> Option<&'a [Value]> {
        self.0.get(key)?.to_vec().ok().map(Vec::as_slice)
    }

    fn required(&self, key: &str) -> Result<usize, LoadError> {
        self.number(key).ok_or_else(|| LoadError::Metadata { key: key.to_owned() })
    }
}

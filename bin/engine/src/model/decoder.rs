//! The forward pass of the Llama and Qwen families, with an explicit cache per sequence so that weights are shared
//! and read-only. Does no sampling, no text. One implementation for safetensors and GGUF: they differ only in how
//! rotary dimensions are paired ([`RopePairs`]).
//!
//! ```text
//! tokens ─▶ embed ─▶ ┌ norm ─ q,k,v ─ (q,k norm) ─ rope ─ attention over cache ─ o ─⊕ ┐ × layers ─▶ norm ─▶ output
//!                    └ norm ─ silu(gate) · up ─ down ───────────────────────────────⊕ ┘
//! ```

use candle_core::quantized::QMatMul;
use candle_core::{Device, Module, Result, Tensor};
use candle_nn::attention::cpu_flash::causal::causal_decode_f32_interleaved;
use candle_nn::attention::{AttnMask, flash_attn};
use candle_nn::{ops, rotary_emb};

use super::shape::{RopePairs, Shape};
use super::weights::{Linear, Precision, Weights, check_shape};
use crate::error::LoadError;

/// Immutable weights of one decoder.
pub(crate) struct Decoder {
    shape: Shape,
    embedding: QMatMul,
    layers: Vec<Layer>,
    norm: Tensor,
    output: QMatMul,
    cos: Tensor,
    sin: Tensor,
}

struct Layer {
    attention_norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    attention_output: Linear,
    mlp_norm: Tensor,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Keys and values of one sequence: per layer `[position][kv head][key | value]`, the layout of the decode kernel.
pub(crate) struct KvCache {
    layers: Vec<Vec<f32>>,
    positions: usize,
}

impl KvCache {
    /// Forgets the sequence and overwrites it: the next one may be another user's.
    pub(crate) fn clear(&mut self) {
        for layer in &mut self.layers {
            layer.fill(0.0);
            layer.clear();
        }
        self.positions = 0;
    }

    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], head_dim: usize) {
        let layer = &mut self.layers[layer];
        layer.reserve(keys.len() + values.len());
        for (key, value) in keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim)) {
            layer.extend_from_slice(key);
            layer.extend_from_slice(value);
        }
    }
}

impl Decoder {
    /// Reads and converts all weights; `max_context` bounds the rotary table; `progress` gets (done, total) layers.
    pub(crate) fn load(
        shape: Shape,
        weights: &mut Weights,
        precision: Precision,
        max_context: usize,
        progress: &mut dyn FnMut(usize, usize),
    ) -> std::result::Result<Self, LoadError> {
        let steps = shape.layers + 1;
        let embedding = weights.matrix("token_embd.weight", precision)?;
        // Without an output matrix of its own, the model reuses the embedding (tied weights).
        let output = match weights.optional_matrix("output.weight", precision)? {
            Some(output) => output,
            None => embedding.clone(),
        };
        let vocabulary = rows(&embedding);
        check_shape("token_embd.weight", &embedding, (vocabulary, shape.hidden))?;
        check_shape("output.weight", &output, (vocabulary, shape.hidden))?;
        progress(1, steps);
        let mut layers = Vec::with_capacity(shape.layers.min(1024));
        for index in 0..shape.layers {
            layers.push(Layer::load(&shape, weights, precision, index)?);
            progress(index + 2, steps);
        }
        let norm = weights.vector("output_norm.weight")?;
        let (cos, sin) = rotary_table(&shape, weights.optional_vector("rope_freqs.weight")?, max_context)?;
        Ok(Self { shape, embedding, layers, norm, output, cos, sin })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        rows(&self.embedding)
    }

    pub(crate) fn new_cache(&self) -> KvCache {
        KvCache { layers: vec![Vec::new(); self.layers.len()], positions: 0 }
    }

    /// Feeds `tokens` behind what the cache holds; returns the normalised hidden states `[tokens, hidden]`.
    /// After an error the cache is in an unknown state: clear it.
    pub(crate) fn forward(&self, cache: &mut KvCache, tokens: &[u32]) -> Result<Tensor> {
        let ids = Tensor::new(tokens, &Device::Cpu)?;
        let mut state = self.embedding.embedding(&ids)?.to_dtype(candle_core::DType::F32)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = ops::rms_norm(&state, &layer.attention_norm, self.shape.norm_epsilon)?;
            state = (state + self.attention(layer, index, &normed, cache)?)?;
            let normed = ops::rms_norm(&state, &layer.mlp_norm, self.shape.norm_epsilon)?;
            state = (state + layer.mlp(&normed)?)?;
        }
        cache.positions += tokens.len();
        ops::rms_norm(&state, &self.norm, self.shape.norm_epsilon)
    }

    /// The logits after the last of `hidden`'s rows.
    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Vec<f32>> {
        let last = hidden.narrow(0, hidden.dim(0)? - 1, 1)?.contiguous()?;
        self.output.forward(&last)?.flatten_all()?.to_vec1()
    }

    fn attention(&self, layer: &Layer, index: usize, input: &Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let Shape { heads, kv_heads, head_dim, norm_epsilon, .. } = self.shape;
        let (count, offset) = (input.dim(0)?, cache.positions);
        let projected = Linear::forward_all(&[&layer.query, &layer.key, &layer.value], input)?;
        let [query, key, value] = projected.as_slice() else {
            candle_core::bail!("three projections expected")
        };
        let normed = |tensor: &Tensor, heads: usize, norm: &Option<Tensor>| {
            let tensor = tensor.reshape((count, heads, head_dim))?;
            match norm {
                None => Ok(tensor),
                Some(norm) => ops::rms_norm(&tensor.contiguous()?, norm, norm_epsilon),
            }
        };
        let query = self.rotate(&normed(query, heads, &layer.query_norm)?, offset)?;
        let key = self.rotate(&normed(key, kv_heads, &layer.key_norm)?, offset)?;
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        cache.append(index, &flat(&key)?, &flat(value)?, head_dim);

        let held = cache.layers[index].as_slice();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let length = offset + count;
        let mixed = if count == 1 {
            causal_decode_f32_interleaved(&flat(&query)?, held, heads, kv_heads, head_dim, length, scale)?
        } else {
            let held = Tensor::from_slice(held, (1, length, kv_heads, 2 * head_dim), &Device::Cpu)?;
            let keys = held.narrow(3, 0, head_dim)?.contiguous()?;
            let values = held.narrow(3, head_dim, head_dim)?.contiguous()?;
            let mask = AttnMask::causal_with_offset(offset);
            flash_attn::<f32>(&query.unsqueeze(0)?, &keys, &values, scale, mask, None, None)?
                .transpose(1, 2)?
        };
        layer.attention_output.forward(&mixed.reshape((count, heads * head_dim))?)
    }

    /// Rotary position embedding of `[positions, heads, head_dim]`.
    fn rotate(&self, tensor: &Tensor, offset: usize) -> Result<Tensor> {
        let count = tensor.dim(0)?;
        let (cos, sin) = (self.cos.narrow(0, offset, count)?, self.sin.narrow(0, offset, count)?);
        let by_head = tensor.transpose(0, 1)?.unsqueeze(0)?.contiguous()?;
        let rotated = match self.shape.rope_pairs {
            RopePairs::Halves => rotary_emb::rope(&by_head, &cos, &sin)?,
            RopePairs::Neighbours => rotary_emb::rope_i(&by_head, &cos, &sin)?,
        };
        rotated.squeeze(0)?.transpose(0, 1)?.contiguous()
    }
}

impl Layer {
    fn load(
        shape: &Shape,
        weights: &mut Weights,
        precision: Precision,
        index: usize,
    ) -> std::result::Result<Self, LoadError> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let Shape { hidden, inner, heads, kv_heads, head_dim, .. } = *shape;
        let (queries, keys) = (heads * head_dim, kv_heads * head_dim);
        Ok(Self {
            attention_norm: weights.vector(&name("attn_norm.weight"))?,
            query: weights.linear(&name("attn_q"), (queries, hidden), precision)?,
            key: weights.linear(&name("attn_k"), (keys, hidden), precision)?,
            value: weights.linear(&name("attn_v"), (keys, hidden), precision)?,
            query_norm: weights.optional_vector(&name("attn_q_norm.weight"))?,
            key_norm: weights.optional_vector(&name("attn_k_norm.weight"))?,
            attention_output: weights.linear(&name("attn_output"), (hidden, queries), precision)?,
            mlp_norm: weights.vector(&name("ffn_norm.weight"))?,
            gate: weights.linear(&name("ffn_gate"), (inner, hidden), precision)?,
            up: weights.linear(&name("ffn_up"), (inner, hidden), precision)?,
            down: weights.linear(&name("ffn_down"), (hidden, inner), precision)?,
        })
    }

    fn mlp(&self, input: &Tensor) -> Result<Tensor> {
        let projected = Linear::forward_all(&[&self.gate, &self.up], input)?;
        let [gate, up] = projected.as_slice() else { candle_core::bail!("two projections expected") };
        self.down.forward(&(ops::silu(gate)? * up)?)
    }
}

fn rows(matrix: &QMatMul) -> usize {
    let dims = match matrix {
        QMatMul::QTensor(tensor) => tensor.shape().dims(),
        QMatMul::Tensor(tensor) | QMatMul::TensorF16(tensor) => tensor.dims(),
    };
    dims.first().copied().unwrap_or(0)
}

/// Cosines and sines `[positions, head_dim / 2]`; `factors` are GGUF's per-pair divisors for long contexts.
fn rotary_table(shape: &Shape, factors: Option<Tensor>, positions: usize) -> Result<(Tensor, Tensor)> {
    let frequencies = shape.inverse_frequencies();
    let pairs = frequencies.len();
    let mut frequencies = Tensor::from_vec(frequencies, (1, pairs), &Device::Cpu)?;
    if let Some(factors) = factors {
        frequencies = frequencies.div(&factors.reshape((1, pairs))?)?;
    }
    let positions = u32::try_from(positions).map_err(candle_core::Error::wrap)?;
    let angles = Tensor::arange(0, positions, &Device::Cpu)?
        .to_dtype(candle_core::DType::F32)?
        .reshape((positions as usize, 1))?
        .matmul(&frequencies)?;
    Ok((angles.cos()?, angles.sin()?))
}

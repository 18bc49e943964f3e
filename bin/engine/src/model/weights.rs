//! Weights by name, from safetensors (one file or shards) or from GGUF, brought into the form that is fast on a CPU.
//! Knows nothing of the forward pass. Tensor names are GGUF's; safetensors are looked up under their transformers name.
//!
//! Why formats are changed at load: candle's BF16 and Q4_0 kernels are ten to two hundred times slower than Q8_0 and
//! Q4_K on the same machine, so neither is ever served.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor, gguf_file};
use candle_core::{DType, Device, Module, Tensor};
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::error::LoadError;

/// A file of weights: on disk or in memory.
pub(crate) trait WeightFile: Read + Seek + Send {}
impl<T: Read + Seek + Send> WeightFile for T {}

/// What matrices become at load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    /// Quantised to this; formats that are as good or smaller stay as they are.
    Quantised(GgmlDType),
    /// Not quantised: F32, or F16 to halve the memory.
    Dense(DType),
}

/// Where tensors come from.
pub(crate) enum Weights {
    Gguf { content: gguf_file::Content, file: Box<dyn WeightFile> },
    Safetensors(Vec<Safetensors>),
}

/// One safetensors file with its parsed header. Read tensor by tensor: mapping files needs `unsafe`, and a whole
/// file in memory beside its quantised form would double the peak.
pub(crate) struct Safetensors {
    header: safetensors::tensor::Metadata,
    data_start: u64,
    file: Box<dyn WeightFile>,
}

/// A matrix with an optional bias.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: QMatMul,
    bias: Option<Tensor>,
}

enum Raw {
    Quantised(QTensor),
    Dense(Tensor),
}

/// Safetensors headers beyond this are not headers of models.
const MAX_HEADER: u64 = 100 << 20;

impl Safetensors {
    pub(crate) fn open(mut file: Box<dyn WeightFile>) -> Result<Self, LoadError> {
        let io = |source| LoadError::ReadWeights { source };
        let bad = |detail: String| LoadError::Safetensors { detail };
        let total = file.seek(SeekFrom::End(0)).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > total.saturating_sub(8) {
            return Err(bad(format!("its header claims {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let header: safetensors::tensor::Metadata =
            serde_json::from_slice(&header).map_err(|error| bad(error.to_string()))?;
        let data_start = 8 + length;
        // A cut-off download must not surface as an error in the middle of loading.
        if data_start + header.data_len() as u64 != total {
            return Err(bad(format!(
                "{} bytes expected, {total} found",
                data_start + header.data_len() as u64
            )));
        }
        Ok(Self { header, data_start, file })
    }

    fn read(&mut self, name: &str) -> Result<Option<Tensor>, LoadError> {
        let Some(info) = self.header.info(name) else { return Ok(None) };
        let (start, end) = info.data_offsets;
        let dtype = DType::try_from(info.dtype)
            .map_err(|_| LoadError::Unsupported { what: format!("the number format {:?}", info.dtype) })?;
        let shape = info.shape.clone();
        let mut bytes = vec![0; end - start];
        self.file
            .seek(SeekFrom::Start(self.data_start + start as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(|source| LoadError::ReadWeights { source })?;
        Ok(Some(Tensor::from_raw_buffer(&bytes, dtype, &shape, &Device::Cpu)?))
    }
}

impl Weights {
    /// Every tensor as F32 under its own name: what the encoders of candle-transformers take.
    pub(crate) fn all_dense(files: Vec<Safetensors>) -> Result<HashMap<String, Tensor>, LoadError> {
        let mut tensors = HashMap::new();
        for mut file in files {
            for name in file.header.offset_keys() {
                if let Some(tensor) = file.read(&name)? {
                    let tensor =
                        if tensor.dtype().is_float() { tensor.to_dtype(DType::F32)? } else { tensor };
                    tensors.insert(name, tensor);
                }
            }
        }
        Ok(tensors)
    }

    fn read(&mut self, name: &str) -> Result<Option<Raw>, LoadError> {
        match self {
            Self::Gguf { content, file } => {
                if !content.tensor_infos.contains_key(name) {
                    return Ok(None);
                }
                Ok(Some(Raw::Quantised(content.tensor(file, name, &Device::Cpu)?)))
            }
            Self::Safetensors(files) => {
                let name = transformers_name(name);
                for file in files {
                    // Base models (embedders) lack the `model.` prefix.
                    let tensor = match file.read(&name)? {
                        None => file.read(name.trim_start_matches("model."))?,
                        found => found,
                    };
                    if let Some(tensor) = tensor {
                        return Ok(Some(Raw::Dense(tensor)));
                    }
                }
                Ok(None)
            }
        }
    }

    /// A small tensor (norm, bias, frequency factors) as F32, if it is there.
    pub(crate) fn optional_vector(&mut self, name: &str) -> Result<Option<Tensor>, LoadError> {
        Ok(match self.read(name)? {
            None => None,
            Some(Raw::Quantised(tensor)) => Some(tensor.dequantize(&Device::Cpu)?.to_dtype(DType::F32)?),
            Some(Raw::Dense(tensor)) => Some(tensor.to_dtype(DType::F32)?),
        })
    }

    pub(crate) fn vector(&mut self, name: &str) -> Result<Tensor, LoadError> {
        self.optional_vector(name)?.ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })
    }

    /// A matrix `[out, in]` in the asked precision, if it is there.
    pub(crate) fn optional_matrix(
        &mut self,
        name: &str,
        precision: Precision,
    ) -> Result<Option<QMatMul>, LoadError> {
        self.read(name)?.map(|raw| convert(raw, precision)).transpose()
    }

    pub(crate) fn matrix(&mut self, name: &str, precision: Precision) -> Result<QMatMul, LoadError> {
        self.optional_matrix(name, precision)?
            .ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })
    }

    /// `PREFIX.weight` and, where the model has one, `PREFIX.bias`; the shape is checked.
    pub(crate) fn linear(
        &mut self,
        prefix: &str,
        (output, input): (usize, usize),
        precision: Precision,
    ) -> Result<Linear, LoadError> {
        let name = format!("{prefix}.weight");
        let weight = self.matrix(&name, precision)?;
        check_shape(&name, &weight, (output, input))?;
        Ok(Linear { weight, bias: self.optional_vector(&format!("{prefix}.bias"))? })
    }
}

/// A wrong shape is a broken file, and must be said before the first request.
pub(crate) fn check_shape(name: &str, weight: &QMatMul, expected: (usize, usize)) -> Result<(), LoadError> {
    let dims = match weight {
        QMatMul::QTensor(tensor) => tensor.shape().dims().to_vec(),
        QMatMul::Tensor(tensor) | QMatMul::TensorF16(tensor) => tensor.dims().to_vec(),
    };
    if dims != [expected.0, expected.1] {
        return Err(LoadError::TensorShape { name: name.to_owned(), got: dims, expected: expected.into() });
    }
    Ok(())
}

fn convert(raw: Raw, precision: Precision) -> Result<QMatMul, LoadError> {
    use GgmlDType::{Q2K, Q3K, Q4K, Q5K, Q6K, Q8_0};
    let tensor = match (raw, precision) {
        (Raw::Quantised(tensor), Precision::Quantised(_))
            if matches!(tensor.dtype(), Q2K | Q3K | Q4K | Q5K | Q6K | Q8_0) =>
        {
            return Ok(QMatMul::QTensor(Arc::new(tensor)));
        }
        (Raw::Quantised(tensor), _) => tensor.dequantize(&Device::Cpu)?,
        (Raw::Dense(tensor), _) => tensor,
    };
    let tensor = tensor.to_dtype(DType::F32)?.contiguous()?;
    Ok(match precision {
        Precision::Dense(DType::F16) => QMatMul::TensorF16(tensor.to_dtype(DType::F16)?),
        Precision::Dense(_) => QMatMul::Tensor(tensor),
        Precision::Quantised(wanted) => {
            let width = tensor.dims().last().copied().unwrap_or(0);
            // K-quants work on blocks of 256, Q8_0 on 32; narrower models stay dense.
            match [wanted, Q8_0].into_iter().find(|dtype| width.is_multiple_of(dtype.block_size())) {
                Some(dtype) => QMatMul::QTensor(Arc::new(QTensor::quantize(&tensor, dtype)?)),
                None => QMatMul::Tensor(tensor),
            }
        }
    })
}

impl Linear {
    pub(crate) fn forward(&self, input: &Tensor) -> candle_core::Result<Tensor> {
        self.with_bias(self.weight.forward(input)?)
    }

    fn with_bias(&self, output: Tensor) -> candle_core::Result<Tensor> {
        match &self.bias {
            None => Ok(output),
            Some(bias) => output.broadcast_add(bias),
        }
    }

    /// Several matrices on one input row: the fused kernel quantises that row once and starts one parallel region.
    pub(crate) fn forward_all(linears: &[&Self], input: &Tensor) -> candle_core::Result<Vec<Tensor>> {
        if input.dim(0)? == 1 {
            let tensors: Option<Vec<&QTensor>> = linears
                .iter()
                .map(|linear| match &linear.weight {
                    QMatMul::QTensor(tensor) => Some(tensor.as_ref()),
                    QMatMul::Tensor(_) | QMatMul::TensorF16(_) => None,
                })
                .collect();
            if let Some(tensors) = tensors
                && let Some(outputs) = QTensor::gemv_fused_shared_lhs(&tensors, input)?
            {
                return outputs
                    .into_iter()
                    .zip(linears)
                    .map(|(output, linear)| linear.with_bias(output))
                    .collect();
            }
        }
        linears.iter().map(|linear| linear.forward(input)).collect()
    }
}

/// The name transformers gives what GGUF calls `name`.
fn transformers_name(name: &str) -> String {
    const PARTS: [(&str, &str); 11] = [
        ("attn_norm", "input_layernorm"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    match name {
        "token_embd.weight" => return "model.embed_tokens.weight".to_owned(),
        "output_norm.weight" => return "model.norm.weight".to_owned(),
        "output.weight" => return "lm_head.weight".to_owned(),
        _ => {}
    }
    let mut pieces = name.splitn(4, '.');
    if let (Some("blk"), Some(layer), Some(part), Some(kind)) =
        (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        && let Some((_, theirs)) = PARTS.iter().find(|(ours, _)| *ours == part)
    {
        return format!("model.layers.{layer}.{theirs}.{kind}");
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::quantized::GgmlDType::{BF16, Q4_0, Q4K, Q8_0};
    use rand::SeedableRng;

    fn dtype_after(raw: Raw, wanted: GgmlDType) -> GgmlDType {
        match convert(raw, Precision::Quantised(wanted)).unwrap() {
            QMatMul::QTensor(tensor) => tensor.dtype(),
            QMatMul::Tensor(_) | QMatMul::TensorF16(_) => GgmlDType::F32,
        }
    }

    #[test]
    fn slow_formats_are_replaced_and_fast_ones_kept() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let wide = crate::fixture::random(&mut rng, &[64, 256], 0.0);
        let narrow = crate::fixture::random(&mut rng, &[64, 32], 0.0);
        let odd = crate::fixture::random(&mut rng, &[64, 33], 0.0);
        let stored = |dtype| Raw::Quantised(QTensor::quantize(&wide, dtype).unwrap());
        assert_eq!(dtype_after(stored(BF16), Q8_0), Q8_0);
        assert_eq!(dtype_after(stored(Q4_0), Q4K), Q4K);
        assert_eq!(dtype_after(stored(Q4K), Q8_0), Q4K);
        assert_eq!(dtype_after(Raw::Dense(wide.to_dtype(DType::BF16).unwrap()), Q4K), Q4K);
        assert_eq!(dtype_after(Raw::Dense(narrow), Q4K), Q8_0);
        assert_eq!(dtype_after(Raw::Dense(odd), Q4K), GgmlDType::F32);
    }

    #[test]
    fn four_bits_compute_nearly_the_same() {
        let mut rng = rand::rngs::StdRng::seed_from_u64(2);
        let matrix = crate::fixture::random(&mut rng, &[64, 256], 0.0);
        let input = crate::fixture::random(&mut rng, &[3, 256], 0.0);
        let exact = input.matmul(&matrix.t().unwrap()).unwrap();
        let weight = convert(Raw::Dense(matrix), Precision::Quantised(Q4K)).unwrap();
        let linear = Linear { weight, bias: None };
        let error = |ours: &Tensor, exact: &Tensor| -> f32 {
            let sum = |tensor: Tensor| tensor.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            (sum((ours - exact).unwrap()) / sum(exact.clone())).sqrt()
        };
        assert!(error(&linear.forward(&input).unwrap(), &exact) < 0.1);
        // One row takes the fused kernel.
        let (one, exact) = (input.narrow(0, 0, 1).unwrap(), exact.narrow(0, 0, 1).unwrap());
        for output in Linear::forward_all(&[&linear, &linear], &one).unwrap() {
            assert!(error(&output, &exact) < 0.1);
        }
    }
}

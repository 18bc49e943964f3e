"""Writes the files that an engine loads: model.gguf (weights and tokenizer), tokenizer.json, tokenizer_config.json, config.json."""

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import quantize

HERE = Path(__file__).parent
NAME = "Privatemode demonstration model"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_gguf(path, shape, weights, tokenizer):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(NAME)
    writer.add_description("A very small model that answers simple questions about Privatemode")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape["vocab"])
    writer.add_context_length(shape["context"])
    writer.add_embedding_length(shape["dim"])
    writer.add_block_count(shape["layers"])
    writer.add_feed_forward_length(shape["hidden"])
    writer.add_head_count(shape["heads"])
    writer.add_head_count_kv(shape["kv_heads"])
    writer.add_layer_norm_rms_eps(shape["eps"])
    writer.add_rope_dimension_count(shape["dim"] // shape["heads"])
    writer.add_rope_freq_base(shape["rope_base"])

    model = tokenizer["model"]
    special = {t["content"] for t in tokenizer["added_tokens"]}
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in tokens])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_bos_token_id(model["vocab"]["<|endoftext|>"])
    writer.add_eos_token_id(model["vocab"]["<|im_end|>"])
    writer.add_pad_token_id(model["vocab"]["<|endoftext|>"])
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    for name, tensor in weights.items():
        array = tensor.float().numpy()
        # The rows of query and key are already in the interleaved order: see train.py.
        if array.ndim == 2:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, array.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder with checkpoint.pt and tokenizer.json")
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    checkpoint = torch.load(args.run / "checkpoint.pt", weights_only=True)
    shape = checkpoint["shape"]
    text = (args.run / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = json.loads(text)
    args.out.mkdir(parents=True, exist_ok=True)

    write_gguf(args.out / "model.gguf", shape, checkpoint["weights"], tokenizer)
    (args.out / "tokenizer.json").write_text(text, encoding="utf-8")
    vocab = tokenizer["model"]["vocab"]
    write_json(
        args.out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": False,
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": shape["context"],
            "bos_token": None,
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    write_json(
        args.out / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": shape["vocab"],
            "hidden_size": shape["dim"],
            "intermediate_size": shape["hidden"],
            "num_hidden_layers": shape["layers"],
            "num_attention_heads": shape["heads"],
            "num_key_value_heads": shape["kv_heads"],
            "head_dim": shape["dim"] // shape["heads"],
            "hidden_act": "silu",
            "max_position_embeddings": shape["context"],
            "rms_norm_eps": shape["eps"],
            "rope_theta": shape["rope_base"],
            "rope_scaling": None,
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": None,
            "eos_token_id": vocab["<|im_end|>"],
            "pad_token_id": vocab["<|endoftext|>"],
            "torch_dtype": "float32",
        },
    )
    print(f"model.gguf {(args.out / 'model.gguf').stat().st_size} bytes")


if __name__ == "__main__":
    main()

"""Asks the exported model held-out and hand-written questions, and prints how it does.

Shares no code with the training: it reads model.gguf with the gguf package, and the forward pass is plain numpy.
"""

import argparse
import json
import re
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import dequantize
from tokenizers import Tokenizer

HERE = Path(__file__).parent


class Llama:
    """The llama architecture with a key/value cache, one sequence at a time."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda name: reader.fields[f"llama.{name}"].contents()
        assert reader.fields["general.architecture"].contents() == "llama"
        self.w = {t.name: dequantize(t.data, t.tensor_type).astype(np.float32).reshape(tuple(int(n) for n in reversed(t.shape))) for t in reader.tensors}
        self.layers, self.heads, self.kv_heads = field("block_count"), field("attention.head_count"), field("attention.head_count_kv")
        self.dim, self.eps, self.context = field("embedding_length"), field("attention.layer_norm_rms_epsilon"), field("context_length")
        self.head = self.dim // self.heads
        self.rates = field("rope.freq_base") ** (-np.arange(0, self.head, 2, dtype=np.float32) / self.head)
        self.reset()

    def reset(self):
        self.cache = [(np.zeros((0, self.kv_heads, self.head), np.float32),) * 2 for _ in range(self.layers)]

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.w[name]

    def rope(self, x, begin):
        angles = np.outer(np.arange(begin, begin + len(x)), self.rates)[:, None, :]
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return out

    def feed(self, ids):
        """The logits after these tokens, which continue what was fed before."""
        w, length = self.w, len(ids)
        x = w["token_embd.weight"][ids]
        for i in range(self.layers):
            h = self.norm(x, f"blk.{i}.attn_norm.weight")
            begin = len(self.cache[i][0])
            q = self.rope((h @ w[f"blk.{i}.attn_q.weight"].T).reshape(length, self.heads, self.head), begin)
            k = self.rope((h @ w[f"blk.{i}.attn_k.weight"].T).reshape(length, self.kv_heads, self.head), begin)
            v = (h @ w[f"blk.{i}.attn_v.weight"].T).reshape(length, self.kv_heads, self.head)
            k, v = np.concatenate([self.cache[i][0], k]), np.concatenate([self.cache[i][1], v])
            self.cache[i] = (k, v)
            repeat = self.heads // self.kv_heads
            scores = np.einsum("qhd,khd->hqk", q, np.repeat(k, repeat, 1)) / np.sqrt(self.head)
            hidden = np.arange(len(k))[None, :] > np.arange(begin, begin + length)[:, None]
            scores = np.where(hidden[None], -np.inf, scores)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            scores /= scores.sum(-1, keepdims=True)
            mixed = np.einsum("hqk,khd->qhd", scores, np.repeat(v, repeat, 1)).reshape(length, self.dim)
            x = x + mixed @ w[f"blk.{i}.attn_output.weight"].T
            h = self.norm(x, f"blk.{i}.ffn_norm.weight")
            gate = h @ w[f"blk.{i}.ffn_gate.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w[f"blk.{i}.ffn_up.weight"].T)) @ w[f"blk.{i}.ffn_down.weight"].T
        return self.norm(x[-1], "output_norm.weight") @ w["token_embd.weight"].T


class Chat:
    def __init__(self, folder, seed=7):
        self.model = Llama(folder / "model.gguf")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id("<|im_end|>")
        self.rng = np.random.default_rng(seed)

    def answer(self, messages, temperature=0.0, limit=160):
        text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages) + "<|im_start|>assistant\n"
        self.model.reset()
        logits = self.model.feed(self.tokenizer.encode(text).ids)
        ids = []
        while len(ids) < limit:
            if temperature:
                odds = np.exp((logits - logits.max()) / temperature).astype(np.float64)
                token = int(self.rng.choice(len(odds), p=odds / odds.sum()))
            else:
                token = int(logits.argmax())
            if token == self.end:
                break
            ids.append(token)
            logits = self.model.feed([token])
        return self.tokenizer.decode(ids)

    def ask(self, question, **options):
        return self.answer([{"role": "user", "content": question}], **options)


def plain(question):
    return re.sub(r"\W+", " ", question.lower()).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=HERE, help="folder with model.gguf and tokenizer.json")
    parser.add_argument("--data", type=Path, help="folder with heldout.jsonl (made by make_corpus.py)")
    parser.add_argument("--every", type=int, default=1, help="take only every n-th held-out question")
    parser.add_argument("--ask", help="only answer this question")
    parser.add_argument("--quiet", action="store_true", help="only the figures and the misses")
    args = parser.parse_args()
    chat = Chat(args.model)
    if args.ask:
        print(chat.ask(args.ask))
        return

    figures = {}
    rows = [line.rstrip("\n").split("\t") for line in open(HERE / "prompts.tsv", encoding="utf-8")]
    good = 0
    for question, pattern in rows:
        said = chat.ask(question)
        right = re.search(pattern, said) is not None
        good += right
        if not (right and args.quiet):
            print(f"{'ok  ' if right else 'MISS'} {question}\n     {said}")
    figures["written_questions"] = len(rows)
    written = [question for question, _ in rows]
    figures["keyword_score"] = round(good / len(rows), 3)

    if args.data:
        from make_corpus import load_topics

        known = {a for t in load_topics() for a in t["answers"] + [t["more"]]}
        trained = {plain(m["content"]) for line in open(args.data / "train.jsonl", encoding="utf-8") for m in json.loads(line) if m["role"] == "user"}
        figures["written_questions_not_in_training"] = sum(plain(q) not in trained for q in written)
        rows = [json.loads(line) for line in open(args.data / "heldout.jsonl", encoding="utf-8")][:: args.every]
        exact, fluent = 0, 0
        for row in rows:
            said = chat.ask(row["question"])
            exact += said in row["answers"]
            if said not in row["answers"]:
                print(f"miss {row['topic']}: {row['question']} -> {said[:70]}")
            fluent += chat.ask(row["question"], temperature=0.7) in known
        figures["held_out_questions"] = len(rows)
        figures["exact_match"] = round(exact / len(rows), 3)
        figures["fluent_at_temperature_0.7"] = round(fluent / len(rows), 3)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""Trains the demonstration model: first its tokenizer, then a small llama-style transformer, on the CPU with a fixed seed.

The rotary embedding is the interleaved form that GGUF files of the llama architecture use, so export.py writes the
query and key weights as they are.
"""

import argparse
import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

SEED = 20251122
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
QUESTION_LOSS = 0.05  # weight of the tokens that the model does not have to write
WHOLE = (0.2, 0.6)  # share of the dialogues that are trained whole, until and after LATE; the others give single questions with the OPENING of their answers
LATE = 0.75  # of the steps
OPENING = 7  # tokens: which answer is right shows in its first words, and the rest is soon known by heart


@dataclass
class Shape:
    vocab: int = 2048
    dim: int = 192
    layers: int = 4
    heads: int = 6
    kv_heads: int = 3
    hidden: int = 512
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5


class Norm(nn.Module):
    def __init__(self, dim, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rope_tables(shape):
    head = shape.dim // shape.heads
    rates = shape.rope_base ** (-torch.arange(0, head, 2).float() / head)
    angles = torch.outer(torch.arange(shape.context).float(), rates)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Rotates the pairs (0,1), (2,3), ... of each head. x: batch, heads, time, head."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        kv_dim = shape.dim // shape.heads * shape.kv_heads
        self.attn_norm = Norm(shape.dim, shape.eps)
        self.attn_q = nn.Linear(shape.dim, shape.dim, bias=False)
        self.attn_k = nn.Linear(shape.dim, kv_dim, bias=False)
        self.attn_v = nn.Linear(shape.dim, kv_dim, bias=False)
        self.attn_output = nn.Linear(shape.dim, shape.dim, bias=False)
        self.ffn_norm = Norm(shape.dim, shape.eps)
        self.ffn_gate = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.ffn_up = nn.Linear(shape.dim, shape.hidden, bias=False)
        self.ffn_down = nn.Linear(shape.hidden, shape.dim, bias=False)

    def forward(self, x, cos, sin):
        batch, length, dim = x.shape
        shape = self.shape
        head = dim // shape.heads
        h = self.attn_norm(x)
        q = self.attn_q(h).view(batch, length, shape.heads, head).transpose(1, 2)
        k = self.attn_k(h).view(batch, length, shape.kv_heads, head).transpose(1, 2)
        v = self.attn_v(h).view(batch, length, shape.kv_heads, head).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=shape.kv_heads != shape.heads)
        x = x + self.attn_output(a.transpose(1, 2).reshape(batch, length, dim))
        h = self.ffn_norm(x)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Embedding(shape.vocab, shape.dim)
        self.blk = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.output_norm = Norm(shape.dim, shape.eps)
        cos, sin = rope_tables(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                scale = 0.02 / math.sqrt(2 * shape.layers) if name.endswith(("attn_output.weight", "ffn_down.weight")) else 0.02
                nn.init.normal_(weight, std=scale * math.sqrt(768 / shape.dim))

    def hidden(self, ids):
        x = self.token_embd(ids)
        cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
        for block in self.blk:
            x = block(x, cos, sin)
        return self.output_norm(x)

    def forward(self, ids):
        return F.linear(self.hidden(ids), self.token_embd.weight)


def train_tokenizer(dialogues, size):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[AddedToken(t, special=True, normalized=False) for t in SPECIAL],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    # Answers are few and repeat, so each counts a limited number of times; questions give the breadth.
    answers, questions = {}, []
    for messages in dialogues:
        for m in messages:
            if m["role"] == "user":
                questions.append(m["content"])
            else:
                answers[m["content"]] = answers.get(m["content"], 0) + 1
    texts = questions + [t for t in sorted(answers) for _ in range(min(answers[t], 100))]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Encoder:
    """Dialogues to token ids (the ChatML form of the chat template), with a loss weight for each token."""

    def __init__(self, tokenizer):
        self.plain = tokenizer
        self.mixed = Tokenizer.from_str(tokenizer.to_str())
        self.mixed.model.dropout = 0.1  # other splits of the same words: helps with words never seen
        self.start, self.end = tokenizer.token_to_id("<|im_start|>"), tokenizer.token_to_id("<|im_end|>")
        self.newline = tokenizer.encode("\n").ids

    def encode(self, messages, dropout):
        ids, weights = [], []
        for m in messages:
            role, text = m["role"], m["content"]
            source = self.mixed if dropout and role != "assistant" else self.plain
            body = source.encode(text, add_special_tokens=False).ids
            head = [self.start] + self.plain.encode(role + "\n").ids
            weight = 1.0 if role == "assistant" else QUESTION_LOSS
            ids += head + body + [self.end] + self.newline
            weights += [0.0] * len(head) + [weight] * len(body) + [1.0 if role == "assistant" else 0.0] + [0.0] * len(self.newline)
        return ids, weights


def openings(messages, encoder, rng):
    """Each question of a dialogue on its own, with the first tokens of its answer."""
    system = messages[:1] if messages[0]["role"] == "system" and rng.random() < 0.4 else []
    for question, answer in zip(messages, messages[1:]):
        if question["role"] == "user" and not question.get("follows"):
            ids, weights = encoder.encode(system + [question, answer], dropout=rng.random() < 0.3)
            length = len(encoder.plain.encode(answer["content"]).ids)
            cut = len(ids) - max(0, length + 2 - OPENING)
            yield ids[:cut], weights[:cut]


def batches(dialogues, encoder, tokens_per_batch, context, rng, share):
    """Endless batches of dialogues with similar lengths, padded at the end."""
    epoch = 0
    while True:
        order = list(range(len(dialogues)))
        rng.shuffle(order)
        for at in range(0, len(order), 1024):
            pool = []
            for i in order[at : at + 1024]:
                if rng.random() < share():
                    ids, weights = encoder.encode(dialogues[i], dropout=rng.random() < 0.3)
                    pool.append((ids[:context], weights[:context]))
                else:
                    pool += openings(dialogues[i], encoder, rng)
            pool.sort(key=lambda row: len(row[0]))
            groups, group = [], []
            for row in pool:
                if group and len(row[0]) * (len(group) + 1) > tokens_per_batch:
                    groups.append(group)
                    group = []
                group.append(row)
            groups.append(group)
            rng.shuffle(groups)
            for group in groups:
                width = max(len(ids) for ids, _ in group)
                ids = torch.zeros(len(group), width, dtype=torch.long)
                weights = torch.zeros(len(group), width)
                for row, (a, b) in enumerate(group):
                    ids[row, : len(a)] = torch.tensor(a)
                    weights[row, : len(b)] = torch.tensor(b)
                yield epoch, ids, weights
        epoch += 1


def loss_of(model, ids, weights):
    hidden = model.hidden(ids[:, :-1]).flatten(0, 1)
    targets, weights = ids[:, 1:].flatten(), weights[:, 1:].flatten()
    keep = weights > 0
    logits = F.linear(hidden[keep], model.token_embd.weight)
    losses = F.cross_entropy(logits, targets[keep], reduction="none")
    kept = weights[keep]
    answer = losses[kept == 1.0].mean()
    return (losses * kept).sum() / kept.sum(), answer.item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and heldout.jsonl")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt, tokenizer.json and training.json")
    parser.add_argument("--init", type=Path, help="folder of an earlier run to go on from (its tokenizer and weights)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--tokens", type=int, default=1280, help="tokens in a batch")
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=0, help="end the schedule after this time, whatever the number of steps (not reproducible)")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = random.Random(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    dialogues = [json.loads(line) for line in open(args.data / "train.jsonl", encoding="utf-8")]
    shape = Shape()
    if args.init:
        tokenizer = Tokenizer.from_file(str(args.init / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(dialogues, shape.vocab)
    assert tokenizer.get_vocab_size() == shape.vocab
    tokenizer.save(str(args.out / "tokenizer.json"))
    encoder = Encoder(Tokenizer.from_file(str(args.out / "tokenizer.json")))

    model = Model(shape)
    if args.init:
        model.load_state_dict(torch.load(args.init / "checkpoint.pt", weights_only=True)["weights"])
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=args.rate, betas=(0.9, 0.98), foreach=True)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size} parameters, {len(dialogues)} dialogues", flush=True)

    begun, seen, running, done = time.monotonic(), 0, None, 0.0
    for step, (epoch, ids, weights) in enumerate(batches(dialogues, encoder, args.tokens, shape.context, rng, lambda: WHOLE[done >= LATE])):
        done = (time.monotonic() - begun) / 60 / args.minutes if args.minutes else step / args.steps
        if done >= 1:
            break
        rate = args.rate * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, answer = loss_of(model, ids, weights)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        seen += ids.numel()
        running = answer if running is None else 0.98 * running + 0.02 * answer
        if step % 400 == 399:
            torch.save({"shape": asdict(shape), "weights": model.state_dict()}, args.out / "checkpoint.pt")
        if step % 50 == 0:
            minutes = (time.monotonic() - begun) / 60
            print(f"step {step} epoch {epoch} loss {running:.4f} tokens {seen} minutes {minutes:.1f}", flush=True)
    torch.save({"shape": asdict(shape), "weights": model.state_dict()}, args.out / "checkpoint.pt")
    report = {"steps": step, "epochs": epoch, "tokens": seen, "parameters": size, "dialogues": len(dialogues), "training_loss": round(running, 4)}
    (args.out / "training.json").write_text(json.dumps(report) + "\n")
    print(report)


if __name__ == "__main__":
    main()

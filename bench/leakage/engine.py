"""An inference engine that streams the corpus' answers: OpenAI's protocol in vLLM's shape, with delays from a seed.

One step of decoding is one event. Like an engine that decodes speculatively, a step also takes the rest of a word when it
could be guessed, so that the rhythm depends on the text. The delays of a conversation are the same in every mode. When each
event left is written down, so that the report can say what the path adds.
"""

import asyncio
import json
import random
import time
from pathlib import Path

from aiohttp import web

from corpus import Conversation, tokens

MODEL = "bench/leakage-120b"
# The same with a longer name, which stands in every event: buckets then end at other lengths of the text.
LONGER = MODEL + "-instruct"
# Seconds. 20 ms a step is what a person gets from a large model under load.
STEP_MEDIAN, STEP_SIGMA = 0.019, 0.22
PAUSE_SHARE, PAUSE = 0.015, (0.03, 0.09)
PREFILL, PREFILL_TOKEN = 0.06, 0.0003
# How often the next piece of a word is guessed right.
GUESSED = 0.6


def steps(conversation: Conversation, seed: int) -> list[tuple[float, str, int]]:
    """Delay before each step, its text, and how many tokens it has."""
    rng = random.Random(f"{seed} steps of {conversation.key}")
    out = []
    for token, continues in tokens(conversation.answer):
        if continues and rng.random() < GUESSED:
            delay, text, count = out[-1]
            out[-1] = (delay, text + token, count + 1)
            continue
        delay = rng.lognormvariate(0, STEP_SIGMA) * STEP_MEDIAN
        if rng.random() < PAUSE_SHARE:
            delay += rng.uniform(*PAUSE)
        out.append((delay, token, 1))
    return out


def prefill(conversation: Conversation, seed: int) -> float:
    """Seconds until the first token."""
    rng = random.Random(f"{seed} prefill of {conversation.key}")
    return (PREFILL + PREFILL_TOKEN * len(tokens(conversation.question))) * rng.lognormvariate(0, 0.2)


class Engine:
    def __init__(self, corpus: list[Conversation], seed: int, journal: Path):
        self.corpus = {conversation.key: conversation for conversation in corpus}
        self.seed = seed
        self.journal = journal.open("a", buffering=1)

    async def models(self, _: web.Request) -> web.Response:
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "bench"} for name in (MODEL, LONGER)]
        return web.json_response({"object": "list", "data": models})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        try:
            await self._answer(request, response)
        except ConnectionResetError:
            # A worker that has just started refuses the first request and names the time to send again.
            pass
        return response

    async def _answer(self, request: web.Request, response: web.StreamResponse) -> None:
        asked = await request.json()
        conversation = self.corpus[asked["user"]]
        most = asked.get("max_tokens") or 1 << 30
        options = asked.get("stream_options") or {}
        prompt = len(tokens(asked["messages"][-1]["content"])) + 12
        rng = random.Random(f"{self.seed} {conversation.key} {time.monotonic_ns()}")
        base = {
            "id": f"chatcmpl-{rng.getrandbits(128):032x}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": asked["model"],
        }
        await response.prepare(request)
        done, sent, length = 0, [], 0

        async def event(delta: dict | None, finish: str | None = None) -> None:
            choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
            document = base | {"choices": choices}
            if options.get("continuous_usage_stats") or delta is None:
                document["usage"] = {
                    "prompt_tokens": prompt,
                    "total_tokens": prompt + done,
                    "completion_tokens": done,
                }
            text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
            await write(f"data: {text}\n\n")

        async def write(text: str) -> None:
            nonlocal length
            data = text.encode()
            length += len(data)
            await response.write(data)

        await asyncio.sleep(prefill(conversation, self.seed))
        await event({"role": "assistant", "content": ""})
        # The clock runs on while an event is written: delays do not add up.
        due = time.monotonic()
        for delay, text, count in steps(conversation, self.seed):
            due += delay
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            done += count
            sent.append(round(time.monotonic(), 6))
            await event({"content": text})
            if done >= most:
                break
        await event({}, "stop" if done < most else "length")
        if options.get("include_usage"):
            await event(None)
        await write("data: [DONE]\n\n")
        self.journal.write(json.dumps({"key": conversation.key, "sent": sent, "bytes": length}) + "\n")


def serve(corpus: list[Conversation], seed: int, journal: Path, port: int) -> None:
    """Runs in a process of its own until that is ended."""
    engine = Engine(corpus, seed, journal)
    app = web.Application()
    app.router.add_get("/v1/models", engine.models)
    app.router.add_post("/v1/chat/completions", engine.chat)
    app.router.add_get("/health", lambda _: web.Response(text="ok"))
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)

"""Records what somebody between client proxy and gateway sees of the corpus' conversations, in each mode.

    python bench/leakage/record.py --program target/release/privatemode --out target/leakage

Several clients run side by side. Each has a client proxy and a relay of its own and holds one conversation after another, so
that what a relay sees between two moments belongs to one conversation: the observer is given that much. Everything listens
on loopback. A file for each mode goes to the folder: one line of JSON for each conversation.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp

import engine
from corpus import Conversation, conversations
from relay import Relay
from stack import Stack

SEALED = ["--protocol", "sealed", "--padding"]


@dataclass(frozen=True)
class Mode:
    """Flags of the client proxy; the most tokens of an answer, where only the request is of interest; the model."""

    flags: list[str]
    most: int | None = None
    model: str = engine.MODEL


MODES = {
    "compatible": Mode(["--protocol", "compatible"]),
    "off": Mode([*SEALED, "off"]),
    "bucket": Mode([*SEALED, "bucket"]),
    "bucket, longer name": Mode([*SEALED, "bucket"], model=engine.LONGER),
    "constant": Mode([*SEALED, "constant"]),
    "bucket, shared cache": Mode([*SEALED, "bucket", "--sharedPromptCache"], most=2),
}
# No client proxy and no wire: what the engine alone takes.
DIRECT = "direct"
# Nothing may come any more for that long before the next conversation begins.
QUIET = 0.04


def file_of(mode: str) -> str:
    return mode.replace(", ", "-").replace(" ", "-")


def body(conversation: Conversation, model: str, most: int | None) -> bytes:
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": conversation.question}],
        "stream": True,
        "user": conversation.key,
    }
    if most:
        asked["max_tokens"] = most
    return json.dumps(asked, separators=(",", ":")).encode()


async def ask(session: aiohttp.ClientSession, url: str, key: str, data: bytes) -> tuple[float, list[float], float, str]:
    """When it was sent, when each event with text came, when the answer ended, and its text."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    began, came, text = time.monotonic(), [], []
    async with session.post(url, data=data, headers=headers) as response:
        if response.status != 200:
            raise RuntimeError(f"the answer is {response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if not line.startswith(b"data: {"):
                continue
            choices = json.loads(line[6:]).get("choices")
            if choices and choices[0]["delta"].get("content"):
                came.append(time.monotonic())
                text.append(choices[0]["delta"]["content"])
    return began, came, time.monotonic(), "".join(text)


class Run:
    """One mode: clients that take conversations from one queue."""

    def __init__(self, corpus: list[Conversation], mode: Mode, out: Path):
        self.queue = list(reversed(corpus))
        self.mode = mode
        self.out = out.open("w")
        self.done = 0

    async def client(self, url: str, key: str, relay: Relay | None) -> None:
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout, read_bufsize=1 << 20) as session:
            # Attestation, the exchange of a secret, and the first use of the headers' table of HTTP/2 are not of interest.
            for warm_up in self.queue[-2:]:
                await ask(session, url, key, body(warm_up, self.mode.model, 2))
            while self.queue:
                conversation = self.queue.pop()
                await self._quiet(relay)
                data = body(conversation, self.mode.model, self.mode.most)
                began, came, ended, text = await ask(session, url, key, data)
                if self.mode.most is None and text != conversation.answer:
                    raise RuntimeError(f"the answer to {conversation.key} is not the one that the engine gave")
                await self._quiet(relay, keep=True)
                seen = [(round(t - began, 6), d, n) for t, d, n in relay.take()] if relay else []
                line = {"key": conversation.key, "began": began, "came": came, "ended": ended, "seen": seen}
                self.out.write(json.dumps(line) + "\n")
                self.done += 1
                if self.done % 200 == 0:
                    print(f"  {self.done}", file=sys.stderr, flush=True)

    async def _quiet(self, relay: Relay | None, keep: bool = False) -> None:
        while relay and time.monotonic() - relay.last() < QUIET:
            await asyncio.sleep(QUIET / 2)
        if relay and not keep:
            relay.take()


async def record(arguments: argparse.Namespace, corpus: list[Conversation], upstream: str) -> None:
    stack = Stack(arguments.program, arguments.out / "stack")
    await stack.start(upstream)
    try:
        for mode in arguments.modes:
            settings = MODES.get(mode, Mode([]))
            print(f"{mode}: {len(corpus)} conversations, {arguments.clients} clients", file=sys.stderr, flush=True)
            (arguments.out / "engine.jsonl").write_text("")
            run = Run(corpus, settings, arguments.out / f"{file_of(mode)}.jsonl")
            relays, proxies, work = [], [], []
            began = time.monotonic()
            try:
                for number in range(arguments.clients):
                    if mode == DIRECT:
                        work.append(run.client(f"{upstream}/v1/chat/completions", "none", None))
                        continue
                    relay = Relay(*stack.gateway)
                    await relay.start()
                    relays.append(relay)
                    proxy = await stack.proxy(str(number), relay.address, settings.flags)
                    proxies.append(proxy)
                    url = f"http://{proxy.said['addresses']['http']}/v1/chat/completions"
                    work.append(run.client(url, stack.api_key, relay))
                await asyncio.gather(*work)
            finally:
                run.out.close()
                await asyncio.gather(*(proxy.stop() for proxy in proxies))
                await asyncio.gather(*(relay.stop() for relay in relays))
            (arguments.out / f"{file_of(mode)}.engine.jsonl").write_text((arguments.out / "engine.jsonl").read_text())
            print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        await stack.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def reachable(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(f"{url}/health"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
    raise RuntimeError("the engine does not answer")


def commit() -> str:
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=Path("target/release/privatemode"))
    parser.add_argument("--out", type=Path, default=Path("target/leakage"))
    parser.add_argument("--target", type=int, default=160, help="conversations on the target topic")
    parser.add_argument("--rest", type=int, default=1440, help="conversations on the other topics")
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modes", nargs="+", choices=[DIRECT, *MODES], default=[DIRECT, *MODES])
    arguments = parser.parse_args()
    if not arguments.program.exists():
        parser.error(f"there is no `{arguments.program}`: run `cargo build --release --bin privatemode` first")
    arguments.out.mkdir(parents=True, exist_ok=True)
    corpus = conversations(arguments.target, arguments.rest, arguments.seed)
    about = {
        "target": arguments.target, "rest": arguments.rest, "seed": arguments.seed, "clients": arguments.clients,
        "commit": commit(), "cores": os.cpu_count(), "machine": platform.machine(),
    }  # fmt: skip
    (arguments.out / "about.json").write_text(json.dumps(about))
    port = free_port()
    journal = arguments.out / "engine.jsonl"
    journal.write_text("")
    serving = multiprocessing.get_context("spawn").Process(
        target=engine.serve, args=(corpus, arguments.seed, journal, port), daemon=True
    )
    serving.start()
    try:
        upstream = f"http://127.0.0.1:{port}"
        asyncio.run(reachable(upstream))
        asyncio.run(record(arguments, corpus, upstream))
    finally:
        serving.terminate()
        serving.join()


if __name__ == "__main__":
    main()

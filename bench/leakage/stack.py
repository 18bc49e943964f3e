"""`privatemode up`, and client proxies of their own that reach its gateway through a relay."""

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

READY = 60


class StackError(Exception):
    pass


@dataclass
class Child:
    """A process that stops when its standard input closes (a part of the stack) or on SIGINT (`up`)."""

    process: asyncio.subprocess.Process
    said: dict

    async def stop(self) -> None:
        if self.process.returncode is not None:
            return
        self.process.stdin.close()
        self.process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except asyncio.TimeoutError:
            self.process.kill()
            await self.process.wait()


async def _start(arguments: list[str], environment: dict[str, str], log: Path) -> Child:
    # Variables of the person's own Privatemode would change what is measured; an outbound proxy would see loopback.
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PRIVATEMODE_") and not name.lower().endswith("_proxy")
    }
    with log.open("a") as errors:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env=inherited | environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY)
        return Child(process, json.loads(line))
    except (asyncio.TimeoutError, ValueError) as error:
        process.kill()
        await process.wait()
        raise StackError(f"`{' '.join(arguments)}` did not get ready; its log is `{log}`") from error


class Stack:
    """The deployment that all modes share."""

    def __init__(self, program: Path, folder: Path):
        self.program = program.resolve()
        self.folder = folder.resolve()
        self.up: Child | None = None

    async def start(self, upstream: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [str(self.program), "up", "--json", "--port", "0", "--log-level", "warn"]
        arguments += ["--upstream", upstream, "--dir", str(self.folder)]
        self.up = await _start(arguments, {}, self.folder / "up.log")

    @property
    def gateway(self) -> tuple[str, int]:
        host, _, port = self.up.said["gateway"].removeprefix("https://").rpartition(":")
        return host, int(port)

    @property
    def api_key(self) -> str:
        return self.up.said["api_key"]

    async def proxy(self, name: str, gateway: str, flags: list[str]) -> Child:
        """A client proxy that takes `gateway` (the relay) for the gateway. It trusts `up`'s certificate and manifest only."""
        workspace = self.folder / "clients" / name
        workspace.mkdir(parents=True, exist_ok=True)
        arguments = [str(self.program), "service", "proxy", "--announce", "--log-level", "warn", "--port", "0"]
        arguments += ["--apiEndpoint", gateway, "--danger-simulated", "--workspace", str(workspace)]
        arguments += ["--manifestPath", str(self.folder / "deployment" / "manifest.json"), *flags]
        certificate = {"SSL_CERT_FILE": str(self.folder / "gateway" / "tls-certificate.pem")}
        return await _start(arguments, certificate, workspace / "proxy.log")

    async def stop(self) -> None:
        if self.up:
            await self.up.stop()

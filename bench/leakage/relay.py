"""What somebody on the wire sees: a TCP relay that notes each TLS record, its direction, its time and its length.

It opens nothing. A record's length and (before TLS 1.3 hides it) its type stand in clear in its five bytes of header; the
lengths here include them.
"""

import asyncio
import time

HEADER = 5
UP, DOWN = 0, 1


class Records:
    """Follows the records of one direction of one connection, whatever the pieces in which it comes."""

    def __init__(self) -> None:
        self.header = b""
        self.missing = 0

    def push(self, data: bytes) -> list[int]:
        """The lengths of the records that end in `data`."""
        ended = []
        at = 0
        while at < len(data):
            if self.missing:
                take = min(self.missing, len(data) - at)
                self.missing -= take
                at += take
            else:
                take = min(HEADER - len(self.header), len(data) - at)
                self.header += data[at : at + take]
                at += take
                if len(self.header) < HEADER:
                    break
                self.missing = int.from_bytes(self.header[3:5], "big")
            if not self.missing and len(self.header) == HEADER:
                ended.append(HEADER + int.from_bytes(self.header[3:5], "big"))
                self.header = b""
        return ended


class Relay:
    """Listens on loopback; `seen` is (seconds, direction, bytes of the record) in the order of their arrival."""

    def __init__(self, host: str, port: int):
        self.target = (host, port)
        self.seen: list[tuple[float, int, int]] = []
        self.address = ""
        self.server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        if self.server:
            self.server.close()

    def take(self) -> list[tuple[float, int, int]]:
        """What was seen since the last time."""
        seen, self.seen = self.seen, []
        return seen

    def last(self) -> float:
        return self.seen[-1][0] if self.seen else 0.0

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(self._pump(reader, there_writer, UP), self._pump(there_reader, writer, DOWN))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: int) -> None:
        records = Records()
        try:
            while data := await reader.read(1 << 16):
                now = time.monotonic()
                self.seen.extend((now, direction, length) for length in records.push(data))
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

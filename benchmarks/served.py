"""A served policy with its journal on, against a stub server in its own process: requests per second.

    python benchmarks/served.py

64 requests in flight, each with a prompt of a kilobyte and an answer of half of one. With and without the
journal, interleaved; the best of three of each counts. The stub answers at once, so that what is measured is
the client. Beside wall time stands the client's processor time, which a busy machine does not distort.

The peer is datatrove's inference client, with and without its checkpoints and request cache, where it is
installed (`pip install datatrove aiosqlite aiofiles httpx orjson`); no other part of cotmill needs it.
"""

import asyncio
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
from cotmill.models.dialect import Dialect
from cotmill.models.policy import SampleRequest
from cotmill.models.probe import Server
from cotmill.models.served import ServedPolicy
from cotmill.models.server_settings import ServerSettings

REQUESTS, PEER_REQUESTS, IN_FLIGHT, ROUNDS = 10_000, 2_000, 64, 3
PROMPT = "A shop sells pens at 3 coins each. " * 30
STUB = "--stub"


class Stub(asyncio.Protocol):
    """Answers every POST with the same completion."""

    def __init__(self) -> None:
        text = " First, 12 + 34 = 46. So the answer is 46." * 12
        choice = {"index": 0, "text": text, "finish_reason": "stop", "stop_reason": None}
        usage = {"prompt_tokens": 300, "completion_tokens": 180}
        body = json.dumps({"object": "text_completion", "choices": [choice], "usage": usage}).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self.reply, self.received = head.encode() + body, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self.received) < end + 4 + length:
                return
            self.received = self.received[end + 4 + length :]
            self.transport.write(self.reply)
            if b"connection: close" in head:
                self.transport.close()


async def stub() -> None:
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@dataclass
class Run:
    """Requests per second of wall time, and processor microseconds per request in the client."""

    rate: float
    cpu_us: float


def run(port: int, journal: Path | None) -> Run:
    settings = ServerSettings(url=f"http://127.0.0.1:{port}", model="stub", in_flight=IN_FLIGHT)
    policy = ServedPolicy(settings, Server("stub", "stub", "0", Dialect("completions", "open")), journal)
    requests = [SampleRequest(f"{PROMPT}{i}", f"{i}", max_tokens=256) for i in range(REQUESTS)]
    start, cpu = time.perf_counter(), time.process_time()
    rows = policy.sample(requests)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    policy.close()
    if any(row[0].finish != "stop" for row in rows):
        sys.exit("a request found no answer")
    return Run(REQUESTS / seconds, 1e6 * cpu / REQUESTS)


def peer(port: int, folder: Path | None) -> float:
    """Requests per second of datatrove's client; with its checkpoints and request cache in `folder`."""
    from datatrove.data import Document  # type: ignore[import-not-found]
    from datatrove.pipeline.inference.run_inference import (  # type: ignore[import-not-found]
        InferenceConfig,
        InferenceRunner,
    )
    from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found]
    from loguru import logger  # type: ignore[import-not-found]

    logger.remove()
    n = PEER_REQUESTS if folder is None else PEER_REQUESTS // 4

    async def rollout(document: Any, generate: Any) -> Any:
        return await generate({"prompt": document.text, "max_tokens": 256, "temperature": 1.0})

    with tempfile.TemporaryDirectory() as out:
        runner = InferenceRunner(
            rollout_fn=rollout,
            config=InferenceConfig(
                server_type="endpoint",
                model_name_or_path="stub",
                endpoint_url=f"http://127.0.0.1:{port}",
                use_chat=False,
                max_concurrent_generations=IN_FLIGHT,
            ),
            output_writer=JsonlWriter(
                out, output_filename="${rank}_chunk_${chunk_index}.jsonl", compression=None
            ),
            checkpoints_local_dir=None if folder is None else str(folder),
        )
        start = time.perf_counter()
        runner.run(Document(text=f"{PROMPT}{i}", id=str(i)) for i in range(n))
        return n / (time.perf_counter() - start)


def main() -> None:
    server = subprocess.Popen([sys.executable, __file__, STUB], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    bare: list[Run] = []
    kept: list[Run] = []
    peers: list[tuple[float, float]] | None = [] if find_spec("datatrove") else None
    try:
        with tempfile.TemporaryDirectory() as folder:
            for i in range(ROUNDS):
                bare.append(run(port, None))
                kept.append(run(port, Path(folder) / f"{i}.sqlite"))
                if peers is not None:
                    peers.append((peer(port, None), peer(port, Path(folder) / f"peer {i}")))
    finally:
        server.terminate()
        server.wait()
    without, journal = (Run(max(r.rate for r in runs), min(r.cpu_us for r in runs)) for runs in (bare, kept))
    versions = f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}, SQLite {sqlite3.sqlite_version}")
    print(f"{REQUESTS} requests, {IN_FLIGHT} in flight; best of {ROUNDS}; load {os.getloadavg()[0]:.1f}")
    print(f"{'':>16} {'requests/s':>12} {'client CPU, us':>16}")
    for name, best in (("without journal", without), ("with journal", journal)):
        print(f"{name:>16} {best.rate:>12.0f} {best.cpu_us:>16.0f}")
    for i, name in enumerate(("datatrove, bare", "with its cache")):
        print(f"{name:>16} {max(p[i] for p in peers):>12.0f}" if peers else f"{name:>16}  not installed")
    result = {
        "requests_per_s": round(journal.rate),
        "journal_cost": round(1 - journal.rate / without.rate, 4),
        "journal_cost_cpu": round(1 - without.cpu_us / journal.cpu_us, 4),
        "cpu_us_per_request": round(journal.cpu_us),
    }
    if peers:
        bare_peer, cached_peer = (max(p[i] for p in peers) for i in range(2))
        result["times_datatrove"] = round(without.rate / bare_peer, 1)
        result["times_datatrove_with_cache"] = round(journal.rate / cached_peer, 1)
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:] == [STUB]:
        asyncio.run(stub())
    else:
        main()

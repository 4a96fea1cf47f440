"""A bounded number of clients on loopback: each asks one thing after the other.

Use: ``found = run(port, requests, clients=32, total=320)``; requests are whole HTTP messages. In a
process of its own: ``python benchmarks/_load.py PORT CLIENTS TOTAL PATH IMAGE…`` prints JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Found:
    """What came of it.

    Attributes:
        statuses: How often each was answered; "lost" is a connection that ended without an answer.
        latencies: Seconds of each answer.
        seconds: From the first request to the last answer.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0


def message(
    path: str,
    body: bytes,
    headers: dict[str, str],
    method: str = "POST",
    host: str = "127.0.0.1",
) -> bytes:
    """A request as it goes over the wire."""
    given = {"Host": host, "Content-Length": str(len(body)), **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape") + body


def upload(path: str, image: bytes, field_name: str = "image") -> bytes:
    """One image in a form, as every peer takes it."""
    boundary = "0123456789abcdef"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field_name}"; '
        'filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    body = head.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    return message(path, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})


def run(
    port: int,
    requests: Sequence[bytes],
    *,
    clients: int = 32,
    total: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Found:
    """Send ``total`` requests, in turn those given; ``tell`` is told after each how many."""
    return asyncio.run(_run(port, requests, clients, total or len(requests), tell))


async def _run(
    port: int,
    requests: Sequence[bytes],
    clients: int,
    total: int,
    tell: Callable[[int], None] | None,
) -> Found:
    found, numbers = Found(), iter(range(total))
    started = time.perf_counter()

    async def client() -> None:
        link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in numbers:
            link = link or await asyncio.open_connection("127.0.0.1", port, limit=2**20)
            begun = time.perf_counter()
            status, goes_on = await _ask(link, requests[number % len(requests)])
            found.latencies.append(time.perf_counter() - begun)
            found.statuses[status] += 1
            if not goes_on:
                link[1].close()
                link = None
            if tell is not None:
                tell(sum(found.statuses.values()))
        if link is not None:
            link[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - started
    return found


async def _ask(
    link: tuple[asyncio.StreamReader, asyncio.StreamWriter], request: bytes
) -> tuple[str, bool]:
    """The status, and whether the connection goes on."""
    reader, writer = link
    try:
        writer.write(request)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)).lower()
        status = head.split(b" ", 2)[1].decode()
        if b"content-length: " in head and not request.startswith(b"HEAD"):
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return "lost", False
    return status, b"connection: close" not in head


if __name__ == "__main__":
    given_port, given_clients, given_total = map(int, sys.argv[1:4])
    uploads = [upload(sys.argv[4], Path(image).read_bytes()) for image in sys.argv[5:]]
    done = run(given_port, uploads, clients=given_clients, total=given_total)
    print(json.dumps(vars(done)))

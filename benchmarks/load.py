"""A load generator with several connections, in a process of its own.

    python -m benchmarks.load URL CONNECTIONS SECONDS [TOKEN]

It prints, as JSON, responses per second and the seconds of each. It does as little as possible, so
that it is not what is measured.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.figures import percentile

CONNECTIONS = 16


@dataclass
class Answers:
    """The results of one address, a value per round."""

    per_second: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    @property
    def ms_of_one(self) -> list[float]:
        """Milliseconds that the server spends on one response."""
        return [1000 / rate for rate in self.per_second]


async def in_turns(urls: list[str], seconds: float, rounds: int, token: str = "") -> list[Answers]:
    """Load each address in turn for this many seconds, in this many rounds."""
    answers = [Answers() for _ in urls]
    for _ in range(rounds):
        for url, gathered in zip(urls, answers, strict=True):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.load", url, str(CONNECTIONS), str(seconds)),
                *([token] if token else []),
                stdout=asyncio.subprocess.PIPE,
            )
            output, _ = await process.communicate()
            assert process.returncode == 0
            figures = json.loads(output)
            gathered.per_second.append(figures["per_second"])
            gathered.p99_ms.append(percentile(figures["seconds"], 99) * 1000)
    return answers


# --- the process ----------------------------------------------------------------------------------


async def ask(host: str, port: int, request: bytes, until: float) -> list[float]:
    """Send requests over one connection until `until`; the seconds of each response."""
    reader, writer = await asyncio.open_connection(host, port)
    seconds = []
    while (begun := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        seconds.append(time.perf_counter() - begun)
    writer.close()
    return seconds


async def main(url: str, connections: int, duration: float, token: str) -> None:
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port
    assert host is not None
    assert port is not None
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n".encode()
    begun = time.perf_counter()
    measured = await asyncio.gather(
        *(ask(host, port, request, begun + duration) for _ in range(connections))
    )
    seconds = [one for connection in measured for one in connection]
    rate = len(seconds) / (time.perf_counter() - begun)
    print(json.dumps({"per_second": rate, "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), "".join(sys.argv[4:])))

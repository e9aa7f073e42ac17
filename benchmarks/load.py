"""Asks one address again and again over several connections; in a process of its own.

    python -m benchmarks.load URL CONNECTIONS SECONDS

Prints, as JSON, answers per second and the seconds that each took. As bare as it can be, so that it
is not itself what is measured.
"""

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def ask(host: str, port: int, path: str, until: float) -> list[float]:
    """The seconds of every answer over one connection until the clock says `until`."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
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


async def main(url: str, connections: int, duration: float) -> None:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    begun = time.perf_counter()
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    asked = await asyncio.gather(
        *(ask(parts.hostname, parts.port, path, begun + duration) for _ in range(connections))
    )
    seconds = [one for connection in asked for one in connection]
    rate = len(seconds) / (time.perf_counter() - begun)
    print(json.dumps({"per_second": rate, "seconds": seconds}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))

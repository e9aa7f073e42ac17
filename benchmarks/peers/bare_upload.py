"""A minimal upload handler: aiohttp writes the one file of the body to disk.

`python -m benchmarks.peers.bare_upload PORT FILE` runs until it is stopped.
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import BodyPartReader, web

CHUNK = 1 << 16


async def upload(request: web.Request) -> web.Response:
    """Write each file part to disk."""
    parts = await request.multipart()
    while (part := await parts.next()) is not None:
        assert isinstance(part, BodyPartReader)
        file = await asyncio.to_thread(Path(sys.argv[2]).open, "wb")
        while chunk := await part.read_chunk(CHUNK):
            await asyncio.to_thread(file.write, chunk)
        file.close()
    return web.Response(status=202)


if __name__ == "__main__":
    app = web.Application(client_max_size=1 << 40)
    app.router.add_post("/", upload)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)

"""A minimal status handler: `python -m benchmarks.peers.bare_status PORT JSON`."""

import json
import sys

from aiohttp import web

document = json.loads(sys.argv[2])


async def status(request: web.Request) -> web.Response:
    """Return the document, serialised for each request."""
    return web.json_response(document)


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/mlops/status", status)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)

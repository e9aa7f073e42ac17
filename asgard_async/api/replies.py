"""JSON responses."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web


def reply(
    document: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A JSON response. What is answered is of the moment, so nothing may keep it."""
    return web.Response(
        status=status,
        body=msgspec.json.encode(document),
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )

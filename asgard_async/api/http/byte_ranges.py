"""Conditional and partial requests for a file (RFC 9110): ETag, If-None-Match, If-Range, Range."""

import os
import re
import time
from dataclasses import dataclass

from aiohttp import hdrs, web

SETTLED_SECONDS = 1.0
"""The kernel's times advance in steps, so two changes of a file may have the same time. Its ETag
proves identical bytes only once the last change is longer ago than any step."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def etag_of(status: os.stat_result) -> str:
    """Return the ETag of a file; it is weak while the file may be changing."""
    facts = status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    quoted = f'"{"-".join(f"{fact:x}" for fact in facts)}"'
    is_settled = time.time() - status.st_ctime > SETTLED_SECONDS
    return quoted if is_settled else f"W/{quoted}"


@dataclass(frozen=True, kw_only=True)
class Part:
    """The bytes to send: from `start` up to `end`."""

    start: int
    end: int
    is_whole: bool


def is_unchanged(request: web.Request, etag: str) -> bool:
    """Return whether the client has the file already, by If-None-Match."""
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return known.strip() == "*" or etag.removeprefix("W/") in tags


def part_for(request: web.Request, size: int, etag: str) -> Part:
    """Return the part of a file that a request asks for.

    Several ranges, and those in other units, are ignored, as RFC 9110 permits. So is a range if
    `If-Range` names another state of the file, or a date.

    Raises:
        web.HTTPRequestRangeNotSatisfiable: the range is not in the file.
    """
    whole = Part(start=0, end=size, is_whole=True)
    match = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, "").strip())
    condition = request.headers.get(hdrs.IF_RANGE)
    if match is None or match[0] == "bytes=-" or (condition is not None and condition != etag):
        return whole
    if condition is not None and etag.startswith("W/"):
        return whole
    first, last = match[1], match[2]
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return whole  # malformed
    else:
        start, end = max(0, size - int(last)), size
    if start >= end:
        raise web.HTTPRequestRangeNotSatisfiable(headers={hdrs.CONTENT_RANGE: f"bytes */{size}"})
    return Part(start=start, end=end, is_whole=False)

"""Reading the current contents of a log as bytes by offset, as text or as lines."""

import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing

from asgard_async.client.errors import AsgardError
from asgard_async.client.events import Event, GapEvent, LogEvent
from asgard_async.client.retry_budget import RetryBudget
from asgard_async.client.transport import Response, Transport

SLICE_BYTES = 1 << 20
MAX_LINE_CHARACTERS = 1 << 20


async def read_slice(
    transport: Transport, job_id: str, offset: int, limit: int, budget: RetryBudget | None = None
) -> tuple[GapEvent | None, LogEvent | None]:
    """Return a gap of dropped bytes at `offset`, if any, and up to `limit` bytes after it.

    Both are None at the end of the log.
    """
    response = await transport.request(
        "GET", _path(job_id), params={"offset": offset, "limit": limit}, budget=budget
    )
    end = _next_offset(response)
    begin = end - len(response.body)
    gap = GapEvent(offset=offset, next=begin) if begin > offset else None
    if not response.body:
        return gap, None
    return gap, LogEvent(offset=begin, next=end, data=response.body)


async def log_end(transport: Transport, job_id: str, budget: RetryBudget | None = None) -> int:
    """Return the number of bytes that the job has written so far."""
    response = await transport.request("GET", _path(job_id), params={"tail": 0}, budget=budget)
    return _next_offset(response)


async def read_tail(transport: Transport, job_id: str, lines: int) -> LogEvent:
    """Return the last lines, as an event whose `next` is the offset to continue from."""
    response = await transport.get(*_path(job_id), tail=lines)
    end = _next_offset(response)
    return LogEvent(offset=end - len(response.body), next=end, data=response.body)


async def read_up_to_now(
    transport: Transport, job_id: str, offset: int
) -> AsyncGenerator[LogEvent | GapEvent, None]:
    """Yield the log from `offset` to its current end."""
    end = await log_end(transport, job_id)
    while offset < end:
        parts = await read_slice(transport, job_id, offset, min(SLICE_BYTES, end - offset))
        if parts == (None, None):
            return
        for part in parts:
            if part is not None:
                yield part
                offset = part.next


async def as_bytes(events: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a log; gaps are skipped."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, LogEvent):
                yield event.data


async def as_text(events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    """Yield the text of a log as it arrives.

    Characters are never split, and each gap is marked by a separate line.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async with aclosing(events):
        async for event in events:
            text = ""
            if isinstance(event, LogEvent):
                text = decoder.decode(event.data)
            elif isinstance(event, GapEvent):
                size = event.next - event.offset
                text = decoder.decode(b"", final=True)
                text += f"\n[asgard: {size} bytes of output are not kept]\n"
                decoder.reset()
            if text:
                yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


async def as_lines(texts: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Yield lines without line ends, splitting lines longer than `MAX_LINE_CHARACTERS`."""
    partial = ""
    async with aclosing(texts):
        async for text in texts:
            *lines, partial = (partial + text).split("\n")
            for line in lines:
                yield line.removesuffix("\r")
            while len(partial) > MAX_LINE_CHARACTERS:
                yield partial[:MAX_LINE_CHARACTERS]
                partial = partial[MAX_LINE_CHARACTERS:]
    if partial:
        yield partial


def _path(job_id: str) -> tuple[str, ...]:
    return "mlops", "training", "jobs", job_id, "logs"


def _next_offset(response: Response) -> int:
    try:
        return int(response.headers["X-Log-Next-Offset"])
    except (KeyError, ValueError) as error:
        raise AsgardError("The response for the log lacks a valid X-Log-Next-Offset.") from error

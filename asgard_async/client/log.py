"""Reading a log as it stands: exact bytes by offset, text, lines."""

import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing

from asgard_async.client.errors import AsgardError
from asgard_async.client.events import Event, GapEvent, LogEvent
from asgard_async.client.patience import Patience
from asgard_async.client.transport import Answer, Transport

SLICE_BYTES = 1 << 20
MAX_LINE = 1 << 20


async def read_slice(
    transport: Transport, job_id: str, offset: int, limit: int, patience: Patience | None = None
) -> tuple[GapEvent | None, LogEvent | None]:
    """At most `limit` bytes from `offset` on, and what is not kept before them; none at the end."""
    answer = await transport.request(
        "GET", _path(job_id), params={"offset": offset, "limit": limit}, patience=patience
    )
    following = _next_offset(answer)
    begin = following - len(answer.body)
    gap = GapEvent(offset=offset, next=begin) if begin > offset else None
    if not answer.body:
        return gap, None
    return gap, LogEvent(offset=begin, next=following, data=answer.body)


async def log_end(transport: Transport, job_id: str, patience: Patience | None = None) -> int:
    """How many bytes the job has written so far."""
    answer = await transport.request("GET", _path(job_id), params={"tail": 0}, patience=patience)
    return _next_offset(answer)


async def read_tail(transport: Transport, job_id: str, lines: int) -> LogEvent:
    """The last lines; their event has the offset from which to go on."""
    answer = await transport.get(*_path(job_id), tail=lines)
    following = _next_offset(answer)
    return LogEvent(offset=following - len(answer.body), next=following, data=answer.body)


async def read_up_to_now(
    transport: Transport, job_id: str, offset: int
) -> AsyncGenerator[LogEvent | GapEvent, None]:
    """The log from `offset` up to where it ends at this moment."""
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
    """The bytes of a log, without what is not kept."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, LogEvent):
                yield event.data


async def as_text(events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    """The text of a log as it comes: no character is cut, and a line tells of what is not kept."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async with aclosing(events):
        async for event in events:
            text = ""
            if isinstance(event, LogEvent):
                text = decoder.decode(event.data)
            elif isinstance(event, GapEvent):
                lost = event.next - event.offset
                text = decoder.decode(b"", final=True)
                text += f"\n[asgard: {lost} bytes of output are not kept]\n"
                decoder.reset()
            if text:
                yield text
    if rest := decoder.decode(b"", final=True):
        yield rest


async def as_lines(texts: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Lines without their ends; one of more than `MAX_LINE` characters comes in pieces."""
    begun = ""
    async with aclosing(texts):
        async for text in texts:
            *lines, begun = (begun + text).split("\n")
            for line in lines:
                yield line.removesuffix("\r")
            while len(begun) > MAX_LINE:
                yield begun[:MAX_LINE]
                begun = begun[MAX_LINE:]
    if begun:
        yield begun


def _path(job_id: str) -> tuple[str, ...]:
    return "mlops", "training", "jobs", job_id, "logs"


def _next_offset(answer: Answer) -> int:
    try:
        return int(answer.headers["X-Log-Next-Offset"])
    except (KeyError, ValueError) as error:
        raise AsgardError("What answers for the log does not say where it goes on.") from error

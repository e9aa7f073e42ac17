"""Following a job over a WebSocket, or by polling if none is served; resumes by offset."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import aiohttp
import msgspec

from asgard_async.client.errors import (
    AsgardError,
    ConnectionFailed,
    TooManyRequests,
    Unavailable,
)
from asgard_async.client.events import (
    EndEvent,
    Event,
    GapEvent,
    LogEvent,
    LogFrame,
    StatusEvent,
    read_frame,
)
from asgard_async.client.jobs import Job
from asgard_async.client.log import SLICE_BYTES, read_slice
from asgard_async.client.retry_budget import RetryBudget
from asgard_async.client.transport import Transport

log = logging.getLogger(__name__)

FIRST_POLL_SECONDS = 0.1
MAX_POLL_SECONDS = 2.0
TRANSIENT = (ConnectionFailed, TooManyRequests, Unavailable)
"""Errors after which the same request may succeed."""


class WebSocketNotServed(Exception):
    """No WebSocket is served: an old service, or a proxy without support for them."""


async def follow(
    transport: Transport,
    job_id: str,
    offset: int,
    *,
    reconnect_for: float,
    budget: RetryBudget | None = None,
    on_break: Callable[[AsgardError], None] | None = None,
) -> AsyncGenerator[Event, None]:
    """Yield a job's events until it ends, with its log starting at byte `offset`.

    Reconnects after a lost connection and continues at the byte where it was lost.

    Raises:
        NotFound: there is no such job, or it was deleted.
        ConnectionFailed: the service was unreachable for longer than `reconnect_for` seconds.
    """
    budget = budget or RetryBudget(transport.retry_for)
    connect, last_status = stream_events, None
    while True:
        try:
            async with aclosing(connect(transport, job_id, offset)) as events:
                async for event in events:
                    budget.reset(reconnect_for)
                    match event:
                        case StatusEvent():
                            if event == last_status:  # repeated after reconnecting
                                continue
                            last_status = event
                        case LogEvent() | GapEvent():
                            offset = event.next
                    yield event
                    if isinstance(event, EndEvent):
                        return
        except WebSocketNotServed:
            log.info("job %s cannot be followed over a WebSocket; polling", job_id)
            connect = poll_events
        except TRANSIENT as error:
            log.info("following job %s again from byte %d: %s", job_id, offset, error)
            if on_break is not None:
                on_break(error)
            await budget.pause(error)


async def stream_events(
    transport: Transport, job_id: str, offset: int
) -> AsyncGenerator[Event, None]:
    """Yield the events of one WebSocket.

    Raises:
        WebSocketNotServed: the service does not serve one.
        ConnectionFailed: the WebSocket closed before the job ended.
        AsgardError: a frame is malformed or out of order.
    """
    path = ("mlops", "training", "jobs", job_id, "logs", "ws")
    socket = await transport.websocket(*path, offset=offset)
    if socket is None:
        await transport.get(*path[:-2], logs="none")  # raises NotFound if that is the cause
        raise WebSocketNotServed
    is_first = True
    async with socket:
        async for message in socket:
            if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                break
            try:
                frame = read_frame(message.data)
            except msgspec.DecodeError as error:
                raise AsgardError(f"The log stream cannot be decoded: {error}") from error
            match frame:
                case LogFrame() | GapEvent():
                    # the first frame may begin earlier: at the end of a log shorter than `offset`
                    if frame.offset > offset or (frame.offset < offset and not is_first):
                        raise AsgardError(
                            f"The log stream continued at byte {frame.offset}, not at {offset}."
                        )
                    offset, is_first = frame.next, False
                    if isinstance(frame, GapEvent):
                        yield frame
                    else:
                        async for part in _exact_bytes(transport, job_id, frame):
                            yield part
                case StatusEvent() | EndEvent():
                    yield frame
    raise ConnectionFailed(f"The log stream was interrupted (code {socket.close_code}).")


async def _exact_bytes(
    transport: Transport, job_id: str, frame: LogFrame
) -> AsyncGenerator[LogEvent | GapEvent, None]:
    """Yield the bytes of a frame, fetching them separately if its text is ambiguous."""
    data = frame.data.encode("utf-8", "surrogatepass")
    # comparing lengths is not enough: three invalid bytes may become one U+FFFD of three bytes
    if "\ufffd" not in frame.data and len(data) == frame.next - frame.offset:
        yield LogEvent(offset=frame.offset, next=frame.next, data=data, time=frame.time)
        return
    offset = frame.offset
    while offset < frame.next:
        limit = min(SLICE_BYTES, frame.next - offset)
        gap, part = await read_slice(transport, job_id, offset, limit)
        if gap is not None:  # dropped since the frame was sent
            gap = GapEvent(offset=offset, next=min(gap.next, frame.next))
            yield gap
            offset = gap.next
        if part is None and gap is None:
            raise ConnectionFailed(f"The log of job {job_id} ends before byte {frame.next}.")
        if part is not None and part.offset < frame.next:
            data = part.data[: frame.next - part.offset]
            offset = part.offset + len(data)
            yield LogEvent(offset=part.offset, next=offset, data=data, time=frame.time)


async def poll_events(
    transport: Transport, job_id: str, offset: int
) -> AsyncGenerator[Event, None]:
    """Yield the same events by polling, less often while nothing changes."""
    delay, last_status = FIRST_POLL_SECONDS, None
    while True:
        # read before the log: if the job has ended, the log that is read next is complete
        response = await transport.get("mlops", "training", "jobs", job_id, logs="none")
        job = response.read(Job)
        status = StatusEvent(
            status=job.status, phase=job.phase or "", queue_position=job.queue_position
        )
        if status != last_status:
            yield status
            last_status, delay = status, FIRST_POLL_SECONDS
        while job.log_kept:
            parts = await read_slice(transport, job_id, offset, SLICE_BYTES)
            if parts == (None, None):
                break
            delay = FIRST_POLL_SECONDS
            for part in parts:
                if part is not None:
                    yield part
                    offset = part.next
        if job.is_finished:
            yield EndEvent(
                status=job.status,
                reason=job.reason,
                exit_code=job.exit_code,
                run_id=job.run_id,
                model_version=job.model_version,
                offset=offset,
                log_kept=job.log_kept,
            )
            return
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, MAX_POLL_SECONDS)

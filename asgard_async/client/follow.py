"""Following a job: the WebSocket, and polling where there is none; resumed by offset."""

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
from asgard_async.client.patience import Patience
from asgard_async.client.transport import Transport

log = logging.getLogger(__name__)

POLL_FIRST_SECONDS = 0.1
POLL_MOST_SECONDS = 2.0
# After these the same may go well.
PASSING = (ConnectionFailed, TooManyRequests, Unavailable)


class NoStream(Exception):
    """No WebSocket is served: an old service, or a proxy that knows none."""


async def follow(
    transport: Transport,
    job_id: str,
    offset: int,
    *,
    reconnect_for: float,
    patience: Patience | None = None,
    on_break: Callable[[AsgardError], None] | None = None,
) -> AsyncGenerator[Event, None]:
    """Everything that happens to a job, its log from `offset` on, up to its end.

    Connections that break are made again, and go on at the byte where they broke.

    Raises:
        NotFound: there is no such job (any more).
        ConnectionFailed: the service was away for longer than `reconnect_for` seconds.
    """
    patience = patience or Patience(transport.retry_for)
    connect, known = streamed, None
    while True:
        try:
            async with aclosing(connect(transport, job_id, offset)) as events:
                async for event in events:
                    patience.renew(reconnect_for)
                    match event:
                        case StatusEvent():
                            if event == known:  # told again after reconnecting
                                continue
                            known = event
                        case LogEvent() | GapEvent():
                            offset = event.next
                    yield event
                    if isinstance(event, EndEvent):
                        return
        except NoStream:
            log.info("job %s cannot be followed over a WebSocket; polling", job_id)
            connect = polled
        except PASSING as error:
            log.info("following job %s from byte %d again: %s", job_id, offset, error)
            if on_break is not None:
                on_break(error)
            await patience.bear(error)


async def streamed(transport: Transport, job_id: str, offset: int) -> AsyncGenerator[Event, None]:
    """What one WebSocket tells.

    Raises:
        NoStream: there is none.
        ConnectionFailed: it ended before the job did.
        AsgardError: it is not what it should be.
    """
    path = ("mlops", "training", "jobs", job_id, "logs", "ws")
    socket = await transport.websocket(*path, offset=offset)
    if socket is None:
        await transport.get(*path[:-2], logs="none")  # NotFound, if that is why
        raise NoStream
    is_first = True
    async with socket:
        async for message in socket:
            if message.type not in {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}:
                break
            try:
                frame = read_frame(message.data)
            except msgspec.DecodeError as error:
                raise AsgardError(f"The stream of the log cannot be read: {error}") from error
            match frame:
                case LogFrame() | GapEvent():
                    # the first may begin earlier: a log that ends before `offset` goes on there
                    if frame.offset > offset or (frame.offset < offset and not is_first):
                        raise AsgardError(
                            f"The stream of the log went on at {frame.offset}, not at {offset}."
                        )
                    offset, is_first = frame.next, False
                    if isinstance(frame, GapEvent):
                        yield frame
                    else:
                        async for part in _exact(transport, job_id, frame):
                            yield part
                case StatusEvent() | EndEvent():
                    yield frame
    raise ConnectionFailed(f"The stream of the log broke off (code {socket.close_code}).")


async def _exact(
    transport: Transport, job_id: str, frame: LogFrame
) -> AsyncGenerator[LogEvent | GapEvent, None]:
    """The bytes that a frame stands for, asked for where its text does not tell them."""
    data = frame.data.encode("utf-8", "surrogatepass")
    # the length alone would not do: three bytes that are no UTF-8 may become one U+FFFD, of three
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
            kept = part.data[: frame.next - part.offset]
            offset = part.offset + len(kept)
            yield LogEvent(offset=part.offset, next=offset, data=kept, time=frame.time)


async def polled(transport: Transport, job_id: str, offset: int) -> AsyncGenerator[Event, None]:
    """The same by asking again and again, less often while nothing happens."""
    delay, known = POLL_FIRST_SECONDS, None
    while True:
        # asked for before the log: what is read after the end is all there will be
        answer = await transport.get("mlops", "training", "jobs", job_id, logs="none")
        job = answer.read(Job)
        status = StatusEvent(
            status=job.status, phase=job.phase or "", queue_position=job.queue_position
        )
        if status != known:
            yield status
            known, delay = status, POLL_FIRST_SECONDS
        while True:
            parts = await read_slice(transport, job_id, offset, SLICE_BYTES)
            if parts == (None, None):
                break
            delay = POLL_FIRST_SECONDS
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
            )
            return
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, POLL_MOST_SECONDS)

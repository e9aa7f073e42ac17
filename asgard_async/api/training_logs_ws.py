"""GET /mlops/training/jobs/{job_id}/logs/ws: a WebSocket with a job's log and status, live."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from asgard_async.api.errors import UpgradeRequired
from asgard_async.api.http.authentication import agreed_protocols
from asgard_async.api.http.connections import set_dead_peer_timeout
from asgard_async.api.http.requests import token_of
from asgard_async.api.kept_log import is_log_kept
from asgard_async.api.metrics.component import METRICS
from asgard_async.api.openapi.decorators import docs, querystring_schema
from asgard_async.api.schemas.logs import StreamQuery
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.visible_job import visible_job
from asgard_async.auth.component import AUTHENTICATOR
from asgard_async.config.component import CONFIG
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.errors import JobNotFound
from asgard_async.jobs.component import FOLLOWERS
from asgard_async.jobs.followers import Follower
from asgard_async.logs.component import LOGS
from asgard_async.logs.reader import LogReader

PING_SECONDS = 20.0
CLOSE_SECONDS = 60.0
"""Time for a client to read what was already sent, and to close the connection."""
MAX_MESSAGE_BYTES = 4096
"""Limit for incoming messages: clients only need control frames; other messages are ignored."""
WRITER_LIMIT_BYTES = 16 * 1024

logger = logging.getLogger(__name__)

DESCRIPTION = """\
A WebSocket of text frames. Each frame is a JSON object with a `type`:

- `status`: `status`, `phase` and `queue_position`, sent on connect and on every change.
- `log`: `data` is the text of the bytes from `offset` to `next`; `time` is when they were written
  (`null` if unknown). Frames have no holes or overlaps and never split a character. Invalid UTF-8
  is replaced by U+FFFD.
- `gap`: the bytes from `offset` to `next` were dropped.
- `end`: `status`, `reason`, `exit_code`, `run_id`, `model_version`, `offset` and `log_kept`, sent
  after the last byte of a finished job's log. `log_kept` is false if the log is no longer stored:
  there were no `log` frames for that reason. The server then closes the connection with 1000.

To resume, connect again with `offset` set to the last `next`. Close code 1001 means that the
service is stopping or the job was deleted: connect again. 1008 means that the token was revoked,
or that the stream started without a token and one is required now. A client that stops reading for
`[logs] stalled_reader_seconds` is disconnected, and may resume. The server pings every 20 s and
ignores messages from the client.
"""


@docs(
    operation_id="stream_log",
    tags=["training"],
    summary="Follow a job's log",
    description=DESCRIPTION,
    parameters=[JOB_ID],
    responses=refusals(403, 404, 422, 426) | {"101": {"description": "The stream starts."}},
)
@querystring_schema(StreamQuery)
async def stream_log(request: web.Request) -> web.StreamResponse:
    """Stream a job's log live, from an offset to its end."""
    job_id = (await visible_job(request)).job_id
    ws = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        protocols=agreed_protocols(request),
        # logs compress well, but on one machine compression costs more than it saves
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        writer_limit=WRITER_LIMIT_BYTES,
    )
    if not ws.can_prepare(request):
        raise UpgradeRequired
    offset = min(request["querystring"]["offset"], await request.app[LOGS].size(job_id))
    await ws.prepare(request)
    stall_seconds = request.app[CONFIG].logs.stalled_reader_seconds
    if request.transport is not None:
        set_dead_peer_timeout(request.transport, 2 * stall_seconds)
    metrics, tasks = request.app[METRICS], BackgroundTasks()
    with (
        metrics.log_readers.track_inprogress(),
        request.app[FOLLOWERS].following(job_id) as follower,
        request.app[AUTHENTICATOR].grant(token_of(request), follower.stop) as grant,
    ):
        tasks.start("pings", _ping(ws, follower))
        tasks.start("listening", _listen(ws, follower))
        try:
            code = await _Stream(ws, request.app[LOGS], stall_seconds).run(follower, offset)
            if grant.is_revoked and code is not WSCloseCode.OK:
                code = WSCloseCode.POLICY_VIOLATION
            await tasks.stop()
            async with asyncio.timeout(stall_seconds + CLOSE_SECONDS):
                await ws.close(code=code)
        except TimeoutError:
            metrics.dropped_log_readers.inc()
            logger.info("client stopped reading the log of job %s; disconnecting it", job_id)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the client has disconnected
        finally:
            await tasks.stop()
    return ws


class _Stream:
    """The frames for one client."""

    def __init__(self, ws: web.WebSocketResponse, logs: LogReader, stall_seconds: float) -> None:
        self._ws = ws
        self._logs = logs
        self._stall_seconds = stall_seconds

    async def run(self, follower: Follower, offset: int) -> WSCloseCode:
        """Send frames to the end of the job, and return the close code.

        Raises:
            TimeoutError: the client stopped reading.
            ConnectionError: the client disconnected.
        """
        while not follower.is_stopped:
            follower.look()
            try:
                for state in await follower.states():
                    await self._send_document({"type": "status", **msgspec.to_builtins(state)})
                # checked before reading: if the job is over, the log read afterwards is complete
                is_over = follower.is_over
                piece = await follower.feed.piece(offset, is_complete=is_over)
                if is_over and not piece.frames and not piece.is_gone:
                    await self._send_document(await self._end(follower, offset))
                    return WSCloseCode.OK
            except JobNotFound:
                return WSCloseCode.GOING_AWAY
            for frame in piece.frames:
                if follower.is_stopped:  # a slow client takes a long time to read a piece
                    return WSCloseCode.GOING_AWAY
                await self._send(frame)
            offset = piece.next
            if piece.is_gone:
                return WSCloseCode.GOING_AWAY
            if not piece.frames:
                await follower.wait()
        return WSCloseCode.GOING_AWAY

    async def _end(self, follower: Follower, offset: int) -> dict[str, Any]:
        job = await follower.job()
        end = job.final_outcome
        return {
            "type": "end",
            "status": job.status,
            "reason": end.reason if end else None,
            "exit_code": end.exit_code if end else None,
            "run_id": job.tracking.run_id,
            "model_version": job.tracking.model_version,
            "offset": offset,
            "log_kept": await is_log_kept(self._logs, job),
        }

    async def _send_document(self, document: Mapping[str, Any]) -> None:
        await self._send(msgspec.json.encode(document))

    async def _send(self, frame: bytes) -> None:
        # returns once few bytes are buffered, so that nothing accumulates for a slow client
        async with asyncio.timeout(self._stall_seconds):
            await self._ws.send_frame(frame, WSMsgType.TEXT)


async def _ping(ws: web.WebSocketResponse, follower: Follower) -> None:
    """Keep proxies from closing the connection, and detect a dead peer."""
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(PING_SECONDS)
            await ws.ping()
    follower.stop()


async def _listen(ws: web.WebSocketResponse, follower: Follower) -> None:
    """Receive until the client closes or disconnects; receiving also answers its pings."""
    with contextlib.suppress(
        ConnectionError
    ):  # the client disconnected before its ping was answered
        while not ws.closed:
            await ws.receive()
    follower.stop()

"""GET /mlops/training/jobs/{job_id}/logs/ws: a job's log and its states, live, as a WebSocket."""

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
from asgard_async.api.http.requests import job_id_of, token_of
from asgard_async.api.metrics.component import METRICS
from asgard_async.api.openapi.decorators import docs, querystring_schema
from asgard_async.api.schemas.logs import StreamQuery
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.auth.component import AUTHENTICATOR
from asgard_async.config.component import CONFIG
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.errors import JobNotFound
from asgard_async.jobs.component import FOLLOWERS
from asgard_async.jobs.followers import Follower
from asgard_async.logs.component import LOGS
from asgard_async.store.component import STORE

PING_SECONDS = 20.0
CLOSE_SECONDS = 60.0
"""How long a reader may take to read what is on its way, and close."""
MAX_MESSAGE_BYTES = 4096
"""Of what readers send, which is nothing but control frames; the rest is not looked at."""
WRITER_LIMIT_BYTES = 16 * 1024

logger = logging.getLogger(__name__)

DESCRIPTION = """\
A WebSocket: text frames, one JSON object each, told apart by `type`.

- `status`: `status`, `phase` and `queue_position`, at once on connecting and on every change.
- `log`: `data` is the text of bytes `offset` up to `next`, `time` when they were written (`null`
  where that is not known). Frames follow each other without hole or overlap. A character is never
  cut; invalid UTF-8 appears as U+FFFD.
- `gap`: bytes `offset` up to `next` are not kept.
- `end`: `status`, `reason`, `exit_code`, `run_id`, `model_version` and `offset`, after the last
  byte of the log of a job that has finished. Then the connection is closed with 1000.

Connecting again with `offset` set to the last `next` resumes exactly. Closed with 1001: the service
stops, or the job was deleted; connect again. Closed with 1008: the token was revoked, or there was
none when the stream began, and now one is needed. A reader that takes nothing for
`[logs] stalled_reader_seconds` is cut off, and may resume. Pings come every 20 s; what a reader
sends is not looked at.
"""


@docs(
    operation_id="stream_log",
    tags=["training"],
    summary="Follow a job's log",
    description=DESCRIPTION,
    parameters=[JOB_ID],
    responses=refusals(403, 404, 422, 426) | {"101": {"description": "The stream begins."}},
)
@querystring_schema(StreamQuery)
async def stream_log(request: web.Request) -> web.StreamResponse:
    """Everything of a job's log from an offset on, live, up to its end."""
    job_id = (await request.app[STORE].get(job_id_of(request))).job_id
    ws = web.WebSocketResponse(
        timeout=CLOSE_SECONDS,
        protocols=agreed_protocols(request),
        # a log compresses well, but on one machine this costs more than it spares
        compress=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        writer_limit=WRITER_LIMIT_BYTES,
    )
    if not ws.can_prepare(request):
        raise UpgradeRequired
    offset = min(request["querystring"]["offset"], await request.app[LOGS].size(job_id))
    await ws.prepare(request)
    patience = request.app[CONFIG].logs.stalled_reader_seconds
    if request.transport is not None:
        set_dead_peer_timeout(request.transport, 2 * patience)
    metrics, beside = request.app[METRICS], BackgroundTasks()
    with (
        metrics.log_readers.track_inprogress(),
        request.app[FOLLOWERS].following(job_id) as follower,
        request.app[AUTHENTICATOR].grant(token_of(request), follower.stop) as grant,
    ):
        beside.start("pings", _ping(ws, follower))
        beside.start("listening", _listen(ws, follower))
        try:
            code = await _Stream(ws, patience).run(follower, offset)
            if grant.is_over and code is not WSCloseCode.OK:
                code = WSCloseCode.POLICY_VIOLATION
            await beside.stop()
            async with asyncio.timeout(patience + CLOSE_SECONDS):
                await ws.close(code=code)
        except TimeoutError:
            metrics.dropped_log_readers.inc()
            logger.info("a reader of the log of job %s stalled and is cut off", job_id)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the reader has gone
        finally:
            await beside.stop()
    return ws


class _Stream:
    """What one reader is sent."""

    def __init__(self, ws: web.WebSocketResponse, patience: float) -> None:
        self._ws = ws
        self._patience = patience

    async def run(self, follower: Follower, offset: int) -> WSCloseCode:
        """Send everything up to the end of the job; how to close then.

        Raises:
            TimeoutError: the reader takes nothing.
            ConnectionError: the reader has gone.
        """
        while not follower.is_stopped:
            follower.look()
            try:
                for state in await follower.states():
                    await self._send_document({"type": "status", **msgspec.to_builtins(state)})
                # asked before the log is read: then that is the whole log
                is_over = follower.is_over
                piece = await follower.feed.piece(offset, is_complete=is_over)
                if is_over and not piece.frames and not piece.is_gone:
                    await self._send_document(await _end(follower, offset))
                    return WSCloseCode.OK
            except JobNotFound:
                return WSCloseCode.GOING_AWAY
            for frame in piece.frames:
                if follower.is_stopped:  # a slow reader takes long for a piece
                    return WSCloseCode.GOING_AWAY
                await self._send(frame)
            offset = piece.next
            if piece.is_gone:
                return WSCloseCode.GOING_AWAY
            if not piece.frames:
                await follower.wait()
        return WSCloseCode.GOING_AWAY

    async def _send_document(self, document: Mapping[str, Any]) -> None:
        await self._send(msgspec.json.encode(document))

    async def _send(self, frame: bytes) -> None:
        # returns when little enough waits to be sent, so nothing piles up for a slow reader
        async with asyncio.timeout(self._patience):
            await self._ws.send_frame(frame, WSMsgType.TEXT)


async def _end(follower: Follower, offset: int) -> dict[str, Any]:
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
    }


async def _ping(ws: web.WebSocketResponse, follower: Follower) -> None:
    """Keep proxies from closing the connection, and notice a peer that is no more."""
    with contextlib.suppress(ConnectionError):
        while True:
            await asyncio.sleep(PING_SECONDS)
            await ws.ping()
    follower.stop()


async def _listen(ws: web.WebSocketResponse, follower: Follower) -> None:
    """Read what the reader sends, which answers its pings, until it closes or is gone."""
    with contextlib.suppress(ConnectionError):  # gone before its ping could be answered
        while not ws.closed:
            await ws.receive()
    follower.stop()

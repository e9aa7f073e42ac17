"""GET /mlops/training/jobs/{job_id}/logs: the raw output of a job."""

import logging
from collections.abc import AsyncGenerator

from aiohttp import web

from asgard_async.api.http.requests import job_id_of, token_of
from asgard_async.api.http.responses import stream
from asgard_async.api.kept_log import is_log_kept
from asgard_async.api.metrics.component import METRICS
from asgard_async.api.openapi.decorators import docs, querystring_schema, text_response
from asgard_async.api.schemas.logs import LogQuery
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.visible_job import visible_job
from asgard_async.auth.component import AUTHENTICATOR
from asgard_async.config.component import CONFIG
from asgard_async.domain.errors import JobNotFound, LogNotKept
from asgard_async.jobs.component import FOLLOWERS
from asgard_async.jobs.followers import Follower
from asgard_async.logs.component import LOGS
from asgard_async.logs.reader import CHUNK, LogReader, hole_marker
from asgard_async.logs.source import LogSlice

logger = logging.getLogger(__name__)

NEXT_HEADER = "X-Log-Next-Offset"


@docs(
    operation_id="get_logs",
    tags=["training"],
    summary="Read a job's log",
    description="The whole log has a line in place of dropped output; reads by offset skip it."
    f" {NEXT_HEADER} is the offset to continue at or, with follow, the offset of the first byte of"
    " the response. A followed log ends without the final chunk if the service stops, the job is"
    " deleted or the token is revoked. 404 with the type log-not-kept means that the log is no"
    " longer stored.",
    parameters=[JOB_ID],
    responses=refusals(404, 422)
    | text_response("text/plain", description="The log.", example="hello\n", headers=[NEXT_HEADER]),
)
@querystring_schema(LogQuery)
async def get_logs(request: web.Request) -> web.StreamResponse:
    """Return a job's log or a part of it."""
    logs, query = request.app[LOGS], request["querystring"]
    job = await visible_job(request)
    job_id = job.job_id
    if not await is_log_kept(logs, job):
        raise LogNotKept(job_id)
    if "tail" in query and not query["follow"]:
        return await _slice(request, await logs.tail_lines(job_id, query["tail"]))
    if "limit" in query:
        return await _slice(
            request, await logs.read(job_id, query.get("offset", 0), query["limit"])
        )
    if query["follow"]:
        return await _follow(request, job_id)
    end = await logs.size(job_id)
    pieces = (
        _bytes_from(logs, job_id, query["offset"], end)
        if "offset" in query
        else logs.whole(job_id, end)
    )
    return await stream(request, web.StreamResponse(headers=_headers(end)), pieces)


async def _follow(request: web.Request, job_id: str) -> web.StreamResponse:
    logs, query = request.app[LOGS], request["querystring"]
    metrics, stall_seconds = request.app[METRICS], request.app[CONFIG].logs.stalled_reader_seconds
    start = query.get("offset", 0)
    if "tail" in query:
        start = (await logs.tail_lines(job_id, query["tail"])).offset
    start = min(start, await logs.size(job_id))
    is_whole = not query.keys() & {"offset", "tail"}
    response = web.StreamResponse(headers=_headers(start))
    with (
        metrics.log_readers.track_inprogress(),
        request.app[FOLLOWERS].following(job_id) as follower,
        request.app[AUTHENTICATOR].grant(token_of(request), follower.stop),
    ):
        pieces = _live(logs, job_id, follower, start, marks_hole=is_whole)
        try:
            return await stream(request, response, pieces, stall_seconds=stall_seconds)
        except TimeoutError:
            metrics.dropped_log_readers.inc()
            logger.info("client stopped reading the log of job %s; disconnecting it", job_id)
            if request.transport is not None:
                request.transport.abort()
        except _IncompleteError:
            # without the final chunk, so that the client does not take this for the end of the log
            if request.transport is not None:
                request.transport.close()
        return response


class _IncompleteError(Exception):
    """A log cannot be followed to its end: the service is stopping, the job was deleted, or the
    token was revoked."""


async def _live(
    logs: LogReader, job_id: str, follower: Follower, start: int, *, marks_hole: bool
) -> AsyncGenerator[bytes, None]:
    """Yield the log from `start` to the end of the job.

    Raises:
        _IncompleteError: the log cannot be followed to its end.
    """
    offset = start
    while not follower.is_stopped:
        follower.look()
        try:
            await follower.states()
        except JobNotFound as error:
            raise _IncompleteError from error
        piece = await logs.read(job_id, offset, CHUNK)
        if marks_hole and piece.offset > offset:
            yield hole_marker(offset, piece.offset)
        if piece.data:
            yield piece.data
        elif piece.size < offset:
            raise _IncompleteError
        elif follower.is_over:
            return
        else:
            await follower.wait()
        offset = max(offset, piece.next)
    raise _IncompleteError


async def _bytes_from(
    logs: LogReader, job_id: str, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    async for piece in logs.pieces(job_id, start, end):
        yield piece.data


async def _slice(request: web.Request, part: LogSlice) -> web.StreamResponse:
    headers = _headers(part.next)
    if len(part.data) <= CHUNK:
        return web.Response(body=part.data, headers=headers)
    # read again in pieces: of clients that do not read, each would keep megabytes in memory
    start, end = part.offset, part.next
    del part
    response = web.StreamResponse(headers=headers)
    response.content_length = end - start
    try:
        return await stream(request, response, _exactly(request, start, end))
    except _IncompleteError:
        if request.transport is not None:
            request.transport.abort()
        return response


async def _exactly(request: web.Request, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from `start` up to `end`.

    Raises:
        _IncompleteError: some of them were dropped meanwhile.
    """
    offset = start
    async for piece in request.app[LOGS].pieces(job_id_of(request), start, end):
        if piece.offset != offset:
            break
        yield piece.data
        offset = piece.next
    if offset != end:
        raise _IncompleteError


def _headers(next_offset: int) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        NEXT_HEADER: str(next_offset),
    }

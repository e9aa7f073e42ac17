"""GET /mlops/training/jobs/{job_id}/logs: a job's output, in bytes as it wrote them."""

from collections.abc import AsyncGenerator

from aiohttp import web

from asgard_async.api.decorators import docs, querystring_schema, text_response
from asgard_async.api.keys import LOGS, STORE
from asgard_async.api.replies import stream
from asgard_async.api.requests import job_id_of
from asgard_async.api.schemas.logs import LogQuery
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.logs.reader import LogReader, LogSlice

NEXT_HEADER = "X-Log-Next-Offset"


@docs(
    tags=["training"],
    summary="Read a job's log",
    description="The whole log shows a line where output was dropped; reading by offset skips it."
    f" {NEXT_HEADER} says where to go on.",
    parameters=[JOB_ID],
    responses=refusals(404, 422)
    | text_response("text/plain", description="The log.", example="hello\n", headers=[NEXT_HEADER]),
)
@querystring_schema(LogQuery)
async def get_logs(request: web.Request) -> web.StreamResponse:
    """A job's log or a part of it."""
    logs, query = request.app[LOGS], request["querystring"]
    job_id = (await request.app[STORE].get(job_id_of(request))).job_id
    if "tail" in query:
        return _slice(await logs.tail_lines(job_id, query["tail"]))
    if "limit" in query:
        return _slice(await logs.read(job_id, query.get("offset", 0), query["limit"]))
    end = await logs.size(job_id)
    pieces = (
        _bytes_from(logs, job_id, query["offset"], end)
        if "offset" in query
        else logs.whole(job_id, end)
    )
    return await stream(request, web.StreamResponse(headers=_headers(end)), pieces)


async def _bytes_from(
    logs: LogReader, job_id: str, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    async for piece in logs.pieces(job_id, start, end):
        yield piece.data


def _slice(part: LogSlice) -> web.Response:
    return web.Response(body=part.data, headers=_headers(part.next))


def _headers(next_offset: int) -> dict[str, str]:
    return {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        NEXT_HEADER: str(next_offset),
    }

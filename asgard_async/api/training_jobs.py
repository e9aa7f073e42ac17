"""/mlops/training/jobs: list, get and delete jobs."""

import codecs
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web

from asgard_async.api.cursor import read_cursor, write_cursor
from asgard_async.api.http.audit import audited_as
from asgard_async.api.http.requests import job_id_of, requester_of
from asgard_async.api.http.responses import reply, stream
from asgard_async.api.kept_log import is_log_kept
from asgard_async.api.openapi.decorators import docs, querystring_schema, response_schema
from asgard_async.api.schemas.job_in_full import JobInFullSchema
from asgard_async.api.schemas.job_queries import JobListQuery, JobQuery
from asgard_async.api.schemas.jobs import JobListSchema
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.views import Document, view_job, view_job_in_full
from asgard_async.api.visible_job import visible_job
from asgard_async.core.timestamps import now
from asgard_async.jobs.component import DELETER
from asgard_async.logs.component import LOGS
from asgard_async.logs.source import LogSlice
from asgard_async.mlflow.component import GATEWAY
from asgard_async.mlflow.run_page import run_page
from asgard_async.store.component import STORE
from asgard_async.store.listing import Cursor, JobFilter

TAIL_BYTES = 64 * 1024


@docs(
    operation_id="list_jobs",
    tags=["training"],
    summary="List jobs, newest first",
    description="To get the next page, pass next_cursor as cursor.",
    responses=refusals(422),
)
@querystring_schema(JobListQuery)
@response_schema(JobListSchema, 200, description="A page of jobs.")
async def list_jobs(request: web.Request) -> web.Response:
    """Return a page of the jobs that match the filters."""
    query = dict(request["querystring"])
    limit, cursor = query.pop("limit"), query.pop("cursor", None)
    after = read_cursor(cursor) if cursor is not None else None
    requester = requester_of(request)
    if query.pop("mine"):
        query["mine"] = requester.owner
    only = JobFilter(**query, visible_owner=requester.visible_owner)
    page = await request.app[STORE].list(only, after=after, limit=limit)
    next_cursor = None
    if page.has_more:
        last = page.jobs[-1]
        next_cursor = write_cursor(Cursor(created_at=last.created_at, seq=last.seq))
    return reply({"jobs": [view_job(job) for job in page.jobs], "next_cursor": next_cursor})


@docs(
    operation_id="get_job",
    tags=["training"],
    summary="Get a job",
    description="Includes the last 64 KiB of the job's log, no log, or all of it. Invalid UTF-8 in"
    " the log is replaced by U+FFFD.",
    parameters=[JOB_ID],
    responses=refusals(404, 422),
)
@querystring_schema(JobQuery)
@response_schema(JobInFullSchema, 200, description="The job.")
async def get_job(request: web.Request) -> web.StreamResponse:
    """Return the details of a job."""
    store, logs = request.app[STORE], request.app[LOGS]
    job = await visible_job(request)
    document = view_job_in_full(
        job,
        history=await store.history(job.job_id),
        queue_position=await store.queue_position(job),
        is_own=requester_of(request).owns(job),
        log_kept=await is_log_kept(logs, job),
        run_url=run_page(request.app[GATEWAY].public_uri, job.tracking),
        at=now(),
    )
    match request["querystring"]["logs"]:
        case "none":
            return reply(document)
        case "tail":
            tail = await logs.tail_bytes(job.job_id, TAIL_BYTES)
            return reply(document | {"logs": decode_tail(tail)})
        case _:
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = "application/json"
            return await stream(request, response, _with_log(document, logs.whole(job.job_id)))


@audited_as("delete_job")
@docs(
    operation_id="delete_job",
    tags=["training"],
    summary="Delete a finished job",
    description="Delete the job with its script and log. Its MLflow runs and models stay.",
    parameters=[JOB_ID],
    responses=refusals(403, 404, 409) | {"204": {"description": "Deleted."}},
)
async def delete_job(request: web.Request) -> web.Response:
    """Delete a finished job."""
    await request.app[DELETER].delete(job_id_of(request), requester_of(request))
    return web.Response(status=204)


def decode_tail(tail: LogSlice) -> str:
    """Decode the end of a log, dropping a partial character at its start."""
    data = tail.data
    if tail.offset > 0:
        start = next((n for n, byte in enumerate(data[:4]) if byte & 0xC0 != 0x80), 0)
        data = data[start:]
    return data.decode("utf-8", "replace")


async def _with_log(
    document: Document, log: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    """Yield the document as JSON with a member "logs", one piece of the log at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    yield msgspec.json.encode(document)[:-1] + b',"logs":"'
    async with aclosing(log) as pieces:
        async for piece in pieces:
            yield msgspec.json.encode(decoder.decode(piece))[1:-1]
    yield msgspec.json.encode(decoder.decode(b"", final=True))[1:-1] + b'"}'

"""/mlops/training/jobs/{job_id}/files: what a job's script left in its working directory."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Sequence
from urllib.parse import unquote_to_bytes

import msgspec
from aiohttp import hdrs, web
from aiohttp.helpers import content_disposition_header

from asgard_async.api.errors import InvalidRequest
from asgard_async.api.http.byte_ranges import etag_of, is_unchanged, part_for
from asgard_async.api.http.requests import token_of
from asgard_async.api.http.responses import stream
from asgard_async.api.openapi.decorators import (
    binary_response,
    docs,
    querystring_schema,
    response_schema,
)
from asgard_async.api.schemas.files import TAR, FileListSchema, FilesQuery, view_files
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.visible_job import visible_job
from asgard_async.auth.component import AUTHENTICATOR
from asgard_async.core.files.foreign_tree import Listing, OpenFile
from asgard_async.domain.errors import NoSuchFile
from asgard_async.domain.job import Job
from asgard_async.jobs.component import FILES
from asgard_async.jobs.files import FileChanged, Folder

OCTETS, TAR_TYPE = "application/octet-stream", "application/x-tar"
UNCHANGED = {"304": {"description": "Not changed since If-None-Match.", "headers": [hdrs.ETAG]}}
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

PATH = {
    "in": "path",
    "name": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "A file or a folder below the working directory, with slashes.",
    "example": "outputs/model.pkl",
}


@docs(
    operation_id="list_files",
    tags=["training"],
    summary="List a job's files",
    description="What the script left in its working directory, also while it runs. Links are"
    " listed, but never followed. format=tar downloads all files instead.",
    parameters=[JOB_ID],
    responses=refusals(404, 410, 422),
)
@querystring_schema(FilesQuery)
@response_schema(FileListSchema, 200, description="The files.", binary=(TAR_TYPE,))
async def list_files(request: web.Request) -> web.StreamResponse:
    """Return a list of a job's files, or a tar of them."""
    query, job = request["querystring"], await visible_job(request)
    names = _checked_names(job, query["path"])
    if query["format"] == TAR:
        return await _send_tar(request, job, names)
    listing = await request.app[FILES].listing(job, names, recursive=query["recursive"])
    prefix = "".join(f"{name}/" for name in names)
    return web.Response(
        # a list of 20,000 files would hold up the event loop
        body=await asyncio.to_thread(_encoded, job.job_id, prefix, listing),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@docs(
    operation_id="get_file",
    tags=["training"],
    summary="Download a file or a folder of a job",
    description="A file as it is, with ETag; one Range is supported, with If-Range. A folder as a"
    " tar of the files in it. If a file becomes shorter meanwhile, the response breaks off.",
    parameters=[JOB_ID, PATH],
    responses=refusals(404, 410, 416, 422)
    | binary_response(200, OCTETS, TAR_TYPE, description="The file, or a tar of the folder.")
    | binary_response(
        206,
        OCTETS,
        description="A part of the file.",
        headers=[hdrs.CONTENT_RANGE, hdrs.ETAG],
    )
    | UNCHANGED,
)
async def get_file(request: web.Request) -> web.StreamResponse:
    """Return a file of a job, or a tar of a folder."""
    job = await visible_job(request)
    names = _checked_names(job, os.fsdecode(unquote_to_bytes(_raw_path(request))))
    found = await request.app[FILES].opened(job, names)
    if isinstance(found, Folder):
        return await _send_tar(request, job, names)
    try:
        return await _send_file(request, found, names[-1])
    finally:
        found.close()


def _encoded(job_id: str, prefix: str, listing: Listing) -> bytes:
    return msgspec.json.encode(view_files(job_id, prefix, listing))


def _raw_path(request: web.Request) -> str:
    """Return the path of the file as sent: decoded, other bytes than UTF-8 would be ambiguous."""
    return request.rel_url.raw_path.split("/", 6)[6]


def _checked_names(job: Job, path: str) -> Sequence[str]:
    names = [name for name in path.split("/") if name not in {"", "."}]
    if ".." in names:
        raise NoSuchFile(job.job_id, path[:200], "is not below the working directory")
    return names


async def _send_file(request: web.Request, file: OpenFile, name: str) -> web.StreamResponse:
    size, etag = file.status.st_size, etag_of(file.status)
    headers = {**_attachment(name), hdrs.ETAG: etag, hdrs.ACCEPT_RANGES: "bytes"}
    if is_unchanged(request, etag):
        return web.Response(status=304, headers=headers)
    part = part_for(request, size, etag)
    response = web.StreamResponse(status=200 if part.is_whole else 206, headers=headers)
    response.content_type, response.content_length = OCTETS, part.end - part.start
    if not part.is_whole:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {part.start}-{part.end - 1}/{size}"
    return await _send(request, response, request.app[FILES].pieces(file, part.start, part.end))


async def _send_tar(request: web.Request, job: Job, folder: Sequence[str]) -> web.StreamResponse:
    files = request.app[FILES]
    listing = await files.listing(job, folder)
    if listing.is_cut:
        raise InvalidRequest(
            {"path": ["The folder has too many files for a tar; download folders in it instead."]}
        )
    name = folder[-1] if folder else job.job_id
    response = web.StreamResponse(headers=_attachment(f"{name}.tar"))
    response.content_type = TAR_TYPE
    return await _send(request, response, files.tar(job, folder, listing))


def _attachment(name: str) -> dict[str, str]:
    shown = CONTROL.sub("_", os.fsencode(name).decode("utf-8", "replace"))
    return {
        hdrs.CONTENT_DISPOSITION: content_disposition_header("attachment", filename=shown),
        hdrs.CACHE_CONTROL: "private, no-cache",
    }


async def _send(
    request: web.Request, response: web.StreamResponse, pieces: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """Send a body; break the connection off if it cannot be completed."""

    def abort() -> None:
        if request.transport is not None:
            request.transport.abort()

    with request.app[AUTHENTICATOR].grant(token_of(request), abort):
        try:
            return await stream(request, response, pieces)
        except FileChanged:
            abort()
            return response

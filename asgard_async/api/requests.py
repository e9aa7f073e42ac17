"""What a request carries along: its id, its owner, whether it is being answered."""

import re
import secrets

from aiohttp import web

from asgard_async.jobs.errors import JobNotFound

HEADER = "X-Request-ID"

_well_formed = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
OWNER = web.RequestKey("owner", str)
"""Name of the token that a request came with; absent while the API is open."""
_ANSWERED = web.RequestKey("answered", bool)


def request_id(request: web.BaseRequest) -> str:
    """The id of a request: the client's own where it is well-formed, else one drawn once."""
    known: str | None = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(HEADER, "")
        known = given if _well_formed.fullmatch(given) else secrets.token_hex(8)
        request[_REQUEST_ID] = known
    return known


def owner(request: web.Request) -> str:
    """Name of the token that the request came with; empty while the API is open."""
    name: str = request.get(OWNER, "")
    return name


def is_answered(request: web.BaseRequest) -> bool:
    """Whether a response to the request has begun, so that no other can be given."""
    return _ANSWERED in request


async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: what holds for every response."""
    request[_ANSWERED] = True
    put_headers(request, response)


def put_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put the headers on a response that every response has."""
    response.headers[HEADER] = request_id(request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "Asgard"  # and not the versions of what it is made of


def job_id_of(request: web.Request) -> str:
    """The job that the address names.

    Raises:
        JobNotFound: no job can have that id.
    """
    job_id = request.match_info["job_id"]
    if not re.fullmatch(r"[0-9a-f]{8}", job_id):
        raise JobNotFound(job_id[:40])
    return job_id

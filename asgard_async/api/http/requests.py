"""What a request carries along: its id, its owner, whether it is being answered."""

import random
import re

from aiohttp import web

from asgard_async.auth.token import Token
from asgard_async.domain.errors import JobNotFound

HEADER = "X-Request-ID"
POLICY = "Content-Security-Policy"

COMMON_HEADERS = {
    "Server": "Asgard",  # and not the versions of what it is made of
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # a log or a script that a browser shows is text, and nothing in it may do anything
    POLICY: (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    ),
}
"""What every answer has. A page brings a Content-Security-Policy of its own."""

_ids = random.Random()  # noqa: S311  # no secrets; the system's own cost a call for each
_well_formed = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
TOKEN = web.RequestKey("token", Token)
"""The token that a request came with; absent while the API is open."""
_ANSWERED = web.RequestKey("answered", bool)


def request_id(request: web.BaseRequest) -> str:
    """The id of a request: the client's own where it is well-formed, else one drawn once."""
    known: str | None = request.get(_REQUEST_ID)
    if known is None:
        given = request.headers.get(HEADER, "")
        known = given if _well_formed.fullmatch(given) else draw_request_id()
        request[_REQUEST_ID] = known
    return known


def draw_request_id() -> str:
    """An id for a request that brought none."""
    return f"{_ids.getrandbits(64):016x}"


def owner(request: web.Request) -> str:
    """Name of the token that the request came with; empty while the API is open."""
    token = token_of(request)
    return token.name if token is not None else ""


def token_of(request: web.Request) -> Token | None:
    """The token that the request came with; None while the API is open."""
    token: Token | None = request.get(TOKEN)
    return token


def is_answered(request: web.BaseRequest) -> bool:
    """Whether a response to the request has begun, so that no other can be given."""
    return _ANSWERED in request


async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: what holds for every response."""
    request[_ANSWERED] = True
    put_headers(request, response)


def put_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Put the headers on a response that every response has."""
    policy = response.headers.popone(POLICY, None)
    response.headers.update(COMMON_HEADERS)
    response.headers[HEADER] = request_id(request)
    if policy is not None:
        response.headers[POLICY] = policy


def job_id_of(request: web.Request) -> str:
    """The job that the address names.

    Raises:
        JobNotFound: no job can have that id.
    """
    job_id = request.match_info["job_id"]
    if not re.fullmatch(r"[0-9a-f]{8}", job_id):
        raise JobNotFound(job_id[:40])
    return job_id

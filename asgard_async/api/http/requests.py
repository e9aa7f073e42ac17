"""Data attached to a request: its id, its token, and whether its response has started."""

import random
import re

from aiohttp import web
from multidict import CIMultiDict, istr

from asgard_async.auth.token import Scope, Token
from asgard_async.config.component import CONFIG
from asgard_async.domain.errors import JobNotFound
from asgard_async.domain.requester import ANYONE, Requester

HEADER = istr("X-Request-ID")
POLICY = istr("Content-Security-Policy")

COMMON_HEADERS = CIMultiDict(
    {
        "Server": "Asgard",  # without the versions of aiohttp and Python
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        # a browser shows logs and scripts as inert text
        POLICY: (
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            " sandbox"
        ),
    }
)
"""Headers of every response. Pages set their own Content-Security-Policy."""

# the ids are not secret; the system's generator would cost a system call for each id
_ids = random.Random()  # noqa: S311
_well_formed = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
TOKEN = web.RequestKey("token", Token)
"""The token of a request; absent while the API is open."""
_ANSWERED = web.RequestKey("answered", bool)


def request_id(request: web.BaseRequest) -> str:
    """Return the id of a request: the client's id if well-formed, else a generated id."""
    stored_id: str | None = request.get(_REQUEST_ID)
    if stored_id is None:
        stored_id = request.headers.get(HEADER)
        if stored_id is None or not _well_formed.fullmatch(stored_id):
            stored_id = new_request_id()
        request[_REQUEST_ID] = stored_id
    return stored_id


def new_request_id() -> str:
    """Generate the id of a request that has none."""
    return f"{_ids.getrandbits(64):016x}"


def owner(request: web.Request) -> str:
    """Return the name of the request's token; empty while the API is open."""
    token = token_of(request)
    return token.name if token is not None else ""


def requester_of(request: web.Request) -> Requester:
    """Return the party behind a request, and the jobs that it may read and change."""
    token = token_of(request)
    if token is None:
        return ANYONE
    is_admin = token.scope is Scope.ADMIN
    return Requester(
        owner=token.name,
        is_bounded=True,
        changes_others=is_admin,
        reads_others=is_admin or request.app[CONFIG].access.others_read,
    )


def token_of(request: web.Request) -> Token | None:
    """Return the request's token; None while the API is open."""
    token: Token | None = request.get(TOKEN)
    return token


def is_answered(request: web.BaseRequest) -> bool:
    """Return whether a response has started; another can then no longer be sent."""
    return _ANSWERED in request


async def mark_response(request: web.Request, response: web.StreamResponse) -> None:
    """Record that the response starts, and add the common headers (for `on_response_prepare`)."""
    request[_ANSWERED] = True
    put_headers(request, response)


def put_headers(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """Add the headers that every response has."""
    headers = response.headers
    policy = headers.get(POLICY)
    headers.update(COMMON_HEADERS)
    headers[HEADER] = request_id(request)
    if policy is not None:
        headers[POLICY] = policy


def job_id_of(request: web.Request) -> str:
    """Return the job id in the path of a request.

    Raises:
        JobNotFound: the id is malformed.
    """
    job_id = request.match_info["job_id"]
    if not re.fullmatch(r"[0-9a-f]{8}", job_id):
        raise JobNotFound(job_id[:40])
    return job_id

"""What a request carries along: its id."""

import re
import secrets

from aiohttp import web

HEADER = "X-Request-ID"

_well_formed = re.compile(r"[A-Za-z0-9._-]{1,128}")
_REQUEST_ID = web.RequestKey("request_id", str)
_ANSWERED = web.RequestKey("answered", bool)


def request_id(request: web.BaseRequest) -> str:
    """The id of a request: the client's own where it is well-formed, else one drawn once."""
    if _REQUEST_ID not in request:
        given = request.headers.get(HEADER, "")
        request[_REQUEST_ID] = given if _well_formed.fullmatch(given) else secrets.token_hex(8)
    return request[_REQUEST_ID]


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

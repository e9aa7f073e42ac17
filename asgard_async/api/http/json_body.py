"""JSON bodies: read within limits of size and time, and decoded safely.

The loaders of aiohttp and webargs answer 500 to deeply nested JSON and to 5000-digit integers.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import TypeAlias

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from asgard_async.api.errors import (
    BodyTooLarge,
    InvalidRequest,
    MalformedBody,
    UnsupportedMediaType,
)
from asgard_async.api.http.bodies import BODIES, IncomingBodies
from asgard_async.config.component import CONFIG

MAX_COMPOUND_BYTES = 1024 * 1024
"""Limit of a list or object within a body: once decoded, it takes several times that memory."""
TOO_LARGE = "Too large"
UNKNOWN_FIELD = "Unknown field."

Scalar: TypeAlias = bool | int | float | str | None
# No field of the API is deeper than an object or list of scalars. Decoding no deeper bounds both
# the depth and the number of Python objects that a small body can create.
Value: TypeAlias = Scalar | list[Scalar] | dict[str, Scalar]

LONE_SURROGATE = re.compile(
    rb"(?<!\\)\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\)(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)

_value: msgspec.json.Decoder[Value] = msgspec.json.Decoder(Value)


async def read_submission(request: web.Request, fields: Iterable[str]) -> dict[str, Value]:
    """Read the body of an upload or a retry, within the configured bounds.

    Raises:
        See `read_json_object`.
    """
    config = request.app[CONFIG]
    return await read_json_object(
        request,
        fields,
        bodies=request.app[BODIES],
        max_bytes=config.server.max_body_bytes,
        seconds=config.http.body_seconds,
    )


async def read_json_object(
    request: web.Request,
    fields: Iterable[str],
    *,
    bodies: IncomingBodies,
    max_bytes: int,
    seconds: float,
) -> dict[str, Value]:
    """Read the body of a request as a JSON object with some of `fields`.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON in UTF-8, or is compressed.
        BodyTooLarge: the body has more than `max_bytes`.
        BodyTooSlow: the body takes longer than `seconds` to arrive.
        TooManyBodies: no memory for the body became available in time.
        MalformedBody: the body is not JSON.
        InvalidRequest: the JSON has the wrong shape, or an unknown field.
    """
    require_json(request)
    body = await read_body(request, bodies, max_bytes=max_bytes, seconds=seconds)
    return decode_object(body, frozenset(fields))


def require_json(request: web.Request) -> None:
    """Check that the headers declare an uncompressed JSON body.

    Raises:
        UnsupportedMediaType: the body is not declared as JSON in UTF-8, or is compressed.
    """
    # content_type is "application/octet-stream" if the header is missing or malformed
    if request.content_type != "application/json":
        raise UnsupportedMediaType("Send the body as JSON, with Content-Type: application/json.")
    if (request.charset or "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType("Send the body in UTF-8; other charsets are not supported.")
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")


async def read_body(
    request: web.Request, bodies: IncomingBodies, *, max_bytes: int, seconds: float
) -> bytes:
    """Read the whole body, with at most `max_bytes` and one network chunk in memory.

    Raises:
        BodyTooLarge: the body has more than `max_bytes`.
        BodyTooSlow: the body takes longer than `seconds` to arrive.
        TooManyBodies: no memory for the body became available in time.
        MalformedBody: the chunks of the body are malformed.
    """
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLarge(max_bytes)
    body = bytearray()
    try:
        async with bodies.receive(request, seconds=seconds, max_bytes=max_bytes) as incoming:
            while chunk := await request.content.readany():
                await incoming.count(chunk)
                body += chunk
                if len(body) > max_bytes:
                    raise BodyTooLarge(max_bytes)
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise MalformedBody(
            "The body does not match its Content-Length or Transfer-Encoding."
        ) from error
    return bytes(body)


def decode_object(body: bytes, fields: frozenset[str]) -> dict[str, Value]:
    """Decode a JSON object whose fields hold scalars, or lists or objects of scalars.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidRequest: the JSON has the wrong shape, or a field that is not in `fields`.
    """
    if not body:
        raise MalformedBody("The body is empty; send a JSON object.")
    values: dict[str, Value] = {}
    errors: dict[str, list[str]] = {}
    for name, raw in _decode_fields(body, fields).items():
        try:
            values[name] = _decode_value(raw)
        except msgspec.ValidationError as error:
            errors[name] = [_shape_message(error)]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedBody(_not_json(error, body)) from error
    if errors:
        raise InvalidRequest(errors)
    return values


def _decode_fields(body: bytes, fields: frozenset[str]) -> dict[str, msgspec.Raw]:
    try:
        try:
            record = _decoder_of(fields).decode(body)
        except msgspec.ValidationError as error:
            # if the body is not JSON at all, report that instead
            body.decode()
            msgspec.json.decode(body, type=msgspec.Raw)
            raise InvalidRequest(_object_errors(error)) from error
    except RecursionError as error:
        raise MalformedBody("The body is nested too deeply.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(_not_json(error, body)) from error
    values = {name: getattr(record, name) for name in fields}
    return {name: raw for name, raw in values.items() if raw is not msgspec.UNSET}


@cache
def _decoder_of(fields: frozenset[str]) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder that stops at the first unknown field, before it decodes the value."""
    kind = msgspec.defstruct(
        "Body",
        [(name, msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for name in fields],
        forbid_unknown_fields=True,
    )
    return msgspec.json.Decoder(kind)


def _object_errors(error: msgspec.ValidationError) -> dict[str, list[str]]:
    if match := re.search(r"unknown field `(.*)`", str(error), re.DOTALL):
        return {match[1]: [UNKNOWN_FIELD]}
    return {"body": ["Must be a JSON object."]}


def _decode_value(raw: msgspec.Raw) -> Value:
    text = memoryview(raw)
    if bytes(text[:1]) in {b"[", b"{"} and len(text) > MAX_COMPOUND_BYTES:
        raise msgspec.ValidationError(TOO_LARGE)
    return _value.decode(text)


def _not_json(error: Exception, body: bytes) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "The body is not valid UTF-8."
    # msgspec's own message is "truncated"
    if surrogate := LONE_SURROGATE.search(body):
        return (
            f"The body is not valid JSON: lone surrogate (\\ud800 to \\udfff) at byte"
            f" {surrogate.start()}; escape both halves of the character, or write the character"
            " itself."
        )
    return f"The body is not valid JSON: {error}."


def _shape_message(error: msgspec.ValidationError) -> str:
    if str(error) == TOO_LARGE:
        return f"{TOO_LARGE}: lists and objects may have {MAX_COMPOUND_BYTES} bytes of JSON."
    if "out of range" in str(error):
        return "Contains a number that is out of range."
    return "Nested too deeply: items must be text, numbers, true, false or null."

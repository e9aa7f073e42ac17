"""The parser of queries and JSON bodies that aiohttp_apispec's `validation_middleware` uses."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from aiohttp import web
from marshmallow import Schema, ValidationError
from webargs.aiohttpparser import AIOHTTPParser
from webargs.multidictproxy import MultiDictProxy

from asgard_async.api.errors import InvalidRequest
from asgard_async.api.http.bodies import IncomingBodies
from asgard_async.api.http.json_body import Value, read_json_object

MAX_PARAMETERS = 64


class RequestParser(AIOHTTPParser):
    """webargs' parser with Asgard's JSON reader and its flat field errors."""

    def __init__(self, bodies: IncomingBodies, *, max_body_bytes: int, seconds: float) -> None:
        super().__init__(error_handler=refuse_fields)
        self._bodies = bodies
        self._max_body_bytes = max_body_bytes
        self._seconds = seconds

    async def load_json(self, req: web.Request, schema: Schema) -> dict[str, Value]:
        return await read_json_object(
            req,
            schema.fields,
            bodies=self._bodies,
            max_bytes=self._max_body_bytes,
            seconds=self._seconds,
        )

    def load_querystring(self, req: web.Request, schema: Schema) -> MultiDictProxy:
        # repeated names and lone surrogates are meaningless here
        errors: dict[str, list[str]] = {}
        for name, value in list(req.query.items())[:MAX_PARAMETERS]:
            if len(req.query.getall(name)) > 1:
                errors[name] = ["Must be given only once."]
            elif not is_unicode(value):
                errors[name] = ["Must be valid UTF-8."]
        if errors:
            raise InvalidRequest(errors)
        if len(req.query) > MAX_PARAMETERS:
            raise InvalidRequest({"query": [f"Must have at most {MAX_PARAMETERS} parameters."]})
        return super().load_querystring(req, schema)


def refuse_fields(
    error: ValidationError, req: web.Request, schema: Schema, **_kwargs: Any
) -> NoReturn:
    """Raise InvalidRequest from webargs' error, whose messages are keyed by location and field."""
    messages: Any = error.messages
    (by_field,) = messages.values()
    raise InvalidRequest(flatten(by_field)) from error


def flatten(messages: Any) -> dict[str, list[str]]:
    """Flatten marshmallow's nested messages to dotted field → list of messages."""
    flat: dict[str, list[str]] = {}
    for path, message in _walk(messages, ()):
        flat.setdefault(".".join(path) or "body", []).append(message)
    return flat


def _walk(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            # "_schema" holds errors of no single field
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _walk(inner, path)
    else:
        yield path, str(messages)


def is_unicode(text: str) -> bool:
    """Return whether the text can be stored and sent: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

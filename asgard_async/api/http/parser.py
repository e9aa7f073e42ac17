"""What `validation_middleware` of aiohttp_apispec reads queries and bodies with."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from aiohttp import web
from marshmallow import Schema, ValidationError
from webargs.aiohttpparser import AIOHTTPParser
from webargs.multidictproxy import MultiDictProxy

from asgard_async.api.errors import InvalidRequest
from asgard_async.api.http.bodies import Bodies
from asgard_async.api.http.json_body import Value, read_json_object

MAX_PARAMETERS = 64


class RequestParser(AIOHTTPParser):
    """webargs' parser with Asgard's JSON loading and its one form of field errors."""

    def __init__(self, bodies: Bodies, *, max_body_bytes: int, seconds: float) -> None:
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
        # names that are given twice, and text that no UTF-8 can carry, mean nothing here
        errors: dict[str, list[str]] = {}
        for name, value in list(req.query.items())[:MAX_PARAMETERS]:
            if len(req.query.getall(name)) > 1:
                errors[name] = ["Is given more than once."]
            elif not is_unicode(value):
                errors[name] = ["Is not valid UTF-8."]
        if errors:
            raise InvalidRequest(errors)
        if len(req.query) > MAX_PARAMETERS:
            raise InvalidRequest({"query": [f"At most {MAX_PARAMETERS} parameters are read."]})
        return super().load_querystring(req, schema)


def refuse_fields(
    error: ValidationError, req: web.Request, schema: Schema, **_kwargs: Any
) -> NoReturn:
    """webargs' error callback: `error.messages` has the location, then the fields."""
    messages: Any = error.messages
    (by_field,) = messages.values()
    raise InvalidRequest(flatten(by_field)) from error


def flatten(messages: Any) -> dict[str, list[str]]:
    """marshmallow's nested messages as dotted field → list of messages."""
    flat: dict[str, list[str]] = {}
    for path, message in _walk(messages, ()):
        flat.setdefault(".".join(path) or "body", []).append(message)
    return flat


def _walk(messages: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            # "_schema": what is wrong with no single field
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    elif isinstance(messages, list):
        for inner in messages:
            yield from _walk(inner, path)
    else:
        yield path, str(messages)


def is_unicode(text: str) -> bool:
    """Whether the text can be stored and sent: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

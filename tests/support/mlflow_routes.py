"""The table of MLflow's routes, with its auth application, and requests that name a victim.

    python -m tests.support.mlflow_routes

prints the routes as JSON. It runs in a process of its own, since the auth application changes
MLflow for good.
"""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MAX_DEPTH = 5
WELL_KNOWN = {
    "google.protobuf.Timestamp": "2026-01-01T00:00:00Z",
    "google.protobuf.Duration": "1s",
    "google.protobuf.Value": True,
    "google.protobuf.Struct": {},
}
"""Messages with a JSON form of their own."""
PARAMETER = re.compile(r"[<{](?:path:)?(\w+)(?::path)?[>}]")


@dataclasses.dataclass(frozen=True)
class Route:
    """A route of MLflow, and the fields of its request: names of fields, of messages as a dict."""

    path: str
    method: str
    fields: Mapping[str, Any]
    is_decided: bool = True
    """False if the auth application does not know the route."""


def routes(directory: Path) -> list[Route]:
    """Return MLflow's routes; `directory` is for the files of the process that finds them."""
    command = [sys.executable, "-m", "tests.support.mlflow_routes", str(directory)]
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    ).stdout
    return [Route(**route) for route in json.loads(output.splitlines()[-1])]


def body_for(fields: Mapping[str, Any], victim: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request that names the victim wherever it can."""
    return {name: _value(name, kind, victim) for name, kind in fields.items()}


def path_for(route: Route, victim: Mapping[str, Any]) -> str:
    """Return the route's path with the victim in place of its parameters."""
    return PARAMETER.sub(lambda match: str(_scalar(match[1], "string", victim)), route.path)


def in_camel_case(value: Any) -> Any:
    """Return a JSON value with the other names that protocol buffers accept."""
    if isinstance(value, list):
        return [in_camel_case(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_(\w)", lambda match: match[1].upper(), key): in_camel_case(one)
        for key, one in value.items()
    }


def _value(name: str, kind: Any, victim: Mapping[str, Any]) -> Any:
    if isinstance(kind, list):
        return [_value(name.removesuffix("s") if name not in victim else name, kind[0], victim)]
    if isinstance(kind, dict):
        return body_for(kind, victim)
    return _scalar(name, kind, victim)


def _scalar(name: str, kind: str, victim: Mapping[str, Any]) -> Any:
    if name in victim:
        return victim[name]
    return {"string": "x", "number": 1, "bool": True, **WELL_KNOWN}[kind]


# --- in the other process -------------------------------------------------------------------


def _found() -> Iterator[Route]:
    from mlflow.server import app
    from mlflow.server import auth as mlflow_auth
    from mlflow.server import handlers as mlflow_handlers

    auth: Any = mlflow_auth
    handlers: Any = mlflow_handlers

    application = auth.create_app(app)
    messages: dict[tuple[str, str], Any] = {
        (re.sub(r"<[^>]*>", "<>", path), method): message
        for path, message, methods in handlers.get_endpoints(lambda message: message)
        for method in methods
    }
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            message = messages.get((re.sub(r"<[^>]*>", "<>", rule.rule), method))
            descriptor = getattr(message, "DESCRIPTOR", None)
            fields = {} if descriptor is None else _fields(descriptor)
            with app.test_request_context(PARAMETER.sub("1", rule.rule), method=method):
                is_decided = _is_decided(auth)
            yield Route(rule.rule, method, fields, is_decided)
    for path, operations in application.openapi()["paths"].items():
        for method in operations:
            yield Route(path, method.upper(), {})


def _is_decided(auth: Any) -> bool:
    from flask import request

    return bool(
        auth._find_validator(request)
        or auth._is_proxy_artifact_path(request.path)
        or auth._authorized_outside_before_request(request)
        or auth.is_unprotected_route(request.path)
    )


def _fields(descriptor: Any, depth: int = 0) -> dict[str, Any]:
    return {
        field.name: _kind(field, depth)
        for field in descriptor.fields
        if depth < MAX_DEPTH or field.message_type is None
        # only one field of each choice may be sent
        if field.containing_oneof is None or field is field.containing_oneof.fields[0]
    }


def _kind(field: Any, depth: int) -> Any:
    kind: Any = "number"
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return {"key": "string"}
        if field.message_type.full_name in WELL_KNOWN:
            return field.message_type.full_name
        kind = _fields(field.message_type, depth + 1)
    elif field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
        kind = "string"
    elif field.type == field.TYPE_BOOL:
        kind = "bool"
    return [kind] if field.is_repeated else kind


def _main() -> None:
    import os

    os.chdir(sys.argv[1])
    os.environ |= {
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "key",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED": "true",
    }
    found = {(route.path, route.method): route for route in _found()}
    sys.stdout.write("\n" + json.dumps([dataclasses.asdict(route) for route in found.values()]))


if __name__ == "__main__":
    _main()

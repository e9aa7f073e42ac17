"""The introduction, tags, security schemes and headers of the OpenAPI document."""

from typing import Any

from asgard_async.api.http.problem import CHALLENGES

DESCRIPTION = """\
A training server for one machine: submit a Python training script, follow its log, and find its
MLflow run and model.

Bodies are JSON in UTF-8. Times are RFC 3339 in UTC with `Z`. Undocumented fields are rejected.

Errors are problem documents (RFC 9457, `application/problem+json`). Their `detail` says what to do;
`errors` has messages for each invalid field. Besides the errors listed for each operation, unknown
paths return 404, unsupported methods 405 with `Allow`, and malformed HTTP 400. If the machine runs
out of a resource for a moment, the status is 503; if the disk is full, 507. Every `GET` also
supports `HEAD`.

Once a token exists (`asgard token create`), everything but `/health/*` requires one. A request
without a valid token returns 401, one with an insufficient scope 403. The scopes are `read` (read
everything, if `[access] others_read` is true), `submit` (also submit jobs, and cancel, retry and
delete the token's own jobs) and `admin` (everything).
"""

INFO: dict[str, Any] = {
    "description": DESCRIPTION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS: list[dict[str, str]] = [
    {"name": "training", "description": "Jobs: submit, follow, cancel, retry, delete."},
    {"name": "models", "description": "Models in MLflow's registry."},
    {"name": "service", "description": "Health, status and metrics of the service."},
]

SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token from `asgard token create`.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "For browsers: any user name, and the token as the password.",
    },
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "required": True,
        "description": "The request's id in the service's log: the client's if well-formed, else a"
        " generated one.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "ce6de29b219a4172",
    },
    "Location": {
        "required": True,
        "description": "Path of the new resource.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/mlops/training/jobs/3f9c01ab",
    },
    "Retry-After": {
        "required": True,
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 5,
    },
    "WWW-Authenticate": {
        "required": True,
        "description": "Accepted ways to send a token.",
        "schema": {"type": "string"},
        "example": CHALLENGES,
    },
    "ETag": {
        "required": True,
        "description": "Identifies the state of the file; weak within a second of a change.",
        "schema": {"type": "string"},
        "example": '"fe01-2a-cc6e-18a5"',
    },
    "Content-Range": {
        "required": True,
        "description": "The bytes in the response, and the size of the file.",
        "schema": {"type": "string"},
        "example": "bytes 0-99/52318",
    },
    "X-Log-Next-Offset": {
        "required": True,
        "description": "Offset of the next byte of the log.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 6,
    },
}

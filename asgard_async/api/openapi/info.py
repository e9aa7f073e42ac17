"""What the document says in words."""

from typing import Any

from asgard_async.api.http.problem import CHALLENGES

DESCRIPTION = """\
A training server for one machine: submit a Python training script, follow it, find its MLflow run
and its model.

Bodies are JSON in UTF-8; times are RFC 3339 in UTC with `Z`. Fields that are not documented are
refused.

Every refusal is a problem document (RFC 9457, `application/problem+json`) whose `detail` says what
to do, with messages by field where fields are wrong. Beyond what stands at each operation, an
address that does not exist is 404, a method that it does not have 405 with `Allow`, and what cannot
be read as HTTP 400. What the machine lacks for a moment is 503, and a full disk 507. `HEAD` is
answered wherever `GET` is.

Once a token has been made (`asgard token create`), everything but `/health/*` wants one: 401
without, 403 where its scope does not do (`read`: look; `submit`: jobs, too; `admin`: everything).
"""

INFO: dict[str, Any] = {
    "description": DESCRIPTION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

TAGS: list[dict[str, str]] = [
    {"name": "training", "description": "Jobs: submit, follow, cancel, repeat, delete."},
    {"name": "models", "description": "What MLflow's registry holds."},
    {"name": "service", "description": "How the service is."},
]

SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `asgard token create`.",
    },
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "The token as the password, with any user name: for browsers.",
    },
}

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "required": True,
        "description": "Names the request in the service's log; that of the request where it is"
        " well-formed.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "example": "ce6de29b219a4172",
    },
    "Location": {
        "required": True,
        "description": "Where the answer is found from now on.",
        "schema": {"type": "string", "format": "uri-reference"},
        "example": "/mlops/training/jobs/3f9c01ab",
    },
    "Retry-After": {
        "required": True,
        "description": "Seconds after which it is worth trying again.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 5,
    },
    "WWW-Authenticate": {
        "required": True,
        "description": "How a token is to be given.",
        "schema": {"type": "string"},
        "example": CHALLENGES,
    },
    "X-Log-Next-Offset": {
        "required": True,
        "description": "Offset of what follows in the log.",
        "schema": {"type": "integer", "minimum": 0},
        "example": 6,
    },
}

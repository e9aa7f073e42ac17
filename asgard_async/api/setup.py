"""Puts the HTTP edge onto an application."""

import warnings

from aiohttp import web
from aiohttp_apispec import validation_middleware

from asgard_async.api.http.audit import audit
from asgard_async.api.http.authentication import guard
from asgard_async.api.http.bodies import Bodies
from asgard_async.api.http.middlewares import problems
from asgard_async.api.http.parser import RequestParser
from asgard_async.api.http.requests import mark_response
from asgard_async.api.keys import (
    API_DOCUMENT,
    ARCHIVE_SUBMISSION_SCHEMA,
    AUDIT,
    AUTHENTICATOR,
    BODIES,
    CONFIG,
    METRICS,
    SUBMISSION_SCHEMA,
)
from asgard_async.api.metrics.middleware import count_requests
from asgard_async.api.metrics.service_metrics import Metrics
from asgard_async.api.openapi.document import ApiDocument
from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.api.schemas.submission import (
    ArchiveSubmissionSchema,
    SubmissionLimits,
    SubmissionSchema,
)
from asgard_async.auth.failures import Failures


def setup_api(app: web.Application) -> None:
    """Add every URL, with what stands around the handlers.

    `CONFIG`, `READINESS`, `DOOR` and `AUDIT` must be in the application by now, the other keys of
    `asgard_async.api.keys` when it starts to serve.
    """
    config = app[CONFIG]
    app[METRICS] = metrics = Metrics(slots=config.jobs.slots)
    app[BODIES] = bodies = Bodies(
        total_bytes=config.http.max_bodies_bytes, min_rate=config.http.min_body_rate
    )
    limits = SubmissionLimits.of(config.jobs, config.limits)
    app[SUBMISSION_SCHEMA] = submission = SubmissionSchema(limits)
    app[ARCHIVE_SUBMISSION_SCHEMA] = ArchiveSubmissionSchema(limits)
    app[API_DOCUMENT] = ApiDocument(ROUTES, configured=[submission])
    with warnings.catch_warnings():
        # aiohttp_apispec looks under these names, and has no typed keys
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        app["_apispec_parser"] = RequestParser(
            bodies,
            max_body_bytes=config.server.max_body_bytes,
            seconds=config.http.body_seconds,
        )
        app["_apispec_request_data_name"] = "data"
    guarded = guard(app[AUTHENTICATOR], Failures(), allowed_hosts=config.server.own_names)
    app.middlewares.extend(
        [
            count_requests(metrics),
            problems,
            guarded,
            audit(app[AUDIT]),
            bodies.releasing(),
            validation_middleware,
        ]
    )
    app.on_response_prepare.append(mark_response)
    app.add_routes([*ROUTES, *PAGES])

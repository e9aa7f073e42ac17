"""The component of the HTTP API: routes, and middlewares around their handlers."""

import warnings

from aiohttp import web
from aiohttp_apispec import validation_middleware

from asgard_async.api.http.audit import audit
from asgard_async.api.http.authentication import guard
from asgard_async.api.http.bodies import BODIES, IncomingBodies
from asgard_async.api.http.middlewares import problems
from asgard_async.api.http.parser import RequestParser
from asgard_async.api.http.requests import mark_response
from asgard_async.api.http.requests_in_progress import RequestsInProgress
from asgard_async.api.metrics.component import METRICS, set_up_metrics
from asgard_async.api.metrics.middleware import count_requests
from asgard_async.api.openapi.document import API_DOCUMENT, ApiDocument
from asgard_async.api.routes import PAGES, ROUTES
from asgard_async.api.schemas.submission import (
    ARCHIVE_SUBMISSION_SCHEMA,
    SUBMISSION_SCHEMA,
    ArchiveSubmissionSchema,
    SubmissionSchema,
)
from asgard_async.api.schemas.submission_rules import SubmissionLimits
from asgard_async.auth.component import AUTHENTICATOR, DENIALS, FAILURES
from asgard_async.auth.failures import Failures
from asgard_async.config.component import CONFIG


def set_up_api(app: web.Application) -> None:
    """Add the routes, and the middlewares around their handlers.

    `CONFIG`, `READINESS` and what `set_up_auth` adds must already be in the application.
    """
    config = app[CONFIG]
    set_up_metrics(app)
    app[BODIES] = bodies = IncomingBodies(
        total_bytes=config.http.max_bodies_bytes, min_rate=config.http.min_body_rate
    )
    limits = SubmissionLimits.of(config.jobs, config.limits)
    app[SUBMISSION_SCHEMA] = submission = SubmissionSchema(limits)
    app[ARCHIVE_SUBMISSION_SCHEMA] = ArchiveSubmissionSchema(limits)
    app[API_DOCUMENT] = ApiDocument(ROUTES, configured=[submission])
    with warnings.catch_warnings():
        # aiohttp_apispec reads these string keys; it has no typed ones
        warnings.simplefilter("ignore", web.NotAppKeyWarning)
        app["_apispec_parser"] = RequestParser(
            bodies,
            max_body_bytes=config.server.max_body_bytes,
            seconds=config.http.body_seconds,
        )
        app["_apispec_request_data_name"] = "data"
    app[DENIALS].counted = app[METRICS].count_denied
    guarded = guard(
        app[AUTHENTICATOR],
        Failures(),
        in_progress=RequestsInProgress(config.http),
        denials=app[DENIALS],
        allowed_hosts=config.server.own_names,
    )
    app.middlewares.extend(
        [
            count_requests(app[METRICS]),
            problems,
            guarded,
            audit(app[FAILURES]),
            bodies.releasing(),
            validation_middleware,
        ]
    )
    app.on_response_prepare.append(mark_response)
    app.add_routes([*ROUTES, *PAGES])

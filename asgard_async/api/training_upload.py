"""POST /mlops/training/upload: submit a script."""

from collections.abc import MutableMapping

from aiohttp import web
from marshmallow import ValidationError

from asgard_async.api.body import Value, read_json_object
from asgard_async.api.decorators import docs, documented_body, response_schema
from asgard_async.api.keys import CONFIG, SUBMISSION_SCHEMA, SUBMITTER
from asgard_async.api.parser import flatten
from asgard_async.api.replies import reply
from asgard_async.api.requests import owner
from asgard_async.api.schemas.jobs import JobSchema, NewJobSchema
from asgard_async.api.schemas.problem import refusals
from asgard_async.api.schemas.submission import SubmissionSchema, to_submission
from asgard_async.api.views import job_path, view_job
from asgard_async.jobs.errors import InvalidSubmission

KEY_HEADER = "Idempotency-Key"


@docs(
    tags=["training"],
    summary="Submit a training script",
    description="Once this answers 202 the job survives any crash of the service.",
    parameters=[
        {
            "in": "header",
            "name": KEY_HEADER,
            "schema": {"type": "string", "maxLength": 255},
            "description": "As the field idempotency_key.",
        }
    ],
    responses=refusals(400, 408, 409, 413, 415, 422, 429, 503),
)
@documented_body(SubmissionSchema)
@response_schema(NewJobSchema, 202, description="Accepted.", headers=["Location"])
@response_schema(
    JobSchema,
    200,
    description="The job that the idempotency key stands for.",
    headers=["Location"],
)
async def upload(request: web.Request) -> web.Response:
    """Accept a job."""
    schema = request.app[SUBMISSION_SCHEMA]
    max_bytes = request.app[CONFIG].server.max_body_bytes
    document = await read_json_object(request, schema.fields, max_bytes=max_bytes)
    _take_key_from_header(request, document)
    try:
        loaded = schema.load(document)
    except ValidationError as error:
        raise InvalidSubmission(flatten(error.messages)) from error
    submission = to_submission(loaded, owner=owner(request))
    job, created = await request.app[SUBMITTER].submit(submission)
    return reply(
        view_job(job),
        status=202 if created else 200,
        headers={"Location": job_path(job.job_id)},
    )


def _take_key_from_header(request: web.Request, document: MutableMapping[str, Value]) -> None:
    given: list[Value] = [*request.headers.getall(KEY_HEADER, [])]
    if "idempotency_key" in document:
        given.append(document["idempotency_key"])
    elif given:
        document["idempotency_key"] = given[0]
    if any(key != given[0] for key in given):
        raise InvalidSubmission(
            {"idempotency_key": [f"Differs from the header {KEY_HEADER}; give one of them."]}
        )

"""POST /mlops/training/upload: submit a script or an archive."""

from collections.abc import Mapping, MutableMapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import Any

from aiohttp import web
from marshmallow import ValidationError

from asgard_async.api.http.audit import audited_as
from asgard_async.api.http.bodies import BODIES
from asgard_async.api.http.json_body import read_submission
from asgard_async.api.http.multipart import Form, read_form
from asgard_async.api.http.parser import flatten
from asgard_async.api.http.requests import requester_of
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, documented_body, response_schema
from asgard_async.api.schemas.jobs import JOB_LINKS, JobSchema, NewJobSchema, job_path
from asgard_async.api.schemas.problem import refusals
from asgard_async.api.schemas.submission import (
    ARCHIVE_SUBMISSION_SCHEMA,
    SUBMISSION_SCHEMA,
    SubmissionSchema,
    UploadFormSchema,
    to_archive_submission,
    to_submission,
)
from asgard_async.api.views import view_job
from asgard_async.config.component import CONFIG
from asgard_async.domain.errors import InvalidSubmission
from asgard_async.domain.submission import Submission
from asgard_async.jobs.submit.component import SUBMITTER
from asgard_async.store.component import ARCHIVES

KEY_HEADER = "Idempotency-Key"


@audited_as("upload")
@docs(
    operation_id="upload",
    tags=["training"],
    summary="Submit a training script",
    description="Once the response is 202, the job survives any crash of the service.",
    parameters=[
        {
            "in": "header",
            "name": KEY_HEADER,
            "schema": {"type": "string", "maxLength": 255},
            "description": "Same as the field idempotency_key.",
        }
    ],
    responses=refusals(400, 403, 408, 409, 413, 415, 422, 429, 503, 507),
    form=UploadFormSchema(),
)
@documented_body(SubmissionSchema)
@response_schema(NewJobSchema, 202, description="Accepted.", headers=["Location"], links=JOB_LINKS)
@response_schema(
    JobSchema,
    200,
    description="The job that already has this idempotency key.",
    headers=["Location"],
    links=JOB_LINKS,
)
async def upload(request: web.Request) -> web.Response:
    """Accept a job."""
    request.app[SUBMITTER].refuse_if_closed()  # before reading a body that may be large
    if request.content_type != "multipart/form-data":
        return await _submit(request, await _from_json(request))
    # on every exit, an archive that no job uses is deleted
    with ExitStack() as held:
        app = request.app
        form = await read_form(request, app[ARCHIVES], held, bodies=app[BODIES], config=app[CONFIG])
        field = "entrypoint" if form.archive is not None else "script"
        try:
            return await _submit(request, _from_form(request, form))
        except InvalidSubmission as error:
            if (
                "script_content" in form.errors
            ):  # the client sent this field, which forms do not have
                raise
            raise InvalidSubmission(_renamed(error.errors, "script_content", field)) from error


async def _submit(request: web.Request, submission: Submission) -> web.Response:
    job, created = await request.app[SUBMITTER].submit(submission)
    return reply(
        view_job(job),
        status=202 if created else 200,
        headers={"Location": job_path(job.job_id)},
    )


async def _from_json(request: web.Request) -> Submission:
    schema = request.app[SUBMISSION_SCHEMA]
    document = await read_submission(request, schema.fields)
    _take_key_from_header(request, document)
    return to_submission(_load(schema, document), requester=requester_of(request))


def _from_form(request: web.Request, form: Form) -> Submission:
    document = form.document
    by_archive = form.script is None and (form.archive is not None or "archive" in form.errors)
    _take_key_from_header(request, document)
    if "entrypoint" in document:  # shells complete paths with this prefix
        document["entrypoint"] = document["entrypoint"].removeprefix("./")
    if by_archive and "script_name" in document:
        form.add_error("script_name", "Not allowed: the name of an archive is its file name.")
    elif form.file_name:
        document.setdefault("script_name", form.file_name)
    if form.script is not None:
        document["script_content"] = form.script
        if "entrypoint" in document:
            form.add_error("entrypoint", "Not allowed: only archives have an entrypoint.")
            del document["entrypoint"]
    elif not by_archive and "script" not in form.errors:
        form.add_error("script", "Send a part 'script' (a .py file) or 'archive' (.zip, .tar.gz).")
    schema = request.app[ARCHIVE_SUBMISSION_SCHEMA if by_archive else SUBMISSION_SCHEMA]
    loaded = _load(schema, document, form.errors)
    if form.archive is not None:
        return to_archive_submission(loaded, form.archive, requester=requester_of(request))
    return to_submission(loaded, requester=requester_of(request))


def _load(
    schema: SubmissionSchema,
    document: Mapping[str, Any],
    errors: Mapping[str, list[str]] = MappingProxyType({}),
) -> dict[str, Any]:
    """Load fields; raise their errors together with earlier errors."""
    load_errors: dict[str, list[str]] = {}
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as error:
        load_errors = flatten(error.messages)
    if load_errors or errors:
        raise InvalidSubmission({**load_errors, **errors})
    return loaded


def _renamed(errors: Mapping[str, list[str]], old: str, new: str) -> dict[str, list[str]]:
    renamed = {name: messages for name, messages in errors.items() if name != old}
    if old in errors:
        renamed.setdefault(new, errors[old])
    return renamed


def _take_key_from_header(request: web.Request, document: MutableMapping[str, Any]) -> None:
    keys: list[Any] = [*request.headers.getall(KEY_HEADER, [])]
    if "idempotency_key" in document:
        keys.append(document["idempotency_key"])
    elif keys:
        document["idempotency_key"] = keys[0]
    if any(key != keys[0] for key in keys):
        raise InvalidSubmission(
            {"idempotency_key": [f"Differs from the header {KEY_HEADER}; send one of them."]}
        )

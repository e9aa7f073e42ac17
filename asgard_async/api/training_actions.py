"""POST /mlops/training/jobs/{job_id}/cancel and …/retry."""

from aiohttp import web

from asgard_async.api.http.audit import audited_as
from asgard_async.api.http.json_body import read_submission
from asgard_async.api.http.requests import job_id_of, requester_of
from asgard_async.api.http.responses import reply
from asgard_async.api.openapi.decorators import docs, documented_body, response_schema
from asgard_async.api.schemas.jobs import JOB_LINKS, JobSchema, RetriedJobSchema, job_path
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.schemas.revision import CHANGEABLE, JobChangesSchema, revised
from asgard_async.api.schemas.submission import ARCHIVE_SUBMISSION_SCHEMA, SUBMISSION_SCHEMA
from asgard_async.api.views import view_job
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.submission import Revision
from asgard_async.jobs.component import CANCELLER
from asgard_async.jobs.submit.component import RETRIER


@audited_as("cancel")
@docs(
    operation_id="cancel",
    tags=["training"],
    summary="Cancel a job",
    description="Cancel a queued, building or running job. A finished job stays as it is.",
    parameters=[JOB_ID],
    responses=refusals(403, 404),
)
@response_schema(
    JobSchema, 202, description="The job is cancelled, or is being stopped.", links=JOB_LINKS
)
async def cancel(request: web.Request) -> web.Response:
    """Cancel a job."""
    job = await request.app[CANCELLER].cancel(job_id_of(request), requester_of(request))
    return reply(view_job(job), status=202)


@audited_as("retry")
@docs(
    operation_id="retry",
    tags=["training"],
    summary="Retry a job",
    description="Submit a new job with the same specification and script, or with changes: the"
    " body is a JSON merge patch of the upload. If an administrator retries the job of another"
    " token, its environment_vars are left out.",
    parameters=[JOB_ID],
    responses=refusals(400, 403, 404, 408, 409, 413, 415, 422, 429, 503, 507),
)
@documented_body(JobChangesSchema, required=False)
@response_schema(
    RetriedJobSchema, 202, description="The new job.", headers=["Location"], links=JOB_LINKS
)
async def retry(request: web.Request) -> web.Response:
    """Submit a new job with the same specification, or with changes."""
    changes = await read_submission(request, CHANGEABLE) if request.body_exists else {}

    def revise(job: Job, spec: JobSpec) -> Revision:
        schema = SUBMISSION_SCHEMA if job.archive is None else ARCHIVE_SUBMISSION_SCHEMA
        return revised(spec, changes, request.app[schema])

    job, omitted = await request.app[RETRIER].retry(
        job_id_of(request), requester_of(request), revise if changes else None
    )
    return reply(
        view_job(job) | {"omitted": omitted},
        status=202,
        headers={"Location": job_path(job.job_id)},
    )

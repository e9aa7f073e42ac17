"""The job in the path of a request, if the client may see it."""

from aiohttp import web

from asgard_async.api.http.requests import job_id_of, requester_of
from asgard_async.domain.job import Job
from asgard_async.store.component import STORE


async def visible_job(request: web.Request) -> Job:
    """Return the job in the path of a request.

    Raises:
        JobNotFound: there is no such job, or the client may not see it.
    """
    job = await request.app[STORE].get(job_id_of(request))
    requester_of(request).check_reads(job)
    return job

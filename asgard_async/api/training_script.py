"""GET /mlops/training/jobs/{job_id}/script: the uploaded script or archive."""

from aiohttp import web
from aiohttp.helpers import content_disposition_header

from asgard_async.api.openapi.decorators import docs, text_response
from asgard_async.api.schemas.problem import JOB_ID, refusals
from asgard_async.api.visible_job import visible_job
from asgard_async.core.archives.suffixes import ZIP
from asgard_async.domain.errors import ArchiveNotKept
from asgard_async.store.component import ARCHIVES, STORE


@docs(
    operation_id="get_script",
    tags=["training"],
    summary="Get a job's script or archive",
    description="The bytes as uploaded.",
    parameters=[JOB_ID],
    responses=refusals(404)
    | text_response(
        "text/x-python",
        description="The script, or the archive.",
        example='print("hello")\n',
        binary=("application/zip", "application/gzip"),
    ),
)
async def get_script(request: web.Request) -> web.StreamResponse:
    """Return the script or archive of a job."""
    job = await visible_job(request)
    headers = {
        "Content-Disposition": content_disposition_header(
            "attachment", filename=job.spec.script_name
        ),
        "Cache-Control": "no-store",
    }
    if job.archive is None:
        script = await request.app[STORE].script(job.job_id)
        headers["Content-Type"] = "text/x-python; charset=utf-8"
        return web.Response(body=script, headers=headers)
    path = request.app[ARCHIVES].path(job.archive)
    if not path.exists():
        raise ArchiveNotKept(job.job_id)
    is_zip = job.archive.endswith(ZIP)
    headers["Content-Type"] = "application/zip" if is_zip else "application/gzip"
    return web.FileResponse(path, headers=headers)

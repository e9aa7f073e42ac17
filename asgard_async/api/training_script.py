"""GET /mlops/training/jobs/{job_id}/script: the script as it was uploaded."""

from aiohttp import web
from aiohttp.helpers import content_disposition_header

from asgard_async.api.decorators import docs, text_response
from asgard_async.api.keys import STORE
from asgard_async.api.requests import job_id_of
from asgard_async.api.schemas.problem import JOB_ID, refusals


@docs(
    tags=["training"],
    summary="Get a job's script",
    description="Byte for byte as it was uploaded.",
    parameters=[JOB_ID],
    responses=refusals(404)
    | text_response("text/x-python", description="The script.", example='print("hello")\n'),
)
async def get_script(request: web.Request) -> web.Response:
    """The script of a job."""
    store = request.app[STORE]
    job = await store.get(job_id_of(request))
    return web.Response(
        body=await store.script(job.job_id),
        headers={
            "Content-Type": "text/x-python; charset=utf-8",
            "Content-Disposition": content_disposition_header(
                "attachment", filename=job.spec.script_name
            ),
            "Cache-Control": "no-store",
        },
    )

"""Health: the process answers, and accepts jobs or not."""

from asgard_async.core.component import READINESS
from tests.support.api_service import get_json, problem
from tests.support.app_server import Client
from tests.support.eventually import eventually
from tests.support.service import NOWHERE


async def test_a_service_accepting_jobs_is_live_and_ready(api: Client) -> None:
    assert await get_json(api, "/health/live") == {"status": "live"}
    assert (await get_json(api, "/health/ready"))["status"] == "ready"


async def test_problems_are_reported_while_jobs_are_accepted(api: Client) -> None:
    async def warnings() -> list[str]:
        found: list[str] = (await get_json(api, "/health/ready"))["warnings"]
        # an ordinary user may also lack control groups
        return [one for one in found if one.startswith(("MLflow", "Something"))]

    (warning,) = await eventually(warnings, what="a warning")
    assert warning.startswith(f"MLflow at {NOWHERE} cannot be reached")
    fixed: list[bool] = []
    api.app[READINESS].watch(lambda: "" if fixed else "Something else.")
    assert await warnings() == [warning, "Something else."]
    fixed.append(True)
    assert await warnings() == [warning]


async def test_a_stopping_service_is_live_but_not_ready(api: Client) -> None:
    api.app[READINESS].drain()
    assert await get_json(api, "/health/live") == {"status": "live"}
    document = await problem(await api.get("/health/ready"), 503)
    assert document["reasons"] == ["The service is stopping and accepts no new jobs."]

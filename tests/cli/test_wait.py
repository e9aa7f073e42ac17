"""`asgard wait` and `asgard logs -f`, which exit as the job did."""

import json

import pytest

from tests.support.preloaded_command import asgard
from tests.support.service import Service

pytestmark = pytest.mark.service

SCRIPTS = {
    0: "print('fine')",
    3: "raise SystemExit(3)",
    137: "import os; os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("code", SCRIPTS)
async def test_it_exits_as_the_job_did(shared: Service, code: int) -> None:
    job_id = await shared.submit(SCRIPTS[code])
    done = asgard("wait", job_id[:8], ASGARD_URL=shared.url)
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(f"{job_id}  {'failed' if code else 'completed'}")
    assert asgard("logs", "-f", job_id, ASGARD_URL=shared.url).returncode == code


async def test_a_cancelled_job_is_130(shared: Service) -> None:
    job_id = await shared.submit("import time; time.sleep(60)")
    assert asgard("cancel", job_id, ASGARD_URL=shared.url).returncode == 0
    for command in (("wait", job_id), ("logs", "-f", job_id)):
        assert asgard(*command, ASGARD_URL=shared.url).returncode == 130


async def test_of_several_jobs_the_first_failure_counts(shared: Service) -> None:
    job_ids = [await shared.submit(SCRIPTS[code]) for code in (0, 3, 137)]
    done = asgard("wait", *job_ids, "--json", ASGARD_URL=shared.url)
    assert done.returncode == 3
    assert [job["job_id"] for job in json.loads(done.stdout)] == job_ids
    assert asgard("wait", job_ids[0], job_ids[0], ASGARD_URL=shared.url).returncode == 0


async def test_it_gives_up_after_the_timeout(shared: Service) -> None:
    first = await shared.submit("print()")
    second = await shared.submit("import time; time.sleep(60)")
    done = asgard("wait", first, second, "--timeout", "0.5", ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert f"{second} has not ended within 0.5 s." in done.stderr
    asgard("cancel", second, ASGARD_URL=shared.url)


@pytest.mark.parametrize("command", [("wait",), ("logs", "-f")])
def test_an_unknown_job_has_no_result(shared: Service, command: tuple[str, ...]) -> None:
    done = asgard(*command, "ffffffff", ASGARD_URL=shared.url)
    assert done.returncode == 125
    assert "ffffffff" in done.stderr

"""Requests for `resources`, in every form of a submission."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.asgard_command import asgard
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

LIMITS = {"ASGARD_LIMITS__MEMORY_MB": "2048", "ASGARD_LIMITS__CPUS": "2"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One service for the module; no test changes it."""
    data_dir = tmp_path_factory.mktemp("limited") / "data"
    async with running_service(data_dir, WITHOUT_MLFLOW | LIMITS) as service:
        yield service


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        ({"memory_mb": 2049}, "resources.memory_mb"),
        ({"memory_mb": 15}, "resources.memory_mb"),
        ({"memory_mb": "512"}, "resources.memory_mb"),
        ({"cpus": 2.1}, "resources.cpus"),
        ({"cpus": 0}, "resources.cpus"),
        ({"cpus": True}, "resources.cpus"),
        ({"gpus": 1}, "resources.gpus"),
        ([], "resources"),
        (None, "resources"),
    ],
)
async def test_unavailable_resources_are_rejected(
    limited: Service, resources: Any, field: str
) -> None:
    status, problem = await limited.upload("print()", resources=resources)
    assert (status, [*problem["errors"]]) == (422, [field])


async def test_resources_are_set_by_json_form_and_cli(limited: Service, tmp_path: Path) -> None:
    asked = {"memory_mb": 512, "cpus": 1.5}
    ids = [await limited.submit("print()", resources=asked)]
    form = aiohttp.FormData({"experiment_name": "e", "model_name": "m"})
    form.add_field("resources", json.dumps(asked))
    form.add_field("script", b"print()", filename="train.py")
    status, job = await limited.post("/mlops/training/upload", data=form)
    assert status == 202, job
    ids.append(job["job_id"])
    script = tmp_path / "train.py"
    script.write_text("print()")
    done = asgard(
        *("run", script, "--detach", "--memory", "0.5G", "--cpus", "1.5"), ASGARD_URL=limited.url
    )
    ids.append(done.stdout.strip())
    status, job = await limited.post(f"/mlops/training/jobs/{ids[0]}/retry")
    assert status == 202
    ids.append(job["job_id"])
    for job_id in ids:
        assert (await limited.finished(job_id))["limits"] == asked
    shown = asgard("show", ids[0], ASGARD_URL=limited.url)
    assert "512.0 MB of memory, 1.5 CPUs" in shown.stdout.replace("MiB", "MB")


async def test_without_a_request_no_resources_are_shown(limited: Service) -> None:
    job = await limited.finished(await limited.submit("print()"))
    assert job["limits"] == {"memory_mb": None, "cpus": None}
    assert "limits" not in asgard("show", job["job_id"], ASGARD_URL=limited.url).stdout


async def test_form_resources_must_be_an_object(limited: Service) -> None:
    form = aiohttp.FormData({"experiment_name": "e", "model_name": "m", "resources": "much"})
    form.add_field("script", b"print()", filename="train.py")
    status, problem = await limited.post("/mlops/training/upload", data=form)
    assert (status, [*problem["errors"]]) == (422, ["resources"])


async def test_open_files_and_file_size_are_limited(tmp_path: Path) -> None:
    settings = {"ASGARD_LIMITS__OPEN_FILES": "100", "ASGARD_LIMITS__FILE_MB": "3"}
    script = """
import idna, resource
print(resource.getrlimit(resource.RLIMIT_NOFILE)[1], resource.getrlimit(resource.RLIMIT_FSIZE)[1])
"""
    async with running_service(tmp_path / "data", WITHOUT_MLFLOW | settings) as service:
        await service.warm()
        for start in ("warm", "cold"):
            job = await service.finished(await service.submit(script, warm=start == "warm"))
            assert (job["start"], job["logs"]) == (start, f"100 {3 << 20}\n")


async def test_the_status_says_which_limits_apply(limited: Service) -> None:
    _, ready = await limited.get("/health/ready")
    _, metrics = await limited.get("/metrics")
    for limit, by in ready["limits"].items():
        assert f'asgard_limits{{by="{by}",limit="{limit}"}} 1.0' in metrics
    done = asgard(
        *("doctor", "--json", "--data-dir", limited.data_dir),
        **WITHOUT_MLFLOW,
        ASGARD_SERVER__PORT=str(limited.port),
    )
    (found,) = [one for one in json.loads(done.stdout) if one["about"] == "limits"]
    assert f"memory by {ready['limits']['memory']}" in found["found"]
    assert (found["level"] == "ok") == (found["remedy"] == "")


async def test_control_groups_can_be_turned_off(tmp_path: Path) -> None:
    settings = WITHOUT_MLFLOW | {"ASGARD_LIMITS__CGROUPS": "off"}
    async with running_service(tmp_path / "data", settings) as service:
        _, ready = await service.get("/health/ready")
        assert ready["limits"]["memory"] == "nothing"
        job = await service.finished(await service.submit("print(1)"))
        assert job["reason"] == "succeeded"
        assert job["resources"]["peak_memory_bytes"] > 0

"""Requirements of the form `name @ address`, where the administrator allows them."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import builds_below
from tests.support.service import WITHOUT_MLFLOW, Service, running_service
from tests.support.wheels import make_wheel

pytestmark = pytest.mark.service

BUILD_SECONDS = 300
SCRIPT = "import ours_alone\nprint('it is', ours_alone.VALUE)"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service with an empty mlflow package: the real one takes half a minute to install."""
    with package_index(tmp_path / "packages") as address:
        settings = {
            **WITHOUT_MLFLOW,
            "ASGARD_ENVIRONMENTS__ALLOW_DIRECT_REFERENCES": "true",
            "ASGARD_ENVIRONMENTS__MAX_CONCURRENT_BUILDS": "2",
            "ASGARD_ENVIRONMENTS__INDEX_URL": address,
        }
        async with running_service(tmp_path / "data", settings) as started:
            yield started


def built(service: Service) -> list[str]:
    return sorted(path.parent.name for path in service.data_dir.glob("environments/*/lock"))


async def test_mutable_references_are_fetched_per_job(service: Service, tmp_path: Path) -> None:
    for value in (1, 2):
        wheel = make_wheel(tmp_path, "ours_alone", f"VALUE = {value}\n")
        job_id = await service.submit(SCRIPT, requirements=[f"ours_alone @ file://{wheel}"])
        job = await service.finished(job_id, within=BUILD_SECONDS)
        assert job["status"] == "completed", job
        assert job["logs"].splitlines()[-1] == f"it is {value}"
    # the first environment was deleted when the second was built: nobody can use it again
    assert len(built(service)) == 1


async def test_immutable_references_are_built_once(service: Service, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "ours_alone", "VALUE = 3\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pinned = f"ours_alone @ file://{wheel}#sha256={digest}"
    for _ in range(2):
        job_id = await service.submit(SCRIPT, requirements=[pinned])
        job = await service.finished(job_id, within=BUILD_SECONDS)
        assert job["status"] == "completed", job
    assert job["logs"] == "it is 3\n"
    assert len(built(service)) == 1


async def test_content_with_another_hash_is_rejected(service: Service, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "ours_alone", "VALUE = 4\n")
    pinned = f"ours_alone @ file://{wheel}#sha256={'0' * 64}"
    job_id = await service.submit(SCRIPT, requirements=[pinned])
    job = await service.finished(job_id, within=BUILD_SECONDS)
    assert (job["reason"], "ash mismatch" in job["error"]) == ("environment_failed", True), job


async def test_credentials_appear_nowhere(service: Service) -> None:
    requirements = [
        "one @ https://user:hush-hush@127.0.0.1:1/one-1-py3-none-any.whl?token=hush-hush",
        "two @ git+https://hush-hush@127.0.0.1:1/two.git@main",
    ]
    # uv tries each several times
    job_ids = [await service.submit("print()", requirements=[one]) for one in requirements]
    for job_id in job_ids:
        job = await service.finished(job_id, within=BUILD_SECONDS)
        assert job["reason"] == "environment_failed", job
        assert "127.0.0.1" in job["error"]
        assert job["requirements"][0].count("…") >= 1
        _, listed = await service.get("/mlops/training/jobs")
        assert "hush-hush" not in str((job, listed))
    await eventually(lambda: not builds_below(service.data_dir))
    logs = [service.log, *service.data_dir.rglob("*.log")]
    assert not [log for log in logs if b"hush-hush" in log.read_bytes()]


async def test_files_other_than_packages_are_not_listed(service: Service, tmp_path: Path) -> None:
    secret = tmp_path / "secret-1-py3-none-any.whl"
    secret.write_text("hush-hush\n")
    for path in (secret, tmp_path):
        (tmp_path / "pyproject.toml").write_text("hush-hush = [")
        job_id = await service.submit("print()", requirements=[f"secret @ file://{path}"])
        job = await service.finished(job_id, within=BUILD_SECONDS)
        assert job["reason"] == "environment_failed", job
        assert job["error"]

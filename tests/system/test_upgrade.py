"""An upgrade while jobs are running: this version takes over what an earlier one started."""

import subprocess
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import files
from tests.support.eventually import eventually
from tests.support.package_index import package_index
from tests.support.processes import builds_below, processes_with
from tests.support.service import Service
from tests.support.wheels import make_sdist

pytestmark = pytest.mark.mlflow

REPOSITORY = Path(__file__).parents[2]
EARLIER = "e073465"
"""The last commit before the shim moved from the package `execution` to `supervisor`."""
PARTS = ("asgard_async", "config.toml", "migrations", "contrib")

RUNS = """
import os, sys, time
{imports}
print("up", flush=True)
while not os.path.exists({release!r}):
    time.sleep(0.02)
print("done", flush=True)
sys.exit({exit_code})
"""
BUILD = """
def make():
    import os, time
    print("building", flush=True)
    while not os.path.exists({release!r}):
        time.sleep(0.02)
    return {{"slow_package.py": "FOUND = 'built'"}}
"""


@pytest.fixture(scope="module")
def earlier_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree of the earlier version, from the history of this repository."""
    git = ["git", "-C", str(REPOSITORY)]
    archive = subprocess.run([*git, "archive", EARLIER, *PARTS], capture_output=True, check=False)
    if archive.returncode != 0:
        pytest.skip("the repository's history is missing")
    directory = tmp_path_factory.mktemp("earlier")
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
    directory.chmod(0o755)
    return directory


def keepers(service: Service) -> dict[str, str]:
    """The keepers of MLflow and all jobs: the content of each attempt's lock."""
    return {
        str(lock.relative_to(service.data_dir)): lock.read_text()
        for lock in service.data_dir.glob(f"*/**/attempts/*/{files.LOCK}")
    }


async def test_running_jobs_survive_an_upgrade(tmp_path: Path, earlier_version: Path) -> None:
    data_dir = tmp_path / "service" / "data"
    release = str(tmp_path / "service" / "release")
    with package_index(tmp_path / "packages") as index:
        make_sdist(tmp_path / "packages", "slow_package", BUILD.format(release=release))
        settings = {
            "ASGARD_WARM__PRELOAD": '["idna"]',
            "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "5",
            "ASGARD_ENVIRONMENTS__INDEX_URL": index,
        }
        at_earlier = {"PYTHONPATH": str(earlier_version)}
        # `-m` looks for the package in the working directory first
        launcher = ("env", "-C", str(earlier_version))
        earlier = Service(data_dir, settings | at_earlier, launcher)
        service = Service(data_dir, settings)
        try:
            await earlier.start()
            uri = await earlier.mlflow_uri()
            await earlier.warm()

            def script(exit_code: int, imports: str = "") -> str:
                return RUNS.format(release=release, exit_code=exit_code, imports=imports)

            cold = await earlier.submit(script(3), warm=False)
            warm = await earlier.submit(script(4, "import idna"))
            stopped = await earlier.submit(script(5), warm=False)
            without_files = await earlier.submit(script(6), warm=False)
            builds = await earlier.submit(
                "import slow_package\nprint(slow_package.FOUND)", requirements=["slow_package"]
            )
            for job_id in (cold, warm, stopped, without_files):
                await earlier.says(job_id, "up")
            await eventually(lambda: builds_below(data_dir), what="the build is running")
            await earlier.kill()
            for name in (files.LOCK, files.PID):
                (data_dir / "jobs" / without_files / "attempts" / "1" / name).unlink()
            before = keepers(earlier)
            assert processes_with(str(earlier_version)), "nothing of the earlier version is running"

            await service.start()
            assert await service.mlflow_uri() == uri
            for job_id in (cold, warm, stopped, without_files):
                assert (await service.job(job_id))["phase"] == "running"
            await service.post(f"/mlops/training/jobs/{stopped}/cancel")
            await service.post(f"/mlops/training/jobs/{without_files}/cancel")
            assert (await service.finished(stopped))["reason"] == "cancelled"
            assert (await service.finished(without_files))["reason"] != "succeeded"
            assert {key: lock for key, lock in keepers(service).items() if key in before} == before
            Path(release).touch()
            ended = {job_id: await service.finished(job_id) for job_id in (cold, warm)}
            assert [ended[cold]["start"], ended[warm]["start"]] == ["cold", "warm"]
            assert [job["exit_code"] for job in ended.values()] == [3, 4]
            assert [job["logs"] for job in ended.values()] == ["up\ndone\n"] * 2
            built = await service.finished(builds)
            assert (built["reason"], built["logs"].splitlines()[-1]) == ("succeeded", "built")
            assert [path.name for path in data_dir.glob("environments/builds/*/*.plan")] == [
                "1.plan"
            ]
            # from here on, everything is of this version
            assert (await service.finished(await service.submit("print()")))["exit_code"] == 0
        finally:
            await earlier.close()
            await service.close()

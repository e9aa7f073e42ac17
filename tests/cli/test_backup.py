"""`asgard backup` and `asgard restore` with a real service and its embedded MLflow."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asgard_async.config.data_directory import DataDirectory
from tests.support.asgard_command import DEADLINE_SECONDS
from tests.support.eventually import eventually
from tests.support.model_job import LOGS_A_MODEL
from tests.support.preloaded_command import asgard
from tests.support.service import QUICK_TO_WARM, Service, running_service

pytestmark = pytest.mark.mlflow

SETTINGS = QUICK_TO_WARM | {
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "1",
    # on a busy machine, MLflow registers the model late
    "ASGARD_TRACKING__SETTLE_SECONDS": "30",
}
LOADS = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
print(mlflow.sklearn.load_model("models:/model/1").predict([[3.0]])[0])
"""


async def loaded_prediction(service: Service, token: str) -> str:
    """The prediction of the registered model, loaded by a separate process of MLflow."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOADS, await service.mlflow_uri()),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"MLFLOW_TRACKING_TOKEN": token},
    )
    out, error = await asyncio.wait_for(process.communicate(), DEADLINE_SECONDS * 4)
    assert process.returncode == 0, error.decode()
    return out.decode().strip()


async def backed_up(service: Service, destination: Path, *options: str) -> Path:
    done = await asyncio.to_thread(
        asgard, "backup", *options, destination, "--data-dir", service.data_dir
    )
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


async def test_after_a_restore_logs_print_and_models_load(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    backups, data_dir = tmp_path / "backups", tmp_path / "data"
    async with running_service(data_dir, SETTINGS) as service:
        trained = await service.submit(LOGS_A_MODEL.format(go=str(go)))
        before = await service.finished(trained, within=DEADLINE_SECONDS * 4)
        assert before["reason"] == "succeeded", before["logs"]
        assert before["model_version"] == "1"
        running = await service.submit("import time\nprint('works', flush=True)\ntime.sleep(600)")
        await service.says(running, "works")
        waiting = await service.submit("print('waited')")
        secret = asgard("token", "create", "--data-dir", data_dir).stdout.strip()
        first = await backed_up(service, backups)
        second = await backed_up(service, backups)
        (model,) = first.glob("mlflow/artifacts/**/MLmodel")
        assert model.samefile(second / model.relative_to(first))
    shutil.rmtree(data_dir)

    done = asgard("restore", second, "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    assert "will end as lost: 1" in done.stdout
    assert "will run: 1" in done.stdout
    async with running_service(data_dir, SETTINGS) as service:
        access = {"ASGARD_URL": service.url, "ASGARD_TOKEN": secret}
        service.session.headers["Authorization"] = f"Bearer {secret}"
        printed = await asyncio.to_thread(asgard, "logs", trained, **access)
        assert (printed.returncode, printed.stdout) == (0, before["logs"])
        shown = await asyncio.to_thread(asgard, "show", trained, **access)
        assert (shown.returncode, before["run_id"] in shown.stdout) == (0, True)
        assert await loaded_prediction(service, secret) == "1"
        lost = await service.finished(running)
        assert (lost["reason"], lost["logs"]) == ("lost", "works\n")
        assert (await service.finished(waiting))["logs"] == "waited\n"


async def test_backups_of_a_growing_log_contain_its_beginning(tmp_path: Path) -> None:
    script = "import itertools\nfor n in itertools.count(): print(f'{n:09}', flush=True)"
    async with running_service(tmp_path / "data", SETTINGS) as service:
        job_id = await service.submit(script)
        data = DataDirectory(root=service.data_dir)
        log = data.jobs / job_id / "job.log"
        sizes = []
        for _ in range(3):
            size = log.stat().st_size if log.exists() else 0

            def has_grown(size: int = size) -> bool:
                return log.exists() and log.stat().st_size > size

            await eventually(has_grown, what="the log grows")
            backup = await backed_up(service, tmp_path / "backups")
            copy = (backup / "jobs" / job_id / "job.log").read_bytes()
            sizes.append(len(copy))
            # numbers in order, without a gap or zeros
            assert copy == b"".join(b"%09d\n" % n for n in range(len(copy) // 10 + 1))[: len(copy)]
        assert sizes == sorted(set(sizes))
        await service.post(f"/mlops/training/jobs/{job_id}/cancel")


def test_a_missing_database_is_reported(tmp_path: Path) -> None:
    done = asgard("backup", tmp_path / "backups", "--data-dir", tmp_path / "none")
    assert done.returncode == 1
    assert "There is no database in" in done.stderr
    assert not (tmp_path / "backups").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_a_destination_without_access_is_reported(tmp_path: Path) -> None:
    DataDirectory(root=tmp_path / "data").make().database.touch()
    (tmp_path / "closed").mkdir(mode=0o500)
    done = asgard("backup", tmp_path / "closed", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    assert "left nothing in" in done.stderr

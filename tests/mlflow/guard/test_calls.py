"""Calls of MLflow's client library with the token of an attempt: they work as without a guard."""

from pathlib import Path

import pytest

from tests.support.guarded_mlflow import GuardedMlflow
from tests.support.service import submission

pytestmark = [
    pytest.mark.mlflow,
    pytest.mark.service,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="session"),
]
CALLS = Path(__file__).parent / "client_calls.py"


async def test_all_kinds_of_client_calls_work_in_a_job(guarded: GuardedMlflow) -> None:
    service = guarded.service
    as_ann = {"Authorization": f"Bearer {guarded.secrets['ann']}"}
    status, job = await service.post(
        "/mlops/training/upload",
        headers=as_ann,
        json=submission(CALLS.read_bytes(), experiment_name="calls", model_name="calls-of-ann"),
    )
    assert status == 202, job
    job = await service.finished(job["job_id"], within=300)
    assert job["status"] == "completed", job["logs"]
    assert job["model_version"] == "1", job["history"]

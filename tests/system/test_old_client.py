"""The client of the previous service works unchanged."""

import asyncio
import base64
import json
import time
import urllib.request
from typing import Any

import pytest

from tests.support.service import ServiceApi
from tests.system.test_report_checks import RANDOM_FOREST, fresh

GIVE_UP_SECONDS = 180


class OldClient:
    """Submit and poll with urllib, as that client did."""

    def __init__(self, url: str, poll_seconds: float = 5) -> None:
        self.url = url
        self.poll_seconds = poll_seconds

    def train(self, source: bytes, experiment: str, model: str) -> dict[str, Any]:
        job = self._call(
            "/mlops/training/upload",
            {
                "script_name": "customer_churn_training",  # without .py
                "script_content": base64.b64encode(source).decode("utf-8"),
                "experiment_name": experiment,
                "model_name": model,
                "requirements": [],
                "environment_vars": {"DATA_SOURCE": "/data/in/churn.csv"},
                "timeout": 300,
                "tags": {
                    "data_path": "/data/raw/2024/churn.csv",
                    "output": "s3://models/churn/latest",
                    "windows": r"C:\data\churn.csv",
                },
            },
        )
        started = time.monotonic()
        while job["status"] not in ("completed", "failed"):
            assert time.monotonic() - started < GIVE_UP_SECONDS, job
            time.sleep(self.poll_seconds)
            job = self._call(f"/mlops/training/jobs/{job['job_id']}")
        return job

    def _call(self, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: dict[str, Any] = json.load(response)
            return answer


@pytest.fixture
def client(asgard_service: ServiceApi) -> OldClient:
    return OldClient(asgard_service.url, poll_seconds=0.2)


async def test_the_completed_poll_contains_everything(client: OldClient) -> None:
    source, experiment, model = RANDOM_FOREST.read_bytes(), fresh("churn"), fresh("churn-model")
    job = await asyncio.to_thread(client.train, source, experiment, model)
    assert job["status"] == "completed", job
    assert len(job["run_id"]) == 32
    assert job["model_version"] == "1"
    assert job["duration_seconds"] > 0
    assert "Logged the model" in job["logs"]
    assert job["error"] is None
    assert job["script_name"] == "customer_churn_training"
    assert job["tags"]["windows"] == r"C:\data\churn.csv"


async def test_variables_are_shown_and_a_missing_run_is_none(client: OldClient) -> None:
    source = b"import os\nprint('from', os.environ['DATA_SOURCE'])\n"
    job = await asyncio.to_thread(client.train, source, "none", fresh("unused"))
    assert job["status"] == "completed", job
    assert job["logs"] == "from /data/in/churn.csv\n"
    assert (job["run_id"], job["model_version"]) == (None, None)


async def test_a_failure_is_reported(client: OldClient) -> None:
    source = b"import mlflow\nwith mlflow.start_run():\n    raise ValueError('no churn today')\n"
    job = await asyncio.to_thread(client.train, source, fresh("churn"), fresh("unused"))
    assert job["status"] == "failed"
    assert job["error"].endswith("\nValueError: no churn today")
    assert job["logs"].rstrip().endswith("ValueError: no churn today")
    assert len(job["run_id"]) == 32  # the run exists and is FAILED
    assert job["model_version"] is None
    assert job["duration_seconds"] > 0

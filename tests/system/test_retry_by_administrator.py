"""A retry of another token's job, by an administrator, with changes."""

import pytest

from asgard_async.auth.token import Scope
from asgard_async.auth.token_file import TokenFile
from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.timestamps import now
from tests.support.service import Service

pytestmark = pytest.mark.service

PRINTS = "import os; print(*(os.environ.get(name) for name in 'ABC'))"


async def test_an_administrator_adds_to_a_job_without_its_variables(service: Service) -> None:
    tokens = TokenFile(DataDirectory(root=service.data_dir).tokens)
    secrets = {
        name: tokens.create(name=name, scope=scope, at=now()).secret
        for name, scope in (("ada", Scope.SUBMIT), ("root", Scope.ADMIN))
    }
    service.session.headers["Authorization"] = f"Bearer {secrets['ada']}"
    job_id = await service.submit(PRINTS, environment_vars={"A": "1", "B": "2"})
    service.session.headers["Authorization"] = f"Bearer {secrets['root']}"
    changes = {"environment_vars": {"C": "3"}}
    _, retried = await service.post(f"/mlops/training/jobs/{job_id}/retry", json=changes)
    assert retried["omitted"] == ["environment_vars"]
    job = await service.finished(retried["job_id"])
    assert job["logs"] == "None None 3\n"
    detail = job["history"][0]["detail"]
    assert detail.startswith(f"differs from job {job_id} in environment_vars.C; without the")

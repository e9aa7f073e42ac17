"""The kernel's keyrings, which neither a job's file system nor its namespaces hide."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.supervisor.shim import linux
from tests.support.attack_scripts import PRELUDE
from tests.support.run_with_session_key import ADD_KEY, NAME, NO_KEYRINGS
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

LAUNCHER = (sys.executable, "-m", "tests.support.run_with_session_key")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(
        subprocess.run([*LAUNCHER, "/bin/true"], check=False).returncode == NO_KEYRINGS,
        reason="this kernel, or this container, has no keyrings",
    ),
]

KEYS = f"""
KEYCTL, ADD_KEY = {linux.KEYCTL.get(os.uname().machine)}, {ADD_KEY}
SEARCH, GET_PERSISTENT, SESSION, USER, USER_SESSION = 10, 22, -3, -4, -5
def search(ring, name):
    call("syscall", KEYCTL, SEARCH, ring, b"user", name, 0)
def rings():
    persistent = libc.syscall(KEYCTL, GET_PERSISTENT, -1, SESSION)
    return [USER, USER_SESSION, *([persistent] if persistent >= 0 else [])]
"""


@pytest.fixture(params=["cold", "warm"])
def start(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def service(tmp_path: Path, start: str) -> AsyncIterator[Service]:
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_WARM__ENABLED": "true" if start == "warm" else "false",
        "ASGARD_ISOLATION__LEVEL": "sandbox",
    }
    async with running_service(tmp_path / "data", settings, LAUNCHER) as service:
        if start == "warm":
            await service.warm()
        yield service


async def test_session_keys_of_the_service_are_not_found(service: Service, start: str) -> None:
    script = f'attack("key", lambda: search(SESSION, b"{NAME}"))'
    job = await service.finished(await service.submit(PRELUDE + KEYS + script))
    assert (job["start"], job["reason"]) == (start, "succeeded"), job["logs"]
    assert "held key" in job["logs"]


async def test_keys_of_earlier_jobs_are_not_found(service: Service, start: str) -> None:
    leave = """
for ring in rings():
    call("syscall", ADD_KEY, b"user", b"left", b"secret", ctypes.c_size_t(6), ring)
    search(ring, b"left")
"""
    job = await service.finished(await service.submit(PRELUDE + KEYS + leave))
    assert job["reason"] == "succeeded", job["logs"]
    look = """
for ring in rings():
    attack(f"key {ring}", lambda: search(ring, b"left"))
print(len(rings()), "rings")
"""
    job = await service.finished(await service.submit(PRELUDE + KEYS + look))
    assert job["reason"] == "succeeded", job["logs"]
    rings = int(job["logs"].partition(" rings")[0].split()[-1])
    assert job["logs"].count("held key") == rings >= 2

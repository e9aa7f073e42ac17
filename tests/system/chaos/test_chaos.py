"""Processes are killed at random moments; every job ends exactly once, with its true outcome.

Sizes come from the environment (`make chaos` uses the full ones): ASGARD_CHAOS_JOBS,
ASGARD_CHAOS_ACCEPTS. ASGARD_CHAOS_SEED repeats a run as closely as possible.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from asgard_async.supervisor.shim import linux
from tests.support.processes import processes_with
from tests.support.service import NOWHERE, Service, running_service, submission

pytestmark = pytest.mark.chaos

JOBS = int(os.environ.get("ASGARD_CHAOS_JOBS", "20"))
ACCEPTS = int(os.environ.get("ASGARD_CHAOS_ACCEPTS", "3"))
SEED = int(os.environ.get("ASGARD_CHAOS_SEED", time.time_ns() % 1_000_000))
# For 500 jobs, 100 kills of the service and 50 of shims and keepers. A service that starts has four
# slots to fill and no fork server yet: few jobs need few kills, so that some of them start warm.
SERVICE_KILLS = JOBS // (5 if JOBS >= 100 else 10)
SHIM_KILLS = JOBS // 10

SETTINGS = {
    "ASGARD_MLFLOW__TRACKING_URI": NOWHERE,
    "ASGARD_JOBS__MAX_CONCURRENT_JOBS": "4",
    # fast to import, so that a fork server is ready between two kills of the service
    "ASGARD_WARM__PRELOAD": '["idna"]',
}

SCRIPT = """
import os, sys, time
{warm}
number = {number}
with open({witness!r}, "a") as file: file.write(f"start {{number}}\\n")
for line in range(50):
    print(number, line)
    time.sleep({pause})
print("end of", number)
sys.exit(number % 5)
"""


@dataclass
class Chaos:
    service: Service
    witness: Path
    rng: random.Random
    warm: bool
    """True if the jobs import something that is preloaded."""
    numbers: dict[str, int] = field(default_factory=dict)
    """The number of each job."""
    killed: set[str] = field(default_factory=set)
    """Jobs whose shim or keeper was killed."""
    service_kills: int = 0
    shim_kills: int = 0

    async def submit_all(self) -> None:
        for number in range(JOBS):
            script = SCRIPT.format(
                number=number,
                warm="import idna" if self.warm else "",
                witness=str(self.witness),
                pause=round(self.rng.uniform(0, 0.02), 4),
            )
            job = await self._submit_until_accepted(script, f"chaos-{number}")
            self.numbers[job["job_id"]] = number

    async def _submit_until_accepted(self, script: str, key: str) -> dict[str, Any]:
        # like a client of a service that may be down: the key makes retries safe
        body = submission(script, idempotency_key=key)
        while True:
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
                status, job = await self.service.post("/mlops/training/upload", json=body)
                assert status in {200, 202}, job
                assert isinstance(job, dict)
                return job
            await asyncio.sleep(0.02)

    async def kill_services(self) -> None:
        while self.service_kills < SERVICE_KILLS:
            await asyncio.sleep(self.rng.uniform(0, 0.6))
            await self.service.kill()
            self.service_kills += 1
            await asyncio.sleep(self.rng.uniform(0, 0.2))
            await self.service.start()

    async def kill_shims(self) -> None:
        while self.shim_kills < SHIM_KILLS:
            await asyncio.sleep(self.rng.uniform(0, 0.4))
            running = self._shims_and_keepers()
            if not running:
                if len(self.numbers) == JOBS and await self._all_finished():
                    return
                continue
            job_id, pid, start_time = self.rng.choice(running)
            with contextlib.suppress(ProcessLookupError):
                pidfd = linux.open_process(pid)
                if pidfd is None:
                    continue
                if linux.start_time(pid) == start_time:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    self.shim_kills += 1
                    self.killed.add(job_id)
                os.close(pidfd)

    def _shims_and_keepers(self) -> list[tuple[str, int, int]]:
        found = []
        for file in self.service.data_dir.glob("jobs/*/attempts/*/pid.json"):
            if file.with_name("exit.json").exists():
                continue
            with contextlib.suppress(OSError, ValueError):
                job_id = file.parts[-4]
                facts = msgspec.json.decode(file.read_bytes())
                keeper, start_time, _ = file.with_name("lock").read_text().split()
                found.append((job_id, facts["shim_pid"], facts["shim_start_time"]))
                found.append((job_id, int(keeper), int(start_time)))
        return found

    async def _all_finished(self) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            _, status = await self.service.get("/mlops/status")
            return not status["jobs"]["queued"] and not status["jobs"]["running"]
        return False


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_every_job_ends_exactly_once_despite_kills(tmp_path: Path, warm: bool) -> None:
    """Jobs that could start warm do so, unless the fork server, killed with the service, is not
    ready again."""
    begun = time.monotonic()
    print(f"\nseed {SEED}, {JOBS} jobs")  # noqa: T201  # to repeat a failure
    async with running_service(tmp_path / "data", SETTINGS) as service:
        (tmp_path / "witness").touch()
        (tmp_path / "witness").chmod(0o666)  # jobs run as different users
        chaos = Chaos(service, tmp_path / "witness", random.Random(SEED), warm)
        await asyncio.gather(chaos.submit_all(), chaos.kill_services(), chaos.kill_shims())
        jobs = {job_id: await service.finished(job_id) for job_id in chaos.numbers}
        _, listed = await service.get("/mlops/training/jobs", params={"limit": "100"})
        processes = processes_with(str(tmp_path / "data" / "jobs") + "/")

    runs = Counter(line.split()[1] for line in chaos.witness.read_text().splitlines())
    outcomes = Counter(job["reason"] for job in jobs.values())
    starts = Counter(job["start"] for job in jobs.values())
    levels = Counter(job["isolation"] for job in jobs.values())
    print(  # noqa: T201  # the figures that the issue asks for
        f"{JOBS} jobs, {chaos.service_kills} kills of the service, {chaos.shim_kills} of shims and"
        f" keepers, {time.monotonic() - begun:.0f} s: {dict(outcomes)},"
        f" {dict(starts)}, {dict(levels)},"
        f" {sum(1 for count in runs.values() if count > 1)} ran twice,"
        f" {len(processes)} processes left"
    )
    assert len(jobs) == JOBS
    assert len(listed["jobs"]) == min(JOBS, 100)
    assert processes == []
    assert max(runs.values()) == 1
    assert bool(starts["warm"]) == warm
    for job_id, number in chaos.numbers.items():
        check(jobs[job_id], number, was_killed=job_id in chaos.killed)
        if job_id not in chaos.killed:
            assert runs[str(number)] == 1


def check(job: dict[str, Any], number: int, *, was_killed: bool) -> None:
    if was_killed and job["reason"] == "lost":
        assert (job["status"], job["exit_code"]) == ("failed", None)
        return
    # including a job whose shim was killed right after it had recorded the end
    code = number % 5
    assert job["exit_code"] == code, job
    assert job["status"] == ("failed" if code else "completed"), job
    expected = "".join(f"{number} {line}\n" for line in range(50)) + f"end of {number}\n"
    if was_killed:
        assert expected.startswith(job["logs"]), job
    else:
        assert job["logs"] == expected, job


async def test_an_accepted_job_survives_an_immediate_crash(tmp_path: Path) -> None:
    async with running_service(tmp_path / "data", SETTINGS) as service:
        kept = 0
        for number in range(ACCEPTS):
            job_id = await service.submit(f"print({number})")
            await service.kill()
            await service.start()
            status, job = await service.get(f"/mlops/training/jobs/{job_id}")
            kept += status == 200 and job["job_id"] == job_id
        print(f"\n{kept} of {ACCEPTS} accepted jobs survived kill -9")  # noqa: T201
        assert kept == ACCEPTS

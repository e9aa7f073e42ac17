"""Outcomes of real scripts, as a client of a running service sees them."""

import os
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from asgard_async.core.timestamps import now
from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.job import Job, JobSpec
from asgard_async.domain.status import Phase, Reason
from asgard_async.jobs.outcome import outcome_of
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from tests.support.service import WITHOUT_MLFLOW, Service, running_service

pytestmark = pytest.mark.service

SLEEP = "import time\nprint('up')\ntime.sleep(60)"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def limited(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service with a memory limit for jobs, enforced by RLIMIT_AS; see also tests/supervisor.

    Its environment has variables that jobs do not get.
    """
    settings = {
        **WITHOUT_MLFLOW,
        "ASGARD_LIMITS__MEMORY_MB": "512",
        "ASGARD_LIMITS__CGROUPS": "off",
        "ASGARD_MLFLOW__TOKEN": "t0k3n",
        "CANARY": "s3cr3t",
    }
    async with running_service(tmp_path_factory.mktemp("limited") / "data", settings) as service:
        yield service


def job_pid(service: Service, job_id: str) -> int:
    file = service.data_dir / "jobs" / job_id / "attempts" / "1" / "pid.json"
    pid: int = msgspec.json.decode(file.read_bytes())["job_pid"]
    return pid


@pytest.mark.asyncio(loop_scope="module")
async def test_seven_end_reasons_are_distinguished(limited: Service) -> None:
    service = limited
    killed = await service.submit(SLEEP)
    await service.phase(killed, "running")
    os.kill(job_pid(service, killed), signal.SIGKILL)
    scripts = {
        "exit 0": "print('fine')",
        "exit 1": "raise SystemExit(1)",
        "exit 137": "raise SystemExit(137)",
        "SIGSEGV": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "memory": "x = bytearray(2 << 30)",
    }
    jobs = {what: await service.submit(script) for what, script in scripts.items()}
    jobs["timeout"] = await service.submit(SLEEP, timeout=1)
    jobs["SIGKILL"] = killed
    ends = {}
    for what, job_id in jobs.items():
        job = await service.finished(job_id)
        ends[what] = (job["status"], job["reason"], job["exit_code"], job["signal"])
    assert ends == {
        "exit 0": ("completed", "succeeded", 0, None),
        "exit 1": ("failed", "exit_code", 1, None),
        "exit 137": ("failed", "exit_code", 137, None),
        "SIGKILL": ("failed", "signal", None, "SIGKILL"),
        "SIGSEGV": ("failed", "signal", None, "SIGSEGV"),
        "timeout": ("failed", "timeout", None, "SIGTERM"),
        "memory": ("failed", "out_of_memory", 1, None),
    }
    memory = await service.job(jobs["memory"])
    assert "512 MiB" in memory["error"]
    assert memory["error"].endswith("\nMemoryError")
    assert "Inferred" in memory["history"][-2]["detail"]


async def test_a_memory_error_without_a_limit_is_an_exit_code(shared: Service) -> None:
    job = await shared.finished(await shared.submit("raise MemoryError('own')"))
    assert job["reason"] == "exit_code"


async def test_the_error_ends_with_the_exception_line(shared: Service) -> None:
    script = """
try:
    {}["key"]
except KeyError as error:
    raise ValueError("no such thing: 'key'") from error
"""
    job = await shared.finished(await shared.submit(script))
    assert job["error"].splitlines()[-1] == "ValueError: no such thing: 'key'"
    assert "exited with code 1" in job["error"]


async def test_a_missing_module_gets_a_hint(shared: Service) -> None:
    job = await shared.finished(await shared.submit("import no_such_module"))
    assert "Hint: " in job["error"]
    assert job["error"].endswith("ModuleNotFoundError: No module named 'no_such_module'")


async def test_killing_after_the_grace_period_is_recorded(shared: Service) -> None:
    script = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(60)"
    job = await shared.finished(await shared.submit(script, timeout=1))
    assert (job["reason"], job["signal"]) == ("timeout", "SIGKILL")
    assert f"asgard retry {job['job_id']} --timeout 2." in job["error"]
    assert "was killed" in job["history"][-2]["detail"]


async def test_usage_and_times_are_recorded(shared: Service) -> None:
    job = await shared.finished(await shared.submit("x = bytearray(64 << 20)"))
    assert job["resources"]["peak_memory_bytes"] > 64 << 20
    assert job["resources"]["cpu_seconds"] > 0
    assert job["created_at"] <= job["started_at"] <= job["completed_at"]
    assert set(job["timings"]) == {"queued", "starting", "running", "recording"}
    assert [entry["phase"] for entry in job["history"]] == [
        "queued",
        "starting",
        "running",
        "recording",
        "finished",
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_job_has_a_clean_environment(limited: Service) -> None:
    script = "import os\nfor name in sorted(os.environ): print(name, os.environ[name], sep='=')"
    job_id = await limited.submit(script, environment_vars={"MINE": "ä b"}, tags={"team": "x"})
    job = await limited.finished(job_id)
    assert "t0k3n" not in limited.log.read_text()
    variables = dict(line.split("=", 1) for line in job["logs"].splitlines())
    assert sorted(variables) == [
        "ASGARD_JOB_ID",
        "HF_HOME",
        "HOME",
        "LANG",
        "MINE",
        "MLFLOW_EXPERIMENT_NAME",
        "MLFLOW_RUN_CONTEXT",
        "MLFLOW_TRACKING_TOKEN",  # configured, so jobs get it
        "MLFLOW_TRACKING_URI",
        "MPLCONFIGDIR",
        "NO_PROXY",
        "PATH",
        "PYTHONUNBUFFERED",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "no_proxy",
    ]
    assert variables["MINE"] == "ä b"
    context = msgspec.json.decode(variables["MLFLOW_RUN_CONTEXT"])
    assert context["asgard.job_id"] == job_id
    assert context["team"] == "x"


def test_the_error_of_the_longest_timeout_names_the_setting() -> None:
    spec = JobSpec(
        script_name="train.py",
        experiment_name="e",
        model_name="m",
        script_sha256="0" * 64,
        timeout=60,
    )
    job = Job(seq=1, job_id="0000000a", spec=spec, phase=Phase.RUNNING, created_at=now())
    ended = Ended(end=End.EXITED, signal=15, stop=Stop.TIMEOUT)
    for timeout_max, remedy in (60, "[jobs] timeout_max"), (90, "--timeout 90."):
        outcome = outcome_of(
            ended,
            job,
            log_tail="",
            resource_limits=ResourceLimits(),
            timeout_max=timeout_max,
            at=now(),
        )
        assert outcome.reason is Reason.TIMEOUT
        assert remedy in str(outcome.error)

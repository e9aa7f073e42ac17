"""A real `asgard serve` in a process of its own, to be talked to, killed and started again."""

import asyncio
import base64
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from asgard_async.config import load_config
from asgard_async.config.data_directory import DataDirectory
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.shim import limits
from tests.support.eventually import DEADLINE_SECONDS, eventually
from tests.support.markers import assert_may_start_a_service
from tests.support.processes import processes_with

NOWHERE = "http://127.0.0.1:1"
"""A tracking server that refuses connections: for tests that need none."""

UNREACHABLE_MLFLOW = {"ASGARD_MLFLOW__TRACKING_URI": NOWHERE}

WITHOUT_MLFLOW = UNREACHABLE_MLFLOW | {"ASGARD_WARM__PRELOAD": '["idna"]'}
"""Nor has such a service a use for a fork server that takes seconds to import MLflow and more; what
imports idna starts warm."""

UNCONFINED = {"ASGARD_ISOLATION__LEVEL": "process"}
"""For tests whose jobs reach what a sandboxed one does not."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Of the processes that run tests beside each other."""
FIRST_UID = 58_000 + 1000 * WORKER
"""Of the users of a root service's jobs. Limits count processes by user: no two share them."""

QUICK = {
    "ASGARD_JOBS__TIMEOUT_MIN": "1",
    "ASGARD_JOBS__STOP_GRACE_SECONDS": "0.5",
    "ASGARD_TRACKING__SETTLE_SECONDS": "0.2",
}


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class ServiceApi:
    """Requests to a service, whoever started it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def answers(self) -> None:
        """Wait until it takes requests."""
        await eventually(self.responds, what="service answers")

    async def responds(self) -> bool:
        """Whether it takes requests."""
        with contextlib.suppress(aiohttp.ClientError):
            status, _ = await self.get("/health/live")
            return status == 200
        return False

    async def close(self) -> None:
        """Close the connections; the service runs on."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        return self._session

    async def request(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Status and decoded body (text where it is not JSON)."""
        async with self.session.request(method, self.url + path, **kwargs) as response:
            if response.content_type.endswith("json"):
                return response.status, await response.json(content_type=None)
            return response.status, await response.text()

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.request("POST", path, **kwargs)

    async def upload(self, script: str | bytes, **fields: Any) -> tuple[int, Any]:
        """Upload a script with defaults for the other required fields."""
        return await self.post("/mlops/training/upload", json=submission(script, **fields))

    async def submit(self, script: str | bytes, **fields: Any) -> str:
        """Upload a script that must be accepted; the job's id."""
        status, job = await self.upload(script, **fields)
        assert status == 202, job
        job_id: str = job["job_id"]
        return job_id

    async def job(self, job_id: str, **params: str) -> dict[str, Any]:
        status, job = await self.get(f"/mlops/training/jobs/{job_id}", params=params)
        assert status == 200, job
        assert isinstance(job, dict)
        return job

    async def phase(
        self, job_id: str, *phases: str, within: float = DEADLINE_SECONDS
    ) -> dict[str, Any]:
        """Wait for a job to be in one of the phases; the job."""

        async def there() -> dict[str, Any] | None:
            job = await self.job(job_id, logs="none")
            return job if job["phase"] in phases else None

        return await eventually(there, within=within, what=f"{job_id} is {' or '.join(phases)}")

    async def warm(self) -> None:
        """Wait until the fork server of the base environment has its imports done."""

        async def ready() -> bool:
            return "\nasgard_warm_servers_ready 1.0" in (await self.get("/metrics"))[1]

        await eventually(ready, what="the fork server is ready")

    async def mlflow_uri(self) -> str:
        """Wait until the service reaches MLflow; its public address."""

        async def accessible() -> str | None:
            _, status = await self.get("/mlops/status")
            return status["mlflow_tracking_uri"] if status["mlflow_available"] else None

        return await eventually(accessible, what="MLflow is accessible")

    async def says(self, job_id: str, text: str) -> None:
        """Wait for `text` in a job's log."""

        async def said() -> bool:
            return text in (await self.job(job_id))["logs"]

        await eventually(said, what=f"{job_id} says {text!r}")

    async def finished(self, job_id: str, within: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait for a job's end; the job with its log."""
        await self.phase(job_id, "finished", within=within)
        return await self.job(job_id, logs="full")


class Service(ServiceApi):
    """`asgard serve` on a data directory; the port stays the same over restarts."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] = {}, launcher: Sequence[str] = ()
    ) -> None:
        """`launcher` is put before its command."""
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.data_dir = data_dir
        self.settings = {
            **QUICK,
            "ASGARD_MLFLOW__PORT": "0",
            "ASGARD_ISOLATION__FIRST_UID": str(FIRST_UID),
            # where a test and its jobs leave files for each other; the data directory stays hidden
            "ASGARD_ISOLATION__READ_WRITE": f'["{data_dir.parent}"]',
            **settings,
        }
        self._launcher = launcher
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.may_fail = False
        """Whether a traceback in its log is what a test wants, or what it broke has to bring."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- life -----------------------------------------------------------------------------

    async def start(self, *arguments: str) -> None:
        """Start it and wait until it takes requests."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.data_dir.parent.chmod(0o777)  # its jobs are other users
        await self.spawn(*arguments)
        await eventually(self.is_live, what="service is live")

    async def spawn(self, *arguments: str) -> None:
        """Start its process without waiting for it."""
        assert_may_start_a_service()
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ASGARD_", "MLFLOW_", "AWS_"))
        }
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._launcher,
                *(sys.executable, "-m", "asgard_async", "serve"),
                *("--port", str(self.port), "--data-dir", str(self.data_dir), *arguments),
                env=inherited | self.settings,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def is_live(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log.read_text()
        return await self.responds()

    async def kill(self) -> None:
        """`kill -9`, as a crash would."""
        await self.end(signal.SIGKILL)

    async def end(self, number: int = signal.SIGTERM, within: float = DEADLINE_SECONDS) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), within)

    async def close(self) -> None:
        """End the service and everything that it started; fails if anything stays, and if anything
        went wrong behind the answers."""
        await super().close()
        if self._process is not None and self._process.returncode is None:
            await self.end()
        # jobs that a test left running, and MLflow if the service was killed: ours, by directory
        for pid in processes_with(str(self.data_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await eventually(
            lambda: not processes_with(str(self.data_dir)), what="no process of the service left"
        )
        # with both guardians of a job killed, its control group stays to be seen by a next service
        for attempt in self.data_dir.glob("jobs/*/attempts/*"):
            limits.clear(str(attempt))
        config = load_config(environ={})
        data = DataDirectory(root=self.data_dir)
        enforcer = LimitEnforcer(config.limits, jobs_dir=data.jobs, builds_dir=data.builds)
        enforcer.open()
        enforcer.close()
        if self.log.exists() and not self.may_fail:
            self.assert_unharmed()

    def assert_unharmed(self) -> None:
        """Nothing went wrong behind the answers so far."""
        before, found, after = self.log.read_text(errors="replace").partition("Traceback")
        assert not found, before[-500:] + found + after[:5000]


def submission(script: str | bytes, **fields: Any) -> dict[str, Any]:
    """The JSON of an upload."""
    source = script.encode() if isinstance(script, str) else script
    return {
        "script_name": "train.py",
        "script_content": base64.b64encode(source).decode(),
        "experiment_name": "experiment",
        "model_name": "model",
        **fields,
    }


@contextlib.asynccontextmanager
async def running_service(
    data_dir: Path,
    settings: Mapping[str, str] = {},
    launcher: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> AsyncIterator[Service]:
    """A started service that is gone, with all it started, at the end."""
    service = Service(data_dir, settings, launcher)
    try:
        await service.start(*arguments)
        yield service
    finally:
        await service.close()

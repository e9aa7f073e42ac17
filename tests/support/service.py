"""A real `asgard serve` in a separate process, which tests can call, kill and restart."""

import asyncio
import base64
import contextlib
import errno
import os
import secrets
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
"""The address of a tracking server that refuses connections, for tests without MLflow."""

UNREACHABLE_MLFLOW = {"ASGARD_MLFLOW__TRACKING_URI": NOWHERE}

QUICK_TO_WARM = {"ASGARD_WARM__PRELOAD": '["idna"]'}
"""Settings for a fork server that is ready quickly, because it does not import MLflow and
scikit-learn. Jobs that import idna start warm."""

WITHOUT_MLFLOW = UNREACHABLE_MLFLOW | QUICK_TO_WARM

UNCONFINED = {"ASGARD_ISOLATION__LEVEL": "process"}
"""For tests whose jobs need access that a sandbox denies."""

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""The number of this test process among those of pytest-xdist."""
FIRST_UID = 58_000 + 1000 * WORKER
"""The first user of a root service's jobs. Process limits count by user, so workers share none."""

QUICK = {
    "ASGARD_JOBS__TIMEOUT_MIN": "1",
    "ASGARD_JOBS__STOP_GRACE_SECONDS": "0.5",
    "ASGARD_TRACKING__SETTLE_SECONDS": "0.2",
}


def free_port() -> int:
    """A port that is free at 127.0.0.1 and ::1, and that the system gives to nobody by itself.

    The system takes ports for connections, and for sockets without a port, from above 32767.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        try:
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                with socket.socket(family) as probe:
                    probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:  # no IPv6
                raise
        return port


STOPPED = "urn:asgard:problem:service-stopped"
"""The problem type of responses by the process that holds the sockets."""


class ServiceApi:
    """Requests to a running service."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.headers: dict[str, str] = {}
        """Headers of all requests, for example a token."""
        self._session: aiohttp.ClientSession | None = None

    async def answers(self) -> None:
        """Wait until it accepts requests."""
        await eventually(self.responds, what="service answers")

    async def responds(self) -> bool:
        """Return whether it accepts requests."""
        with contextlib.suppress(aiohttp.ClientError):
            status, _ = await self.get("/health/live")
            return status == 200
        return False

    async def close(self) -> None:
        """Close the connections; the service continues."""
        if self._session is not None:
            await self._session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        return self._session

    async def request(self, method: str, path: str, **kwargs: Any) -> tuple[int, Any]:
        """Send a request; return status and decoded body (text if it is not JSON).

        Raises:
            aiohttp.ClientConnectionError: no service responds, though its sockets may be held.
        """
        headers = self.headers | dict(kwargs.pop("headers", None) or {})
        url = self.url + path
        async with self.session.request(method, url, headers=headers, **kwargs) as response:
            if response.content_type.endswith("json"):
                document = await response.json(content_type=None)
                if response.status == 503 and document.get("type") == STOPPED:
                    raise aiohttp.ClientConnectionError(document["detail"])
                return response.status, document
            return response.status, await response.text()

    async def get(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.request("GET", path, **kwargs)

    async def post(self, path: str, **kwargs: Any) -> tuple[int, Any]:
        return await self.request("POST", path, **kwargs)

    async def upload(self, script: str | bytes, **fields: Any) -> tuple[int, Any]:
        """Upload a script with defaults for the other required fields."""
        return await self.post("/mlops/training/upload", json=submission(script, **fields))

    async def submit(self, script: str | bytes, **fields: Any) -> str:
        """Upload a script that must be accepted; return the job's id."""
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
        """Wait until a job is in one of the phases; return the job."""

        async def there() -> dict[str, Any] | None:
            job = await self.job(job_id, logs="none")
            return job if job["phase"] in phases else None

        return await eventually(there, within=within, what=f"{job_id} is {' or '.join(phases)}")

    async def warm(self) -> None:
        """Wait until the fork server of the base environment is ready."""

        async def ready() -> bool:
            return "\nasgard_warm_servers_ready 1.0" in (await self.get("/metrics"))[1]

        await eventually(ready, what="the fork server is ready")

    async def mlflow_uri(self) -> str:
        """Wait until the service reaches MLflow; return its public address."""

        async def accessible() -> str | None:
            _, status = await self.get("/mlops/status")
            return status["mlflow_tracking_uri"] if status["mlflow_available"] else None

        return await eventually(accessible, what="MLflow is accessible")

    async def says(self, job_id: str, text: str) -> None:
        """Wait until a job's log contains `text`."""

        async def is_logged() -> bool:
            return text in (await self.job(job_id))["logs"]

        await eventually(is_logged, what=f"{job_id} logs {text!r}")

    async def finished(self, job_id: str, within: float = DEADLINE_SECONDS) -> dict[str, Any]:
        """Wait until a job has ended; return it with its log."""
        await self.phase(job_id, "finished", within=within)
        return await self.job(job_id, logs="full")


class Service(ServiceApi):
    """`asgard serve` on a data directory; keeps its port over restarts."""

    def __init__(
        self, data_dir: Path, settings: Mapping[str, str] = {}, launcher: Sequence[str] = ()
    ) -> None:
        """Prepare a service; `launcher` is a prefix of its command."""
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.data_dir = data_dir
        self.settings = {
            **QUICK,
            "ASGARD_MLFLOW__PORT": "0",
            "ASGARD_ISOLATION__FIRST_UID": str(FIRST_UID),
            # where tests and jobs exchange files; the data directory stays hidden
            "ASGARD_ISOLATION__READ_WRITE": f'["{data_dir.parent}"]',
            **settings,
        }
        self.launcher = launcher
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self.may_fail = False
        """True if the test causes tracebacks in the service's log."""
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # --- life -----------------------------------------------------------------------------

    async def start(self, *arguments: str) -> None:
        """Start it and wait until it accepts requests."""
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.data_dir.parent.chmod(0o777)  # its jobs run as other users
        await self.spawn(*arguments)
        await eventually(self.is_live, what="service is live")

    async def spawn(self, *arguments: str) -> None:
        """Start its process without waiting for it."""
        assert_may_start_a_service()
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(*arguments),
                env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def command(self, *arguments: str) -> Sequence[str]:
        return (
            *self.launcher,
            *(sys.executable, "-m", "asgard_async", "serve"),
            *("--port", str(self.port), "--data-dir", str(self.data_dir), *arguments),
        )

    def environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ASGARD_", "MLFLOW_", "AWS_"))
        }
        return inherited | self.settings

    async def is_live(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self.log.read_text()
        return await self.responds()

    async def kill(self) -> None:
        """`kill -9`, as a crash would."""
        await self.end(signal.SIGKILL)

    async def end(self, number: int = signal.SIGTERM, within: float = DEADLINE_SECONDS) -> int:
        """Send a signal and wait for the exit; return the exit code."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), within)

    async def close(self) -> None:
        """Stop the service and everything that it started; fail if a process remains, or if the
        log contains a traceback."""
        await super().close()
        if self._process is not None and self._process.returncode is None:
            await self.end()
        # jobs left running by a test, and MLflow if the service was killed: found by directory
        for pid in processes_with(str(self.data_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await eventually(self._is_gone, what="no process of the service left")
        # if keeper and shim of a job were killed, its control group stays for the next service
        self._clear_groups()
        await remove_control_groups(self.data_dir)
        if self.log.exists() and not self.may_fail:
            self.assert_unharmed()

    def _is_gone(self) -> bool:
        if not processes_with(str(self.data_dir)):
            return True
        # a keeper that is killed while it kills its group leaves the group frozen (cgroup v1)
        self._clear_groups()
        return False

    def _clear_groups(self) -> None:
        for attempt in self.data_dir.glob("jobs/*/attempts/*"):
            limits.clear(str(attempt))

    def assert_unharmed(self) -> None:
        """Fail if the log contains a traceback."""
        before, found, after = self.log.read_text(errors="replace").partition("Traceback")
        assert not found, before[-500:] + found + after[:5000]


async def remove_control_groups(data_dir: Path) -> None:
    """Remove control groups that are kept for the next service on the same data: there is none."""
    data = DataDirectory(root=data_dir)
    limits_config = load_config(environ={}).limits

    def remove() -> bool:
        enforcer = LimitEnforcer(limits_config, jobs_dir=data.jobs, builds_dir=data.builds)
        enforcer.open()
        enforcer.close()
        return not any(parent.directory.exists() for parent in enforcer.parents)

    # a process that has just been killed may keep its group for another moment
    await eventually(lambda: asyncio.to_thread(remove), what="no control group is left")


def submission(script: str | bytes, **fields: Any) -> dict[str, Any]:
    """The JSON document of an upload."""
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
    """A running service, stopped at the end with everything that it started."""
    service = Service(data_dir, settings, launcher)
    try:
        await service.start(*arguments)
        yield service
    finally:
        await service.close()

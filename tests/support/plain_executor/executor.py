"""An executor whose attempts are detached processes of runner.py."""

import asyncio
import fcntl
import json
import math
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.registry import Collector

from asgard_async.core.archives.names import ArchiveLimits
from asgard_async.core.archives.unpack import unpack
from asgard_async.domain.attempt import AttemptId, End, Ended, Stop
from asgard_async.domain.job import Started
from asgard_async.domain.resources import ResourceRequest
from asgard_async.domain.status import ColdReason, Isolation
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.executors.base import AttemptRequest, CannotStart, EnvironmentFailed
from asgard_async.supervisor.limits.mechanisms import Mechanism
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from tests.support.eventually import eventually
from tests.support.plain_executor.files import PlainFiles
from tests.support.plain_executor.logs import PlainLogs

RUNNER = Path(__file__).parent / "runner.py"
POLL_SECONDS = 0.02
ARCHIVES = ArchiveLimits(max_members=100, max_unpacked_bytes=1 << 20)
SLOW = "slow"
"""A requirement whose environment is never ready."""
UNKNOWN = "unknown"
"""A requirement whose environment cannot be built."""


class PlainExecutor:
    """Runs attempts in `root`/<job_id>.<number>. It only pretends to build environments."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / "logs").mkdir(parents=True, exist_ok=True)
        self.logs = PlainLogs(root / "logs")
        self.files = PlainFiles(root)
        self.abandoned: list[EnvironmentSpec] = []
        self.collectors: Sequence[Collector] = ()
        self.problem: str | None = None
        self.isolation: Isolation | None = Isolation.PROCESS
        self.mechanisms: Mapping[str, Mechanism] = {"memory": Mechanism.NOTHING}

    def prewarm(self) -> None:
        pass

    async def ready(self) -> None:
        pass

    def limits(self, resources: ResourceRequest) -> ResourceLimits:
        return ResourceLimits(memory_bytes=(resources.memory_mb or 0) << 20)

    # --- environments ---------------------------------------------------------------------

    def environment_for(
        self,
        requirements: Sequence[str],
        *,
        job_id: str = "",
        imports: frozenset[str] | None = None,
    ) -> EnvironmentSpec | None:
        if not requirements:
            return None
        return EnvironmentSpec(requirements=tuple(requirements), index_url="", extra_index_urls=())

    @asynccontextmanager
    async def environment(
        self, environment: EnvironmentSpec, *, job_id: str
    ) -> AsyncIterator[None]:
        with self.logs.path_of(job_id).open("a") as log:
            log.write(f"installing {', '.join(environment.requirements)}\n")
        if UNKNOWN in environment.requirements:
            raise EnvironmentFailed("There is no such package.")
        if SLOW in environment.requirements:
            await asyncio.Event().wait()
        yield

    async def abandon(self, environment: EnvironmentSpec) -> None:
        self.abandoned.append(environment)

    # --- attempts -------------------------------------------------------------------------

    async def start(self, request: AttemptRequest) -> datetime | None:
        directory = self._directory(request.attempt)
        if (directory / "result.json").exists():
            return None
        files = directory / "files"
        files.mkdir(parents=True, exist_ok=True)
        if request.archive is None:
            (files / request.script_name).write_bytes(request.script)
        elif not request.archive.exists():
            raise CannotStart("its archive is missing")
        else:
            unpack(request.archive, files, ARCHIVES)
        facts = {
            "argv": [request.script_name, *request.arguments],
            "variables": {"PYTHONUNBUFFERED": "1", **request.variables},
            "timeout": request.timeout,
            "grace": request.grace,
            "log": str(self.logs.path_of(request.attempt.job_id)),
        }
        (directory / "request.json").write_text(json.dumps(facts))
        runner = await asyncio.create_subprocess_exec(
            sys.executable, str(RUNNER), str(directory), start_new_session=True
        )
        await runner.wait()  # it leaves a process of its own behind
        while True:
            is_over = (directory / "result.json").exists()
            if (started := await self.started(request.attempt)) is not None:
                return started.at
            if is_over:
                return None
            await asyncio.sleep(POLL_SECONDS)

    async def wait(self, attempt: AttemptId) -> Ended:
        directory = self._directory(attempt)
        directory.mkdir(parents=True, exist_ok=True)
        claim = os.open(directory / "claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await eventually(lambda: _lock(claim), within=math.inf)
            return _ended(directory, await self.started(attempt))
        finally:
            os.close(claim)

    async def started(self, attempt: AttemptId) -> Started | None:
        path = self._directory(attempt) / "started"
        if not path.exists():
            return None
        at = datetime.fromtimestamp(float(path.read_text()), UTC)
        return Started(at=at, cold_reason=ColdReason.OFF)

    async def stop(self, attempt: AttemptId) -> None:
        directory = self._directory(attempt)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "stop").touch()

    async def remove(self, job_id: str) -> None:
        self.files.remove_all(job_id)

    def _directory(self, attempt: AttemptId) -> Path:
        return self._root / f"{attempt.job_id}.{attempt.number}"


def _lock(claim: int) -> bool:
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ended(directory: Path, started: Started | None) -> Ended:
    """Decide, under the lock, how an attempt that nobody runs ended."""
    result = directory / "result.json"
    if not result.exists():
        if started is not None:
            return Ended(end=End.LOST, started=started)
        result.write_text(json.dumps({"end": End.NOT_STARTED.name}))
    facts = json.loads(result.read_text())
    return Ended(
        end=End[facts["end"]],
        exit_code=facts.get("exit_code"),
        signal=facts.get("signal"),
        stop=Stop(facts["stop"]) if facts.get("stop") else None,
        killed=facts.get("killed", False),
        error=facts.get("error"),
        started=started,
        ended_at=datetime.fromtimestamp(facts["ended_at"], UTC) if "ended_at" in facts else None,
    )

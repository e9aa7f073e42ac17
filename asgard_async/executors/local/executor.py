"""The executor for this machine: each attempt is a subprocess under a shim.

jobs/<job_id>/job.log                   output of all attempts
jobs/<job_id>/attempts/<n>/             lock, pid.json, exit.json, shim.log
jobs/<job_id>/attempts/<n>/work         the script, or what was in its archive, and what it
                                        makes; its working directory
jobs/<job_id>/attempts/<n>/{home,tmp}   HOME and TMPDIR
"""

import asyncio
import contextlib
import logging
import os
from datetime import datetime
from pathlib import Path

from asgard_async.core import open_files
from asgard_async.core.archives.names import ArchiveLimits, ArchiveRefused
from asgard_async.core.archives.unpack import unpack
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.attempt import AttemptId, Ended
from asgard_async.domain.job import Started
from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest, CannotStart
from asgard_async.executors.environment_variables import job_variables
from asgard_async.executors.local.warm.pool import WarmServers
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.keeper_server import ColdServers
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec
from asgard_async.supervisor.sandbox.attempt_sandbox import AttemptSandbox, attempt_sandbox
from asgard_async.supervisor.sandbox.selector import IsolationSelector

logger = logging.getLogger(__name__)

LOG_NAME = "job.log"
OWN_DIRECTORIES = ("work", "home", "tmp")
"""What a job may write, below its attempt's directory."""


class LocalExecutor:
    """Runs attempts below `jobs_dir`. `in_use` is locked (shared) as long as any of them lives."""

    def __init__(
        self,
        *,
        jobs_dir: Path,
        log_limit_bytes: int,
        archive_limits: ArchiveLimits,
        in_use: Path,
        warm: WarmServers,
        selector: IsolationSelector,
        enforcer: LimitEnforcer,
    ) -> None:
        self._jobs_dir = jobs_dir
        self._log_limit = log_limit_bytes
        self._archive_limits = archive_limits
        self._in_use = in_use
        self._warm = warm
        self._selector = selector
        self._enforcer = enforcer
        self._cold = ColdServers()

    async def ready(self) -> None:
        """See `Executor.ready`."""
        await self._selector.available()

    def close(self) -> None:
        """Let go of what attempts are started with; they live on."""
        self._cold.close()

    async def start(self, request: AttemptRequest) -> datetime | None:
        """See `Executor.start`."""
        directory = self._directory(request.attempt)
        beside = await asyncio.to_thread(self._prepare, directory, request)
        entering_sandbox = attempt_sandbox(
            self._selector,
            python=request.python,
            environment=request.held[0].parent if request.held else None,
            owner=request.owner,
            own=[directory / name for name in OWN_DIRECTORIES],
        )
        with self._enforcer.starting(), contextlib.ExitStack() as stack:
            sandbox = await asyncio.to_thread(stack.enter_context, entering_sandbox)
            return await self._start(request, directory, beside, sandbox)

    async def _start(
        self,
        request: AttemptRequest,
        directory: Path,
        beside: frozenset[str],
        sandbox: AttemptSandbox,
    ) -> datetime | None:
        environment = {
            **job_variables(directory, sandbox.cache, request.python),
            **request.environment,
        }
        memory_limit = self._enforcer.address_space_bytes(request.resource_limits)
        server = self._warm.choose(request, beside, environment, memory_limit)
        host_cache = sandbox.host_cache
        spec = process_spec(
            directory=directory,
            argv=[str(request.python), _as_argument(request.script_name)],
            environment=environment,
            working_directory=directory / "work",
            umask=READABLE_UMASK,  # that of a script started by hand
            log=self.log_of(request.attempt.job_id),
            log_limit_bytes=self._log_limit,
            timeout_seconds=request.timeout,
            grace_seconds=request.grace,
            address_space_bytes=memory_limit,
            open_files=open_files.soft_limit_of_jobs(),
            locks=[self._in_use, *request.held, *sandbox.locks],
            isolation=sandbox.level,
            sandbox=sandbox.spec,
            limits=self._enforcer.limits(
                request.resource_limits,
                directory,
                own=[directory / name for name in OWN_DIRECTORIES],
                caches=[host_cache] if host_cache is not None else [],
            ),
            cold_reason=server if isinstance(server, ColdReason) else None,
        )
        keeper_server = self._cold.server() if isinstance(server, ColdReason) else server
        started_at = await Attempt(directory).start(spec, keeper_server)
        # read back: a lost server adds its reason
        self._warm.count(ColdReason(spec["cold_reason"]) if "cold_reason" in spec else None)
        return started_at

    async def wait(self, attempt: AttemptId) -> Ended:
        """See `Executor.wait`."""
        ended = await (await self._existing(attempt)).wait()
        await asyncio.to_thread(self._take_back, self._directory(attempt))
        return ended

    async def started(self, attempt: AttemptId) -> Started | None:
        """See `Executor.started`."""
        return await asyncio.to_thread(Attempt(self._directory(attempt)).started)

    async def stop(self, attempt: AttemptId) -> None:
        """See `Executor.stop`."""
        await (await self._existing(attempt)).stop()

    async def remove(self, job_id: str) -> None:
        """See `Executor.remove`."""
        await asyncio.to_thread(remove_tree, self._jobs_dir / job_id)

    async def _existing(self, attempt: AttemptId) -> Attempt:
        """The attempt, also where nothing was made of it yet: then it can be ruled out."""
        directory = self._directory(attempt)
        await asyncio.to_thread(directory.mkdir, mode=0o700, parents=True, exist_ok=True)
        return Attempt(directory)

    def _directory(self, attempt: AttemptId) -> Path:
        return self._jobs_dir / attempt.job_id / "attempts" / str(attempt.number)

    def _take_back(self, directory: Path) -> None:
        """Let the user whose job has ended, and who may be the next job's, not come back to it."""
        for name in OWN_DIRECTORIES:
            path = directory / name
            with contextlib.suppress(OSError):  # gone, or made anew by somebody else
                if path.lstat().st_uid != os.geteuid() and path.is_dir():
                    os.lchown(path, os.geteuid(), os.getegid())
                    path.chmod(0o700)

    def _prepare(self, directory: Path, request: AttemptRequest) -> frozenset[str]:
        """Make the job's files; the names of the modules beside its script, itself included."""
        work = directory / "work"
        for path in (directory, *(directory / name for name in OWN_DIRECTORIES)):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._selector.needs_traversal:
            for path in (directory, directory.parent, directory.parent.parent):
                path.chmod(0o711)
        if request.archive is None:
            _write_script(work / request.script_name, request.script)
            return frozenset({Path(request.script_name).stem})
        if not request.archive.exists():
            raise CannotStart("its archive is gone from the service's disk. Submit it again")
        try:
            # checked again: the limits may have changed, and so may the file
            unpack(request.archive, work, self._archive_limits)
        except ArchiveRefused as error:
            raise CannotStart(f"its archive cannot be unpacked. {error} Submit it again") from error
        folder = (work / request.script_name).parent
        return frozenset(path.name.partition(".")[0] for path in folder.iterdir())

    def log_of(self, job_id: str) -> Path:
        """The file that holds a job's output."""
        return self._jobs_dir / job_id / LOG_NAME


def _write_script(path: Path, script: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(script)


def _as_argument(script_name: str) -> str:
    """The script's name as `sys.argv[0]`; one that Python would take for an option gets a path."""
    return f"./{script_name}" if script_name.startswith("-") else script_name

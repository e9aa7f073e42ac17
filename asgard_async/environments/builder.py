"""Builds of environments. Jobs that need the same environment share one build, across restarts.

environments/builds/<key>/<n>/      attempt n of the build: lock, pid.json, exit.json
environments/builds/<key>/<n>.log   its output
environments/builds/<key>/<n>.plan  its instructions, see build_program.py
environments/builds/<key>/<n>.new   the environment while it is built; <n>.new-whole once complete
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from asgard_async.core.files.remove_tree import entries_within, remove_tree
from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.domain.names import environment_key_of, is_valid
from asgard_async.environments.build_program import Plan
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.attempts import AttemptSeries
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.process_spec import READABLE_UMASK, process_spec, service_python
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.service_sandboxes import ServiceSandbox, build_sandbox
from asgard_async.supervisor.shim.process_spec import ProcessSpec

PROGRAM = Path(__file__).parent / "build_program.py"
GRACE_SECONDS = 5.0
RESERVED_BYTES = 1 << 30
RESERVED_BYTES_PER_THREAD = 128 << 20
UV_TEMPORARY_PREFIX = ".tmp"
UV_TEMPORARY_MARGIN_SECONDS = 60.0
REASON_BYTES = 1 << 16
"""The end of the output in which to look for the reason of a failure."""
NETWORK_VARIABLES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""The administrator's settings for reaching the package index."""


class BuildFailed(Exception):
    """An environment could not be built; the message contains uv's error if there is one."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A running or finished build of one environment."""

    environment_spec: EnvironmentSpec
    attempt: Attempt

    @property
    def log(self) -> Path:
        return self._beside_attempt(".log")

    @property
    def plan(self) -> Path:
        return self._beside_attempt(".plan")

    @property
    def staging(self) -> Path:
        """The directory in which the environment is built."""
        return self._beside_attempt(".new")

    def _beside_attempt(self, suffix: str) -> Path:
        directory = self.attempt.directory
        return directory.with_name(f"{directory.name}{suffix}")


class Builder:
    """Starts builds, finds builds of other processes, and waits for builds."""

    def __init__(
        self,
        cache: EnvironmentCache,
        *,
        directory: Path,
        selector: IsolationSelector,
        enforcer: LimitEnforcer | None,
        resource_limits: ResourceLimits,
        uv_cache: Path,
        in_use: Path,
        timeout_seconds: float,
    ) -> None:
        self._cache = cache
        self._directory = directory
        self._selector = selector
        self._enforcer = enforcer
        self._resource_limits = resource_limits
        self._uv_cache = uv_cache
        self._in_use = in_use
        self._timeout = timeout_seconds

    def is_running(self, environment_spec: EnvironmentSpec) -> bool:
        """Return whether a build of an environment is running, started by any process."""
        return self._attempts_of(environment_spec).running() is not None

    async def start(self, environment_spec: EnvironmentSpec) -> Build:
        """Return the running build of an environment, or start one.

        Waits until the isolation level is known.

        Raises:
            NoUidLeft: every uid for jobs and builds is in use.
            OSError: the build cannot be started.
        """
        await self._selector.available()

        async def start(attempt: Attempt) -> None:
            await self._start(Build(environment_spec=environment_spec, attempt=attempt))

        attempts = self._attempts_of(environment_spec)
        running = await asyncio.to_thread(attempts.running)
        attempt = running or await attempts.start_next(start)
        return Build(environment_spec=environment_spec, attempt=attempt)

    def _attempts_of(self, environment_spec: EnvironmentSpec) -> AttemptSeries:
        return AttemptSeries(self._directory / environment_key_of(environment_spec.key))

    async def _start(self, build: Build) -> None:
        entering_sandbox = build_sandbox(
            self._selector, staging=build.staging, uv_cache=self._uv_cache
        )
        with contextlib.ExitStack() as stack:
            if self._enforcer is not None:
                stack.enter_context(self._enforcer.starting())
            service_sandbox = await asyncio.to_thread(stack.enter_context, entering_sandbox)
            await build.attempt.start(self._spec(build, service_sandbox))

    async def wait(self, build: Build) -> None:
        """Wait for a build.

        Raises:
            BuildFailed: the build ended without an environment.
        """
        ended = await build.attempt.wait()
        if not (self._cache.path_of(build.environment_spec.key) / "lock").exists():
            # a killed build does not clean up
            await asyncio.to_thread(_remove_unfinished, build)
            await asyncio.to_thread(self._sweep_uv_cache)
            raise BuildFailed(_reason_of(ended, build.log, self._timeout))

    def sweep(self) -> None:
        """Remove files of finished builds, whose output is in the logs of the waiting jobs."""
        for name in entries_within(self._directory):
            if is_valid(environment_key_of, name):
                folder = self._directory / environment_key_of(name)
                if AttemptSeries(folder).running() is None:
                    remove_tree(folder)
        self._sweep_uv_cache()

    def _sweep_uv_cache(self) -> None:
        """Remove packages that killed builds left half unpacked in uv's cache.

        uv never does. No running build has one that is older than builds may take.
        """
        longest = self._timeout + GRACE_SECONDS + UV_TEMPORARY_MARGIN_SECONDS
        for name in entries_within(self._uv_cache):
            path = self._uv_cache / name
            with contextlib.suppress(FileNotFoundError):
                if (
                    name.startswith(UV_TEMPORARY_PREFIX)
                    and path.lstat().st_mtime < time.time() - longest
                ):
                    remove_tree(path)

    async def stop(self, build: Build) -> None:
        """Stop a build."""
        await build.attempt.stop()

    def _spec(self, build: Build, service_sandbox: ServiceSandbox) -> ProcessSpec:
        from uv import find_uv_bin

        environment_spec, directory = build.environment_spec, build.attempt.directory
        plan = Plan(
            uv=find_uv_bin(),
            python=sys.executable,
            requirements=list(environment_spec.requirements),
            refreshed=list(environment_spec.moving),
            staging=str(build.staging),
            final=str(self._cache.path_of(environment_spec.key)),
            landlock_only=service_sandbox.landlock_only,
            sandbox=service_sandbox.spec,
            max_bytes=self._resource_limits.directory_bytes if self._enforcer is not None else 0,
            only_source=environment_spec.has_addresses,
        )
        build.plan.write_text(json.dumps(plan))
        limits, address_space = None, 0
        if self._enforcer is not None:
            address_space = self._enforcer.address_space_bytes(self._resource_limits)
            limits = self._enforcer.limits(
                self._resource_limits, directory, own=[build.staging], caches=[self._uv_cache]
            )
        return process_spec(
            directory=directory,
            argv=service_python(PROGRAM, build.plan),
            environment=self._environment(environment_spec, build.staging),
            working_directory=directory.parent,
            umask=READABLE_UMASK,  # a job may run as another user
            log=build.log,
            timeout_seconds=self._timeout,
            grace_seconds=GRACE_SECONDS,
            locks=[self._in_use, *service_sandbox.locks],
            limits=limits,
            address_space_bytes=address_space and address_space + _reserved_bytes(),
        )

    def _environment(self, environment_spec: EnvironmentSpec, staging: Path) -> Mapping[str, str]:
        """Return clean variables, as for a job: build scripts are untrusted."""
        indexes = {}
        if environment_spec.index_url:
            indexes["UV_DEFAULT_INDEX"] = environment_spec.index_url
        if environment_spec.extra_index_urls:
            indexes["UV_INDEX"] = " ".join(environment_spec.extra_index_urls)
        network = {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(staging / "home"),
            "TMPDIR": str(staging / "tmp"),
            "UV_CACHE_DIR": str(self._uv_cache),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_CONFIG": "1",
            # fail immediately, instead of waiting, if a repository asks for a password
            "GIT_TERMINAL_PROMPT": "0",
            **network,
            **indexes,
        }


def _reserved_bytes() -> int:
    """Return the address space that uv reserves without using it, mostly for its threads."""
    return RESERVED_BYTES + (os.cpu_count() or 1) * RESERVED_BYTES_PER_THREAD


def _remove_unfinished(build: Build) -> None:
    for path in build.log.parent.glob(f"{build.attempt.directory.name}.new*"):
        remove_tree(path)


def _reason_of(ended: Ended, log: Path, timeout: float) -> str:
    if ended.stop is Stop.TIMEOUT:
        return f"The build took longer than {timeout:g} s ([environments] build_timeout)."
    if ended.end is End.LOST:
        return "The build was killed from outside."
    if ended.stop is Stop.DISK:
        return "The build exceeded its disk limit ([limits] job_dir_mb)."
    if ended.oom_kills:
        return "The build exceeded its memory limit ([limits] memory_mb)."
    with contextlib.suppress(OSError):
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - REASON_BYTES))
            text = file.read(REASON_BYTES).decode(errors="replace").strip()
        # uv's reason is its last paragraph, which begins with "error:"
        if (start := text.rfind("error:")) >= 0:
            return text[start:][:2000]
        if text:
            return text[-2000:]
    return ended.error or "The build failed without any output."

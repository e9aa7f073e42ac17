"""Building environments: one build for all who need the same one, also over a restart.

environments/builds/<key>/<n>/      attempt n of the build: lock, pid.json, exit.json
environments/builds/<key>/<n>.log   its output
environments/builds/<key>/<n>.plan  what it is told, see build_program.py
environments/builds/<key>/<n>.new   what is being built, and <n>.new-whole when it is
"""

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.attempt import End, Ended, Stop
from asgard_async.environments.build_program import Plan
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.environments.spec import EnvironmentSpec
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.limits.enforcer import LimitEnforcer
from asgard_async.supervisor.limits.resource_limits import ResourceLimits
from asgard_async.supervisor.sandbox.selector import IsolationSelector
from asgard_async.supervisor.sandbox.service_sandboxes import ServiceSandbox, build_sandbox
from asgard_async.supervisor.shim.process_spec import ProcessSpec

PROGRAM = Path(__file__).parent / "build_program.py"
LOG_LIMIT_BYTES = 16 << 20
GRACE_SECONDS = 5.0
NETWORK_VARIABLES = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
)
"""What the administrator has set for the way to the package index."""


class BuildFailed(Exception):
    """An environment could not be built; the text says why, in uv's words where it has any."""


@dataclass(frozen=True, kw_only=True)
class Build:
    """A build that runs, or has run, for one recipe."""

    environment_spec: EnvironmentSpec
    attempt: Attempt
    log: Path


class Builder:
    """Starts builds, finds those of others, and waits for them."""

    def __init__(
        self,
        cache: EnvironmentCache,
        *,
        directory: Path,
        selector: IsolationSelector,
        enforcer: LimitEnforcer | None,
        resource_limits: ResourceLimits,
        uv_cache: Path,
        timeout_seconds: float,
    ) -> None:
        self._cache = cache
        self._directory = directory
        self._selector = selector
        self._enforcer = enforcer
        self._resource_limits = resource_limits
        self._uv_cache = uv_cache
        self._timeout = timeout_seconds

    async def start(self, environment_spec: EnvironmentSpec) -> Build:
        """The running build of a recipe; a new one where there is none.

        Waits until it is known how foreign code can be shut in.

        Raises:
            NoUidLeft, OSError: see there.
        """
        await self._selector.available()
        folder = self._directory / environment_spec.key
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        latest = await asyncio.to_thread(_latest, folder)
        if latest is not None and await asyncio.to_thread(latest.is_alive):
            log = folder / f"{latest.directory.name}.log"
            return Build(environment_spec=environment_spec, attempt=latest, log=log)
        number = int(latest.directory.name) + 1 if latest is not None else 1
        directory = folder / str(number)
        await asyncio.to_thread(directory.mkdir, mode=0o700, exist_ok=True)
        build = Build(
            environment_spec=environment_spec,
            attempt=Attempt(directory),
            log=folder / f"{number}.log",
        )
        confining = build_sandbox(
            self._selector, staging=folder / f"{number}.new", uv_cache=self._uv_cache
        )
        with contextlib.ExitStack() as stack:
            if self._enforcer is not None:
                stack.enter_context(self._enforcer.starting())
            service_sandbox = await asyncio.to_thread(stack.enter_context, confining)
            # of two processes that come here at once, the attempt's lock lets one start it
            await build.attempt.start(self._spec(build, folder, service_sandbox))
        return build

    async def wait(self, build: Build) -> None:
        """Wait for a build.

        Raises:
            BuildFailed: there is no environment at its end.
        """
        ended = await build.attempt.wait()
        if not (self._cache.path_of(build.environment_spec.key) / "lock").exists():
            # one that was killed has not tidied up
            await asyncio.to_thread(_remove_unfinished, build)
            raise BuildFailed(_why(ended, build.log, self._timeout))

    def sweep(self) -> None:
        """Remove what builds left that are over: each job that waited has the output in its log."""
        for folder in self._directory.glob("*"):
            if (latest := _latest(folder)) is None or not latest.is_alive():
                remove_tree(folder)

    async def stop(self, build: Build) -> None:
        """Give a build up."""
        await build.attempt.stop()

    def _spec(self, build: Build, folder: Path, service_sandbox: ServiceSandbox) -> ProcessSpec:
        from uv import find_uv_bin

        number, environment_spec = build.attempt.directory.name, build.environment_spec
        staging = folder / f"{number}.new"
        plan = Plan(
            uv=find_uv_bin(),
            python=sys.executable,
            requirements=list(environment_spec.requirements),
            refreshed=list(environment_spec.moving),
            staging=str(staging),
            final=str(self._cache.path_of(environment_spec.key)),
            landlock_only=service_sandbox.landlock_only,
            sandbox=service_sandbox.sandbox,
            only_source=environment_spec.has_addresses,
        )
        (folder / f"{number}.plan").write_text(json.dumps(plan))
        spec = ProcessSpec(
            directory=str(build.attempt.directory),
            argv=[
                *(sys.executable, "-I", "-S", str(PROGRAM)),
                str(folder / f"{number}.plan"),
            ],
            environment=self._environment(environment_spec, staging),
            working_directory=str(folder),
            umask=0o022,  # a job may run as another user; the directories above are private
            log=str(build.log),
            log_limit=LOG_LIMIT_BYTES,
            timeout=self._timeout,
            grace=GRACE_SECONDS,
            memory_limit=0,
            open_files=0,
            held=[str(path) for path in service_sandbox.held],
            inherit=[],
        )
        if self._enforcer is not None:
            spec["limits"] = self._enforcer.limits(
                self._resource_limits, build.attempt.directory, own=[staging], caches=[]
            )
        return spec

    def _environment(self, environment_spec: EnvironmentSpec, staging: Path) -> dict[str, str]:
        """Clean as a job's: a source distribution's build script is foreign code too."""
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
            # a repository that wants a password is refused, not waited for
            "GIT_TERMINAL_PROMPT": "0",
            **network,
            **indexes,
        }


def _latest(folder: Path) -> Attempt | None:
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return Attempt(folder / str(max(numbers))) if numbers else None


def _remove_unfinished(build: Build) -> None:
    for path in build.log.parent.glob(f"{build.attempt.directory.name}.new*"):
        remove_tree(path)


def _why(ended: Ended, log: Path, timeout: float) -> str:
    if ended.stop is Stop.TIMEOUT:
        return f"Building took longer than {timeout:g} s ([environments] build_timeout)."
    if ended.end is End.LOST:
        return "The build was killed from outside."
    if ended.stop is Stop.DISK:
        return "Building needed more disk than there is for it ([limits] job_dir_mb)."
    if ended.oom_kills:
        return "Building needed more memory than there is for it ([limits] memory_mb)."
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace").strip()
        # uv's reason is its last paragraph, which begins with "error:"
        if (start := text.rfind("error:")) >= 0:
            return text[start:][:2000]
        if text:
            return text[-2000:]
    return ended.error or "The build ended without a word."

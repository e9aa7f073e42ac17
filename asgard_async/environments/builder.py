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
from asgard_async.environments.build_program import Plan
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.environments.spec import Recipe
from asgard_async.executors.base import End, Ended, Stop
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.limits.enforcer import Keeping
from asgard_async.supervisor.limits.resource_limits import Allowance
from asgard_async.supervisor.sandbox.selector import Ladder
from asgard_async.supervisor.sandbox.service_sandboxes import Confinement, confined_build
from asgard_async.supervisor.shim.process_spec import Order

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

    recipe: Recipe
    attempt: Attempt
    log: Path


class Builder:
    """Starts builds, finds those of others, and waits for them."""

    def __init__(
        self,
        cache: EnvironmentCache,
        *,
        directory: Path,
        ladder: Ladder,
        keeping: Keeping | None,
        allowance: Allowance,
        uv_cache: Path,
        timeout_seconds: float,
    ) -> None:
        self._cache = cache
        self._directory = directory
        self._ladder = ladder
        self._keeping = keeping
        self._allowance = allowance
        self._uv_cache = uv_cache
        self._timeout = timeout_seconds

    async def start(self, recipe: Recipe) -> Build:
        """The running build of a recipe; a new one where there is none.

        Waits until it is known how foreign code can be shut in.

        Raises:
            NoUidLeft, OSError: see there.
        """
        await self._ladder.available()
        folder = self._directory / recipe.key
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        latest = await asyncio.to_thread(_latest, folder)
        if latest is not None and await asyncio.to_thread(latest.is_alive):
            log = folder / f"{latest.directory.name}.log"
            return Build(recipe=recipe, attempt=latest, log=log)
        number = int(latest.directory.name) + 1 if latest is not None else 1
        directory = folder / str(number)
        await asyncio.to_thread(directory.mkdir, mode=0o700, exist_ok=True)
        build = Build(recipe=recipe, attempt=Attempt(directory), log=folder / f"{number}.log")
        confining = confined_build(
            self._ladder, staging=folder / f"{number}.new", uv_cache=self._uv_cache
        )
        with contextlib.ExitStack() as stack:
            if self._keeping is not None:
                stack.enter_context(self._keeping.starting())
            confined = await asyncio.to_thread(stack.enter_context, confining)
            # of two processes that come here at once, the attempt's lock lets one start it
            await build.attempt.start(self._order(build, folder, confined))
        return build

    async def wait(self, build: Build) -> None:
        """Wait for a build.

        Raises:
            BuildFailed: there is no environment at its end.
        """
        ended = await build.attempt.wait()
        if not (self._cache.path_of(build.recipe.key) / "lock").exists():
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

    def _order(self, build: Build, folder: Path, confined: Confinement) -> Order:
        from uv import find_uv_bin

        number, recipe = build.attempt.directory.name, build.recipe
        staging = folder / f"{number}.new"
        plan = Plan(
            uv=find_uv_bin(),
            python=sys.executable,
            requirements=list(recipe.requirements),
            refreshed=list(recipe.moving),
            staging=str(staging),
            final=str(self._cache.path_of(recipe.key)),
            fence=confined.fence,
            walls=confined.walls,
            only_source=recipe.has_addresses,
        )
        (folder / f"{number}.plan").write_text(json.dumps(plan))
        order = Order(
            directory=str(build.attempt.directory),
            argv=[
                *(sys.executable, "-I", "-S", str(PROGRAM)),
                str(folder / f"{number}.plan"),
            ],
            environment=self._environment(recipe, staging),
            working_directory=str(folder),
            umask=0o022,  # a job may run as another user; the directories above are private
            log=str(build.log),
            log_limit=LOG_LIMIT_BYTES,
            timeout=self._timeout,
            grace=GRACE_SECONDS,
            memory_limit=0,
            open_files=0,
            held=[str(path) for path in confined.held],
            inherit=[],
        )
        if self._keeping is not None:
            order["limits"] = self._keeping.limits(
                self._allowance, build.attempt.directory, own=[staging], caches=[]
            )
        return order

    def _environment(self, recipe: Recipe, staging: Path) -> dict[str, str]:
        """Clean as a job's: a source distribution's build script is foreign code too."""
        indexes = {}
        if recipe.index_url:
            indexes["UV_DEFAULT_INDEX"] = recipe.index_url
        if recipe.extra_index_urls:
            indexes["UV_INDEX"] = " ".join(recipe.extra_index_urls)
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

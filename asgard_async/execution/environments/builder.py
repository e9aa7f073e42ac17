"""Building environments: one build for all who need the same one, also over a restart.

environments/builds/<key>/<n>/      attempt n of the build: lock, pid.json, exit.json
environments/builds/<key>/<n>.log   its output
environments/builds/<key>/venv…     what is being built
"""

import asyncio
import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from asgard_async.execution.attempt import Attempt
from asgard_async.execution.environments.cache import BUILDS, EnvironmentCache
from asgard_async.execution.environments.key import Recipe
from asgard_async.execution.protocol import End, Ended, Stop
from asgard_async.execution.shim.order import Order

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

    def __init__(self, cache: EnvironmentCache, *, uv_cache: Path, timeout_seconds: float) -> None:
        self._cache = cache
        self._uv_cache = uv_cache
        self._timeout = timeout_seconds

    async def start(self, recipe: Recipe) -> Build:
        """The running build of a recipe; a new one where there is none."""
        folder = self._cache.directory / BUILDS / recipe.key
        await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
        latest = await asyncio.to_thread(_latest, folder)
        if latest is not None and await asyncio.to_thread(latest.is_alive):
            log = folder / f"{latest.directory.name}.log"
            return Build(recipe=recipe, attempt=latest, log=log)
        number = int(latest.directory.name) + 1 if latest is not None else 1
        directory = folder / str(number)
        await asyncio.to_thread(directory.mkdir, mode=0o700, exist_ok=True)
        build = Build(recipe=recipe, attempt=Attempt(directory), log=folder / f"{number}.log")
        # of two processes that come here at once, the attempt's lock lets one start it
        await build.attempt.start(self._order(build, folder))
        return build

    async def wait(self, build: Build) -> None:
        """Wait for a build.

        Raises:
            BuildFailed: there is no environment at its end.
        """
        ended = await build.attempt.wait()
        if not (self._cache.path_of(build.recipe.key) / "lock").exists():
            raise BuildFailed(_why(ended, build.log, self._timeout))

    def sweep(self) -> None:
        """Remove what builds left that are over: each job that waited has the output in its log."""
        for folder in (self._cache.directory / BUILDS).glob("*"):
            if (latest := _latest(folder)) is None or not latest.is_alive():
                shutil.rmtree(folder, ignore_errors=True)

    async def stop(self, build: Build) -> None:
        """Give a build up."""
        await build.attempt.stop()

    def _order(self, build: Build, folder: Path) -> Order:
        staging = folder / f"staging-{build.attempt.directory.name}"
        Path(f"{staging}.txt").write_text("".join(f"{one}\n" for one in build.recipe.requirements))
        from uv import find_uv_bin

        return Order(
            directory=str(build.attempt.directory),
            argv=[
                *(sys.executable, "-I", "-S", str(PROGRAM)),
                *(find_uv_bin(), sys.executable, str(staging)),
                str(self._cache.path_of(build.recipe.key)),
                *build.recipe.moving,
            ],
            environment=self._environment(build.recipe, folder),
            working_directory=str(folder),
            umask=0o022,  # a job may run as another user; the directories above are private
            log=str(build.log),
            log_limit=LOG_LIMIT_BYTES,
            timeout=self._timeout,
            grace=GRACE_SECONDS,
            memory_limit=0,
            open_files=0,
            held=[],
            inherit=[],
        )

    def _environment(self, recipe: Recipe, folder: Path) -> dict[str, str]:
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
            "HOME": str(folder),
            "TMPDIR": str(folder),
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


def _why(ended: Ended, log: Path, timeout: float) -> str:
    if ended.stop is Stop.TIMEOUT:
        return f"Building took longer than {timeout:g} s ([environments] build_timeout)."
    if ended.end is End.LOST:
        return "The build was killed from outside."
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace").strip()
        # uv's reason is its last paragraph, which begins with "error:"
        if (start := text.rfind("error:")) >= 0:
            return text[start:][:2000]
        if text:
            return text[-2000:]
    return ended.error or "The build ended without a word."

"""The fork servers of a service: one for each environment in use, up to a number.

The base environment has one as long as the service lives, others while jobs come. One that ends,
grows or grows old is replaced; jobs start cold while there is none.

    warm/<environment>/server.log         what its imports print
    warm/<environment>/{home,tmp,work}    HOME, TMPDIR and working directory while it imports
"""

import asyncio
import contextlib
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from asgard_async.config import WarmConfig
from asgard_async.core.files.locks import held
from asgard_async.core.tasks import BackgroundTasks
from asgard_async.domain.status import ColdReason
from asgard_async.executors.base import AttemptRequest
from asgard_async.executors.environment_variables import job_variables
from asgard_async.executors.local.warm.eligibility import reason_of_job, reason_of_match
from asgard_async.executors.local.warm.server import ForkServer, WarmUpFailed
from asgard_async.supervisor.restart import Backoff, Restart, run_with_restarts

logger = logging.getLogger(__name__)

OLD_AFTER_SECONDS = 24 * 3600.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=300.0, healthy_seconds=60.0)
LARGEST_LOG_BYTES = 1 << 20


class _Place:
    """Where the fork server of one environment is kept."""

    def __init__(self, *, python: Path, lock: Path | None) -> None:
        self.python = python
        self.lock = lock
        """Held while there is a server, so that its environment is not thrown away."""
        self.server: ForkServer | None = None
        """The one that is ready."""
        self.warming_up = True
        self.used_at = time.monotonic()
        self.grown = asyncio.Event()

    @property
    def is_base(self) -> bool:
        return self.lock is None

    @property
    def name(self) -> str:
        return self.lock.parent.name if self.lock else "base"


class WarmServers:
    """Chooses what a job is forked from, and keeps the servers for it."""

    def __init__(
        self, config: WarmConfig, *, directory: Path, cache_dir: Path, base_alone: bool
    ) -> None:
        """With `base_alone` only the base environment has a server: others are strangers' code."""
        self._config = config
        self._directory = directory
        self._cache_dir = cache_dir
        self._base_alone = base_alone
        self._preload = frozenset(name.partition(".")[0] for name in config.preload)
        self._places: dict[Path, _Place] = {}
        self._tasks = BackgroundTasks()
        self._starts: Counter[ColdReason | None] = Counter()

    def start(self) -> None:
        """Begin to warm up the base environment's server."""
        if self._config.enabled:
            self._open(_Place(python=Path(sys.executable), lock=None))

    async def close(self) -> None:
        """End all servers; their jobs live on."""
        await self._tasks.stop()

    # --- figures --------------------------------------------------------------------------

    @property
    def starts(self) -> Mapping[ColdReason | None, int]:
        """How many jobs have been started, by why cold; None for the warm ones."""
        return self._starts

    @property
    def servers(self) -> int:
        """How many fork servers there are, those that still import included."""
        return sum(place.server is not None or place.warming_up for place in self._places.values())

    @property
    def ready(self) -> int:
        """How many of them are ready."""
        return sum(place.server is not None for place in self._places.values())

    def count(self, reason: ColdReason | None) -> None:
        """Note how a job was started."""
        self._starts[reason] += 1

    # --- choosing -------------------------------------------------------------------------

    def choose(
        self,
        request: AttemptRequest,
        beside: frozenset[str],
        environment: Mapping[str, str],
        memory_limit_bytes: int,
    ) -> ForkServer | ColdReason:
        """What a job with these variables is forked from, or why it starts cold.

        `beside` are the modules beside its script, by which it may mean another than ours;
        `memory_limit_bytes` is the limit of its address space, 0 for none.

        For an environment that has no server yet, one is begun.
        """
        if not self._config.enabled:
            return ColdReason.OFF
        if (reason := reason_of_job(request)) is not None:
            return reason
        if request.held and self._base_alone:
            return ColdReason.ISOLATION
        place = self._places.get(request.python)
        if place is None or place.server is None:
            if request.imports is not None and not request.imports & self._preload:
                return ColdReason.IMPORTS
            return self._reason_of_place(request, place)
        place.used_at = time.monotonic()
        reason = reason_of_match(request, beside, environment, place.server, memory_limit_bytes)
        if reason is not None:
            return reason
        if place.server.private_bytes() > self._config.max_memory_mb << 20:
            place.grown.set()
        return place.server

    def _reason_of_place(self, request: AttemptRequest, place: _Place | None) -> ColdReason:
        if place is None:
            if not request.held or not self._make_room():
                return ColdReason.NO_SERVER
            place = _Place(python=request.python, lock=request.held[0])
            self._open(place)
        place.used_at = time.monotonic()
        return ColdReason.NOT_READY if place.warming_up else ColdReason.NO_SERVER

    def _make_room(self) -> bool:
        if len(self._places) < self._config.max_servers:
            return True
        others = [place for place in self._places.values() if not place.is_base]
        if not others:
            return False
        oldest = min(others, key=lambda place: place.used_at)
        del self._places[oldest.python]  # at once: others may want room before it has ended
        self._tasks.cancel(_task_name(oldest))
        return True

    # --- keeping --------------------------------------------------------------------------

    def _open(self, place: _Place) -> None:
        self._places[place.python] = place
        self._tasks.start(_task_name(place), self._keep(place))

    async def _keep(self, place: _Place) -> None:
        """Keep a place's server until nobody has used it for long."""
        try:
            with held(place.lock) if place.lock else contextlib.nullcontext():
                await run_with_restarts(partial(self._run_once, place), BACKOFF)
        finally:
            if place.server is not None:
                place.server.close()
            if self._places.get(place.python) is place:
                del self._places[place.python]

    async def _run_once(self, place: _Place) -> Restart:
        try:
            await self._warm_up(place)
            restart = await self._until_over(place)
        except WarmUpFailed as error:
            logger.warning("the fork server of %s failed: %s", place.name, error)
            restart = Restart.AFTER_PAUSE
        if restart is Restart.AFTER_PAUSE:
            if place.server is not None:
                place.server.close()
            place.server, place.warming_up = None, False
        return restart

    async def _warm_up(self, place: _Place) -> None:
        """Put a new server in its place, and close the one before it, if any."""
        place.warming_up = True
        directory = self._directory / place.name
        await asyncio.to_thread(_prepare, directory)
        variables = job_variables(directory, self._cache_dir, place.python)
        try:
            server = ForkServer(place.python, directory, variables)
        except OSError as error:
            raise WarmUpFailed(f"it cannot be started: {error}") from error
        try:
            facts = await server.ready(self._config.preload)
            if (size := server.private_bytes()) > self._config.max_memory_mb << 20:
                raise WarmUpFailed(
                    f"it takes {size >> 20} MiB, more than [warm] max_memory_mb; preload less"
                )
        except BaseException:
            server.close()
            raise
        previous, place.server = place.server, server
        place.warming_up = False
        place.grown.clear()
        if previous is not None:
            previous.close()
        logger.info(
            "the fork server of %s is ready after %.1f s; not there: %s",
            place.name,
            facts.seconds,
            ", ".join(facts.failed) or "nothing",
        )

    async def _until_over(self, place: _Place) -> Restart:
        assert place.server is not None  # noqa: S101  # it was just put there
        idle, old_at = self._config.idle_seconds, time.monotonic() + OLD_AFTER_SECONDS
        ended = asyncio.create_task(place.server.ended())
        grown = asyncio.create_task(place.grown.wait())
        try:
            while True:
                idle_at = math.inf if place.is_base else place.used_at + idle
                await asyncio.wait(
                    {ended, grown},
                    timeout=max(0.0, min(idle_at, old_at) - time.monotonic()),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if ended.done():
                    logger.warning("the fork server of %s has ended", place.name)
                    return Restart.AFTER_PAUSE
                if grown.done() or time.monotonic() >= old_at:
                    return Restart.AT_ONCE
                if not place.is_base and time.monotonic() >= place.used_at + idle:
                    return Restart.NEVER
        finally:
            ended.cancel()
            grown.cancel()
            await asyncio.gather(ended, grown, return_exceptions=True)


def _task_name(place: _Place) -> str:
    return f"fork server {place.name}"


def _prepare(directory: Path) -> None:
    for name in ("home", "tmp", "work"):
        (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    log = directory / "server.log"
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.unlink()

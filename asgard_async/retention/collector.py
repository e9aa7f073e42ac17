"""Throws away what need not be kept; in the service at intervals, and by `asgard gc`."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from asgard_async.config import EnvironmentsConfig, RetentionConfig
from asgard_async.core.threads import run_in_daemon_thread
from asgard_async.core.timestamps import now
from asgard_async.domain.errors import JobNotFinished, JobNotFound
from asgard_async.environments.cache import EnvironmentCache
from asgard_async.retention.job_files import JobFiles, size_of
from asgard_async.retention.plan import (
    Bounds,
    KeptJob,
    KeptLeased,
    Kind,
    Removal,
    plan,
)
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore
from asgard_async.store.lookups import FinishedJob
from asgard_async.supervisor.sandbox.caches import JobCaches
from asgard_async.supervisor.shared_directory import LeasedDirectory

logger = logging.getLogger(__name__)

Removed = Callable[[Removal], None]


class Collector:
    """Finds what has to go and removes it. Safe beside running jobs, and beside another one.

    A job's record goes first and its files after it, so that a crash leaves files without a record
    at worst, which the next time are strays.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        archives: ArchiveStore,
        jobs_dir: Path,
        environments_dir: Path,
        caches_dir: Path,
        retention: RetentionConfig,
        environments: EnvironmentsConfig,
    ) -> None:
        self._store = store
        self._archives = archives
        self._files = JobFiles(jobs_dir)
        self._environments = EnvironmentCache(environments_dir)
        self._caches = JobCaches(caches_dir)
        self._config = retention
        self._bounds = {
            Kind.ENVIRONMENT: Bounds(
                days=retention.environments_days, max_bytes=environments.max_cache_mb << 20
            ),
            Kind.CACHE: Bounds(
                days=retention.caches_days, max_bytes=(retention.max_caches_mb << 20) or None
            ),
        }

    async def run(self, removed: Removed) -> NoReturn:
        """Collect at intervals for ever; to be run as a task and cancelled."""
        while True:
            done = await self.collect(removed)
            if done:
                counts = Counter(one.kind for one in done)
                logger.info(
                    "thrown away by [retention]: %s; %.1f MB",
                    ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())),
                    sum(one.size_bytes for one in done) / 1e6,
                )
            await asyncio.sleep(self._config.check_hours * 3600)

    async def collect(self, removed: Removed = lambda _: None) -> Sequence[Removal]:
        """Remove what has to go now; what went. `removed` is called with each."""
        gone = []
        for one in await self.find():
            try:
                done = await self._remove(one)
            except OSError:
                # the others must go all the same
                logger.exception("%s %s cannot be thrown away", one.kind, one.name)
                continue
            if done:
                removed(one)
                gone.append(one)
        await run_in_daemon_thread(self._caches.sweep)
        await self._store.purge_idempotency_keys(at=now())
        return gone

    async def find(self) -> list[Removal]:
        """What has to go now."""
        on_disk = await run_in_daemon_thread(self._files.known)
        archives = await run_in_daemon_thread(self._archives.settled)
        # read after the listing: whatever was listed and has no row now will never have one
        strays = on_disk - await self._store.all_job_ids()
        stray_archives = archives - set(await self._store.all_archives())
        ended = await self._store.ended()
        return await run_in_daemon_thread(partial(self._plan, ended, strays, stray_archives))

    def _plan(
        self, ended: Sequence[FinishedJob], strays: Iterable[str], stray_archives: Iterable[str]
    ) -> list[Removal]:
        removal = plan(
            map(self._kept, ended),
            {kind: list(_kept(them)) for kind, them in self._leased().items()},
            self._config,
            bounds=self._bounds,
            at=now(),
        )
        removal += [
            Removal(
                kind=Kind.STRAY,
                name=name,
                size_bytes=self._files.all_bytes(name),
                why="belongs to no job",
            )
            for name in sorted(strays)
        ]
        removal += [
            Removal(
                kind=Kind.STRAY,
                name=name,
                size_bytes=size_of(self._archives.path(name)),
                why="an archive of no job",
                archive=name,
            )
            for name in sorted(stray_archives)
        ]
        return removal

    def _kept(self, job: FinishedJob) -> KeptJob:
        found = {
            Kind.DIRECTORY: self._files.directory_bytes(job.job_id),
            Kind.LOG: self._files.log_bytes(job.job_id),
        }
        if job.archive is not None:
            found[Kind.ARCHIVE] = size_of(self._archives.path(job.archive))
        return KeptJob(
            job_id=job.job_id,
            ended_at=job.ended_at,
            is_recorded=job.is_recorded,
            archive=job.archive,
            bytes_of=found,
        )

    async def _remove(self, one: Removal) -> bool:
        match one.kind:
            case Kind.JOB:
                try:
                    await self._store.delete(one.name)
                except (JobNotFound, JobNotFinished):
                    return False  # somebody else was quicker
                await run_in_daemon_thread(partial(self._files.remove_all, one.name))
                if one.archive is not None:
                    await self._archives.remove(one.archive)
            case Kind.DIRECTORY:
                await run_in_daemon_thread(partial(self._files.remove_directory, one.name))
            case Kind.LOG:
                await run_in_daemon_thread(partial(self._files.remove_log, one.name))
            case Kind.ARCHIVE:
                assert one.archive is not None  # noqa: S101  # see plan
                await self._archives.remove(one.archive)
            case Kind.STRAY if one.archive is not None:
                await self._archives.remove(one.archive)
            case Kind.STRAY:
                await run_in_daemon_thread(partial(self._files.remove_all, one.name))
            case Kind.ENVIRONMENT | Kind.CACHE:
                return await run_in_daemon_thread(partial(self._remove_leased, one))
        return True

    def _remove_leased(self, one: Removal) -> bool:
        leased = self._leased()[one.kind].get(one.name)
        return leased is not None and leased.remove()

    def _leased(self) -> Mapping[Kind, Mapping[str, LeasedDirectory]]:
        return {
            Kind.ENVIRONMENT: {one.key: one for one in self._environments.all()},
            Kind.CACHE: {one.name: one for one in self._caches.all()},
        }


def _kept(leased: Mapping[str, LeasedDirectory]) -> Iterator[KeptLeased]:
    for name, one in leased.items():
        with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
            yield KeptLeased(
                name=name,
                last_used_at=one.last_used_at,
                size_bytes=one.size_bytes(),
                is_in_use=one.is_in_use(),
            )

"""Deletion of expired items, at intervals in the service and by `asgard gc`."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NoReturn

from asgard_async.config import EnvironmentsConfig, RetentionConfig
from asgard_async.core.threads import run_in_daemon_thread
from asgard_async.core.timestamps import now
from asgard_async.domain.errors import JobNotFinished, JobNotFound
from asgard_async.domain.names import InvalidName
from asgard_async.executors.base import JobFiles, SharedDirectory
from asgard_async.retention.plan import (
    Bounds,
    Kind,
    Removal,
    StoredDirectory,
    StoredJob,
    plan,
)
from asgard_async.store.archives import ArchiveStore
from asgard_async.store.jobs import JobStore
from asgard_async.store.lookups import FinishedJob

logger = logging.getLogger(__name__)

OnRemoved = Callable[[Removal], None]


class Collector:
    """Finds and deletes expired items. Safe alongside running jobs and another collector.

    A job's record is deleted before its files, so that a crash leaves at worst files without a
    record, which the next collection deletes as strays.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        archives: ArchiveStore,
        files: JobFiles,
        retention: RetentionConfig,
        environments: EnvironmentsConfig,
    ) -> None:
        self._store = store
        self._archives = archives
        self._files = files
        self._config = retention
        self._bounds = {
            Kind.ENVIRONMENT: Bounds(
                days=retention.environments_days, max_bytes=environments.max_cache_mb << 20
            ),
            Kind.CACHE: Bounds(
                days=retention.caches_days, max_bytes=(retention.max_caches_mb << 20) or None
            ),
        }

    async def run(self, on_removed: OnRemoved) -> NoReturn:
        """Collect at intervals until cancelled."""
        while True:
            removals = await self.collect(on_removed)
            if removals:
                counts = Counter(removal.kind for removal in removals)
                logger.info(
                    "deleted by [retention]: %s; %.1f MB",
                    ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())),
                    sum(removal.size_bytes for removal in removals) / 1e6,
                )
            await asyncio.sleep(self._config.check_hours * 3600)

    async def collect(self, on_removed: OnRemoved = lambda _: None) -> Sequence[Removal]:
        """Delete all expired items and return them, calling `on_removed` for each."""
        completed = []
        for removal in await self.find():
            try:
                is_removed = await self._remove(removal)
            except Exception:
                # continue with the other items
                logger.exception("%s %s cannot be deleted", removal.kind, removal.name)
                continue
            if is_removed:
                on_removed(removal)
                completed.append(removal)
        try:
            await run_in_daemon_thread(self._files.sweep_caches)
        except OSError:
            logger.exception("interrupted deletions of caches cannot be finished")
        await self._store.purge_idempotency_keys(at=now())
        return completed

    async def find(self) -> list[Removal]:
        """Find all expired items."""
        on_disk = await run_in_daemon_thread(self._files.job_ids)
        archives = await run_in_daemon_thread(partial(self._archives.settled, now()))
        # queried after the listing: a listed job without a row now will never have one
        strays = on_disk - await self._store.all_job_ids()
        stray_archives = archives - set(await self._store.all_archives())
        ended = await self._store.ended()
        return await run_in_daemon_thread(partial(self._plan, ended, strays, stray_archives))

    def _plan(
        self, ended: Sequence[FinishedJob], strays: Iterable[str], stray_archives: Iterable[str]
    ) -> list[Removal]:
        directories = {
            kind: list(_measure_directories(shared)) for kind, shared in self._shared().items()
        }
        removals = plan(
            self._measure_jobs(ended),
            directories,
            self._config,
            bounds=self._bounds,
            at=now(),
        )
        removals += [
            Removal(
                kind=Kind.STRAY,
                name=name,
                size_bytes=self._files.all_bytes(name),
                why="belongs to no job",
            )
            for name in sorted(strays)
        ]
        removals += [
            Removal(
                kind=Kind.STRAY,
                name=name,
                size_bytes=self._archives.size_bytes(name),
                why="archive belongs to no job",
                archive=name,
            )
            for name in sorted(stray_archives)
        ]
        return removals

    def _measure_jobs(self, ended: Iterable[FinishedJob]) -> Iterator[StoredJob]:
        for job in ended:
            try:
                yield self._measure_job(job)
            except InvalidName as error:
                logger.warning("skipping a job with an invalid name: %s", error)
            except Exception:
                # continue with the other jobs
                logger.exception("the files of job %s cannot be measured", job.job_id)

    def _measure_job(self, job: FinishedJob) -> StoredJob:
        bytes_of = {
            Kind.DIRECTORY: self._files.directory_bytes(job.job_id),
            Kind.LOG: self._files.log_bytes(job.job_id),
        }
        if job.archive is not None:
            bytes_of[Kind.ARCHIVE] = self._archives.size_bytes(job.archive)
        return StoredJob(
            job_id=job.job_id,
            ended_at=job.ended_at,
            is_recorded=job.is_recorded,
            archive=job.archive,
            bytes_of=bytes_of,
        )

    async def _remove(self, removal: Removal) -> bool:
        match removal.kind:
            case Kind.JOB:
                try:
                    await self._store.delete(removal.name)
                except (JobNotFound, JobNotFinished):
                    return False  # already deleted
                await run_in_daemon_thread(partial(self._files.remove_all, removal.name))
                if removal.archive is not None:
                    await self._archives.remove(removal.archive)
            case Kind.DIRECTORY:
                remove = partial(self._files.remove_directory, removal.name, why=removal.why)
                await run_in_daemon_thread(remove)
            case Kind.LOG:
                await run_in_daemon_thread(partial(self._files.remove_log, removal.name))
            case Kind.ARCHIVE:
                assert removal.archive is not None  # noqa: S101  # set by plan
                await self._archives.remove(removal.archive)
            case Kind.STRAY if removal.archive is not None:
                await self._archives.remove(removal.archive)
            case Kind.STRAY:
                await run_in_daemon_thread(partial(self._files.remove_all, removal.name))
            case Kind.ENVIRONMENT | Kind.CACHE:
                return await run_in_daemon_thread(partial(self._remove_shared, removal))
        return True

    def _remove_shared(self, removal: Removal) -> bool:
        directory = self._shared()[removal.kind].get(removal.name)
        return directory is not None and directory.remove()

    def _shared(self) -> Mapping[Kind, Mapping[str, SharedDirectory]]:
        return {
            Kind.ENVIRONMENT: self._files.environments(),
            Kind.CACHE: self._files.caches(),
        }


def _measure_directories(shared: Mapping[str, SharedDirectory]) -> Iterator[StoredDirectory]:
    for name, directory in shared.items():
        try:
            usage = directory.usage()
            yield StoredDirectory(
                name=name,
                last_used_at=directory.last_used_at,
                size_bytes=usage.size_bytes,
                is_measured=usage.is_complete,
                is_in_use=directory.is_in_use(),
            )
        except FileNotFoundError:  # deleted meanwhile
            continue
        except Exception:
            # continue with the other directories
            logger.exception("directory %s cannot be measured", name)

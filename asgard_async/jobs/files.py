"""The files that a job's script left in its working directory, while it runs and afterwards."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from asgard_async.core.files.foreign_tree import DEFAULT_BOUNDS, Listing, OpenFile, Unreadable
from asgard_async.core.files.tar_stream import tar_of
from asgard_async.core.threads import DaemonThreads
from asgard_async.domain.attempt import AttemptId
from asgard_async.domain.errors import FilesNotKept, NoSuchFile
from asgard_async.domain.job import Job
from asgard_async.executors.base import Executor, NoWorkingDirectory

T = TypeVar("T")

MAX_THREADS = 4
"""Listings and reads at the same time; a walk may take seconds."""
PIECE = 256 << 10


class FileChanged(Exception):
    """A file became shorter while it was sent, or its working directory was deleted."""


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder, in place of a file that was requested."""

    names: Sequence[str]


class LeftFiles:
    """Lists and reads the files of the latest attempts of jobs, in threads."""

    def __init__(self, executor: Executor) -> None:
        self._files = executor.files
        self._threads = DaemonThreads(MAX_THREADS)

    async def listing(
        self, job: Job, folder: Sequence[str] = (), *, recursive: bool = True
    ) -> Listing:
        """Return what is in the working directory, or in a folder of it; see `JobFiles.listing`.

        Raises:
            NoSuchFile: there is no such folder.
            FilesNotKept: the files were deleted.
        """
        bounds = replace(DEFAULT_BOUNDS, is_recursive=recursive)
        question = partial(self._files.listing, _attempt(job), folder, bounds)
        try:
            return await self._ask(job, folder, question)
        except _NotStarted:
            if folder:
                raise
            return Listing(entries=(), is_complete=True)

    async def opened(self, job: Job, names: Sequence[str]) -> OpenFile | Folder:
        """Open a file; the caller closes it.

        Raises:
            NoSuchFile: there is no such file, or it is not read.
            FilesNotKept: the files were deleted.
        """
        if not names:
            return Folder(names=())
        question = partial(self._files.open_file, _attempt(job), names)
        opening = asyncio.ensure_future(self._ask(job, names, question))
        try:
            return await asyncio.shield(opening)
        except IsADirectoryError:
            return Folder(names=names)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise

    async def pieces(self, file: OpenFile, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from `start` up to `end`.

        Raises:
            FileChanged: the file has become shorter.
        """
        offset = start
        while offset < end:
            data = await self._threads.run(partial(file.read, offset, min(PIECE, end - offset)))
            if not data:
                raise FileChanged
            yield data
            offset += len(data)

    async def tar(
        self, job: Job, folder: Sequence[str], listing: Listing
    ) -> AsyncGenerator[bytes, None]:
        """Yield a tar of the listed files of a folder.

        Raises:
            FileChanged: a file became shorter meanwhile.
        """

        def open_entry(path: str) -> OpenFile:
            return self._files.open_file(_attempt(job), [*folder, *path.split("/")])

        pieces = tar_of(listing.entries, open_entry)
        try:
            while data := await self._threads.run(partial(next, pieces, b"")):
                yield data
        except EOFError as error:
            raise FileChanged from error
        finally:
            # a cancelled call may still be in its thread, which closes the file afterwards
            with contextlib.suppress(ValueError):
                pieces.close()

    async def _ask(self, job: Job, names: Sequence[str], question: Callable[[], T]) -> T:
        path = "/".join(names)
        try:
            return await self._threads.run(question)
        except IsADirectoryError:
            raise
        except NoWorkingDirectory as error:
            raise await self._missing(job, path) from error
        except Unreadable as error:
            raise NoSuchFile(job.job_id, path, error.strerror or "is not read") from error
        except NotADirectoryError as error:
            raise NoSuchFile(job.job_id, path, "is not in a folder, or in a link to one") from error
        except (FileNotFoundError, ValueError) as error:  # ValueError: a NUL in the path
            raise NoSuchFile(job.job_id, path) from error
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                raise
            raise NoSuchFile(job.job_id, path, "cannot be read") from error

    async def _missing(self, job: Job, path: str) -> Exception:
        """Return the error for a job without a working directory."""
        removed = await self._threads.run(partial(self._files.removed_files, job.job_id))
        if removed is not None:
            when = f"{removed.at:%Y-%m-%d at %H:%M} UTC"
            return FilesNotKept(
                job.job_id, f"were deleted by [retention] on {when} ({removed.why})"
            )
        if job.started is not None:
            return FilesNotKept(job.job_id, "were deleted by an administrator or by the job itself")
        return _NotStarted(job.job_id, path, "does not exist, since the job has not started")


class _NotStarted(NoSuchFile):
    """The job has no working directory yet."""


def _close_opened(opening: "asyncio.Future[OpenFile]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _attempt(job: Job) -> AttemptId:
    return AttemptId(job_id=job.job_id, number=job.attempt)

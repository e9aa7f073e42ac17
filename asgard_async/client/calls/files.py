"""Listing and downloading what a job left in its working directory."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from asgard_async.client.calls.connection import JOBS, Connection
from asgard_async.client.download import Destination, UnsafeName, checked_names
from asgard_async.client.errors import AsgardError, NotFound
from asgard_async.client.files import FileList, JobFile, content_of
from asgard_async.client.jobs import Job, id_of
from asgard_async.client.submission import in_thread

PARALLEL = 4
"""Files that are downloaded at the same time."""


class FileCalls(Connection):
    """/mlops/training/jobs/{job_id}/files."""

    async def files(self, job: Job | str, path: str = "", *, recursive: bool = True) -> FileList:
        """Return what is in a job's working directory, also while it runs.

        Args:
            job: the job.
            path: a folder in it.
            recursive: False lists only what is directly in the folder.

        Raises:
            NotFound: there is no such job or folder, or its files were deleted.
        """
        response = await self._transport.get(
            *JOBS, id_of(job), "files", path=path, recursive=None if recursive else "false"
        )
        return response.read(FileList)

    async def download(
        self,
        job: Job | str,
        path: str | None = None,
        *,
        to: str | os.PathLike[str] = ".",
        overwrite: bool = False,
        on_file: Callable[[Path], None] | None = None,
    ) -> tuple[Path, ...]:
        """Download a file or a folder from a job's working directory.

        Nothing is written outside of `to`, whatever names the job has made. A file appears under
        its name once it is complete. Links and special files are left out.

        Args:
            job: the job.
            path: a file or a folder, which is created in `to`; by default everything in the
                working directory, directly into `to`.
            to: the directory to write to, created if necessary.
            overwrite: True replaces files that exist.
            on_file: called with the path of each file once it is complete.

        Returns:
            The paths of the downloaded files.

        Raises:
            NotFound: there is no such job or file, or its files were deleted.
            FileExistsError: a file exists; nothing has been downloaded then.
            OSError: a file cannot be written, or they do not fit on the disk.
        """
        destination = Destination(Path(to))
        wanted, skipped = await self._wanted(job, path)
        files = [file for file in wanted if file.type == "file"]
        placed = [(file, file.names[skipped:]) for file in files]
        await asyncio.to_thread(_check, destination, placed, overwrite=overwrite)
        for folder in wanted:
            if folder.type == "directory" and (names := folder.names[skipped:]):
                await asyncio.to_thread(destination.make_directory, names)
        limit = asyncio.Semaphore(PARALLEL)

        async def fetch(file: JobFile, names: Sequence[str]) -> Path:
            async with limit:
                await self._fetch(file, destination, names, overwrite=overwrite)
            target = destination.path(names)
            if on_file is not None:
                on_file(target)
            return target

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch(file, names)) for file, names in placed]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return tuple(task.result() for task in tasks)

    async def _wanted(self, job: Job | str, path: str | None) -> tuple[Sequence[JobFile], int]:
        """Return the files to download, and how many of their first names to leave out."""
        names = [name for name in (path or "").split("/") if name not in {"", "."}]
        if not names:
            return _complete(await self.files(job)), 0
        above, chosen = "/".join(names[:-1]), "/".join(names)
        beside = await self.files(job, above, recursive=False)
        found = next((file for file in beside if "/".join(file.names) == chosen), None)
        if found is None:
            raise NotFound(f"Job {id_of(job)} has no file {chosen}.")
        if found.type == "directory":
            return [found, *_complete(await self.files(job, chosen))], len(names) - 1
        if found.type != "file":
            raise NotFound(f"{chosen} of job {id_of(job)} is a link or a special file.")
        return [found], len(names) - 1

    async def _fetch(
        self, file: JobFile, destination: Destination, names: Sequence[str], *, overwrite: bool
    ) -> None:
        async with (
            in_thread(destination.writing(names, overwrite=overwrite)) as target,
            aclosing(content_of(self._transport, file)) as pieces,
        ):
            async for offset, data in pieces:
                if offset != target.tell():  # the file has changed since the connection broke
                    target.seek(offset)
                    target.truncate()
                await asyncio.to_thread(target.write, data)


def _complete(listing: FileList) -> Sequence[JobFile]:
    if not listing.complete:
        raise AsgardError(
            "The folder has more files than the service lists, or folders that it cannot read;"
            " download its files or folders one by one."
        )
    return listing.files


def _check(
    destination: Destination, placed: Sequence[tuple[JobFile, Sequence[str]]], *, overwrite: bool
) -> None:
    """Check names, existing files and free space before anything is downloaded."""
    seen: set[str] = set()
    for _, names in placed:
        path = str(destination.path(checked_names(names)))
        if path in seen:
            raise UnsafeName(f"Two files would be written to {path!r}.")
        seen.add(path)
    existing = [str(destination.path(names)) for _, names in placed if destination.exists(names)]
    if existing and not overwrite:
        raise FileExistsError(
            f"{existing[0]} exists" + (f", and {len(existing) - 1} more" * (len(existing) > 1))
        )
    above = destination.directory.absolute()
    while not above.exists():
        above = above.parent
    needed, free = sum(file.size or 0 for file, _ in placed), shutil.disk_usage(above).free
    if needed > free:
        raise OSError(f"The files have {needed} bytes, but only {free} are free in {above}.")

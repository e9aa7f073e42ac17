"""Uploaded archives: one file per job, named in the job's row.

A file is written under its final name and made durable before a row names it. So a crash can leave
files without a row, but never a row without its file; `sweep` removes such files before the service
accepts requests. A retry gets its own hard link: no two rows share a file, so a file is
deleted with its row and no references are counted.
"""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO

from asgard_async.core.files.durability import make_durable
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.names import archive_of, is_valid

SETTLED_SECONDS = 24 * 3600
"""The age after which a file without a row will never get one: far beyond any upload's deadline."""

BLOCK = 512
"""The unit of st_blocks on every file system."""


class Incoming:
    """An archive that is being uploaded."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._file = file
        self._digest = hashlib.sha256()

    async def write(self, block: bytes) -> None:
        """Append a block."""
        await asyncio.to_thread(self._write, block)

    def _write(self, block: bytes) -> None:
        self._file.write(block)
        self._digest.update(block)

    async def close(self) -> None:
        """Flush and close the file."""
        await asyncio.to_thread(self._file.close)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class ArchiveStore:
    """The archives in `directory`, which must exist and contain nothing else."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._received: set[str] = set()

    def path(self, name: str) -> Path:
        """The path of an archive.

        Raises:
            InvalidName: The name is not that of an archive.
        """
        return self._directory / archive_of(name)

    @contextmanager
    def receiving(self, suffix: str) -> Iterator[Incoming]:
        """Create an archive, which is deleted on exit unless `persist` was called for it."""
        name = secrets.token_hex(16) + suffix
        path = self.path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._received.add(name)
        # buffered: its lock protects the closed file from a write in an abandoned thread
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield Incoming(name, file)
            finally:
                if name in self._received:
                    self._received.remove(name)
                    path.unlink()

    async def persist(self, name: str) -> None:
        """Make an archive durable, before a row names it."""
        await asyncio.to_thread(self._sync, name)
        self._received.discard(name)

    def _sync(self, name: str) -> None:
        for path in (self.path(name), self._directory):
            make_durable(path)

    async def share(self, name: str) -> str:
        """Link an archive under a new name for another job; return that name.

        Raises:
            FileNotFoundError: The archive was removed.
        """
        twin = secrets.token_hex(16) + name[name.index(".") :]
        await asyncio.to_thread(os.link, self.path(name), self.path(twin))
        return twin

    async def remove(self, name: str) -> None:
        """Remove an archive that no row names."""
        await asyncio.to_thread(remove_tree, self.path(name))

    def size_bytes(self, name: str) -> int:
        """Return the disk space of an archive; the names of one file share it. Blocks."""
        try:
            status = self.path(name).lstat()
        except OSError:  # removed meanwhile
            return 0
        return status.st_blocks * BLOCK // max(1, status.st_nlink)

    def settled(self, at: datetime) -> set[str]:
        """Return the archives that are so old at that time that none still waits for its row.

        Blocks; call it in a thread.
        """
        cutoff = at.timestamp() - SETTLED_SECONDS
        with os.scandir(self._directory) as entries:
            # not the modification time: `share` links files that may be old
            return {
                entry.name
                for entry in entries
                if is_valid(archive_of, entry.name)
                and entry.stat(follow_symlinks=False).st_ctime < cutoff
            }

    async def sweep(self, known: Collection[str]) -> int:
        """Remove the archives that are not in `known`; return their number.

        Other entries, such as lost+found, are ignored. Must not run during uploads.
        """
        names = await asyncio.to_thread(os.listdir, self._directory)
        strays = {name for name in names if is_valid(archive_of, name)} - set(known)
        for name in strays:
            await self.remove(name)
        return len(strays)

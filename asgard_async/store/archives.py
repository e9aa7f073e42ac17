"""Uploaded archives: a file for each job, named in its row.

A file is written under the name that it keeps, made durable, and only then named in a row. So a
crash leaves files without a row at worst, never a row without its file; `sweep` removes those
before the service takes requests. A retry gets a hard link of its own: no file is ever shared by
two rows, so a file goes with its row and nothing has to be counted.
"""

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from asgard_async.core.files.durability import make_durable

SETTLED_SECONDS = 24 * 3600
"""After so long a file has its row, or will never have one: far beyond any upload's deadline."""


class Incoming:
    """An archive that is being received."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self.name = name
        self._file = file
        self._digest = hashlib.sha256()

    async def write(self, block: bytes) -> None:
        """Add bytes to its end."""
        await asyncio.to_thread(self._write, block)

    def _write(self, block: bytes) -> None:
        self._file.write(block)
        self._digest.update(block)

    async def close(self) -> None:
        """Write what is still in memory; nothing can be added then."""
        await asyncio.to_thread(self._file.close)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class ArchiveStore:
    """The archives in `directory`, which must exist and holds nothing else."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._received: set[str] = set()

    def path(self, name: str) -> Path:
        """Where an archive lies."""
        return self._directory / name

    @contextmanager
    def receiving(self, suffix: str) -> Iterator[Incoming]:
        """A new archive, which is gone at the end unless `persist` was called for it."""
        name = secrets.token_hex(16) + suffix
        path = self.path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._received.add(name)
        # buffered: its lock keeps a write in a thread that was given up away from a closed file
        with os.fdopen(descriptor, "wb") as file:
            try:
                yield Incoming(name, file)
            finally:
                if name in self._received:
                    self._received.remove(name)
                    path.unlink()

    async def persist(self, name: str) -> None:
        """Make an archive durable, to be named in a row next."""
        await asyncio.to_thread(self._sync, name)
        self._received.discard(name)

    def _sync(self, name: str) -> None:
        for path in (self.path(name), self._directory):
            make_durable(path)

    async def share(self, name: str) -> str:
        """The same archive under a name of its own, for another job.

        Raises:
            FileNotFoundError: it has been removed.
        """
        twin = secrets.token_hex(16) + name[name.index(".") :]
        await asyncio.to_thread(os.link, self.path(name), self.path(twin))
        return twin

    async def remove(self, name: str) -> None:
        """Remove an archive that no row names any more."""
        await asyncio.to_thread(self.path(name).unlink, missing_ok=True)

    def settled(self) -> set[str]:
        """The archives that have been there for so long that a row names them if ever one will.
        Blocks: to be called in a thread."""
        before = time.time() - SETTLED_SECONDS
        with os.scandir(self._directory) as entries:
            # not the time of the content: `share` gives a name to what may be old
            return {entry.name for entry in entries if entry.stat().st_ctime < before}

    async def sweep(self, known: Collection[str]) -> int:
        """Remove what no row names; return how many. Only while nothing is being received."""
        strays = set(await asyncio.to_thread(os.listdir, self._directory)) - set(known)
        for name in strays:
            await self.remove(name)
        return len(strays)

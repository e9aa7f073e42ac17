"""The files of a job as the service lists them, and their content."""

import os
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from urllib.parse import unquote_to_bytes

import aiohttp

from asgard_async.client.errors import AsgardError, ConnectionFailed, Unavailable
from asgard_async.client.jobs import Record
from asgard_async.client.retry_budget import RetryBudget
from asgard_async.client.transport import Transport

PIECE = 1 << 18


class JobFile(Record, frozen=True, kw_only=True):
    """A file or a folder in a job's working directory."""

    path: str
    """Its path below the working directory; invalid UTF-8 is replaced by U+FFFD."""
    type: str
    """One of file, directory, link and other. Only the first two can be downloaded."""
    size: int | None = None
    """In bytes; None unless it is a file."""
    modified_at: datetime | None = None
    url: str
    """The path of its URL."""

    @property
    def names(self) -> tuple[str, ...]:
        """The exact names of the path, as on this file system."""
        encoded = self.url.partition("/files/")[2]
        return tuple(os.fsdecode(unquote_to_bytes(encoded)).split("/"))


class FileList(Record, frozen=True, kw_only=True):
    """The files of a job: an iterable of `JobFile`."""

    files: tuple[JobFile, ...]
    complete: bool = True
    """False if there are more files than the service lists, or folders that it cannot read."""

    def __iter__(self) -> Iterator[JobFile]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


async def content_of(
    transport: Transport, file: JobFile
) -> AsyncGenerator[tuple[int, bytes], None]:
    """Yield a file in pieces, each with its offset; 0 again if the file changed after a retry.

    Raises:
        AsgardError: the service refuses, or was unreachable for too long.
    """
    budget, offset, etag = RetryBudget(transport.retry_for), 0, ""
    while True:
        headers = {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        try:
            async with transport.streamed(file.url, headers) as response:
                offset = offset if response.status == 206 else 0
                etag = _strong(response.headers.get("ETag", ""))
                async for data in _pieces(response):
                    budget.reset(transport.retry_for)
                    yield offset, data
                    offset += len(data)
        except (ConnectionFailed, Unavailable) as error:
            await budget.pause(error)
            if not etag:
                offset = 0
        except AsgardError as error:
            if error.status != 416:  # the file has become shorter
                raise
            offset = 0
            await budget.pause(error)
        else:
            return


def _strong(etag: str) -> str:
    return "" if etag.startswith("W/") else etag


async def _pieces(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    """Yield the body, in one empty piece if it is empty."""
    is_empty = True
    async for data in response.content.iter_chunked(PIECE):
        is_empty = False
        yield data
    if is_empty:
        yield b""

"""Output of a job's log: unchanged to a file or a pipe, sanitised on a terminal."""

import os
import select
import sys
from typing import TextIO

from asgard_async.cli.descriptors import writable
from asgard_async.cli.output import is_dumb, wants_colours
from asgard_async.cli.sanitiser import Sanitiser

CHUNK_BYTES = 4096
"""PIPE_BUF: a writable pipe accepts this many bytes without blocking."""


class LogOutput:
    """Writes the bytes of one job's log, in order, to a stream."""

    def __init__(self, stream: TextIO, *, raw: bool = False) -> None:
        stream.flush()
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding
        self.is_terminal = stream.isatty()
        self._sanitiser = None
        if self.is_terminal and not raw:
            self._sanitiser = Sanitiser(colours=wants_colours(stream), movements=not is_dumb())

    async def write(self, data: bytes) -> None:
        """Write bytes of the log. Waits while the reader or a stopped terminal accepts no data.

        Raises:
            OSError: the reader has exited (BrokenPipeError), or the disk is full.
        """
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = data[start : start + CHUNK_BYTES]
            if self._sanitiser is not None:
                chunk = self._encode(self._sanitiser.feed(chunk))
            await self._write(chunk)

    async def leave(self) -> None:
        """Move a terminal's cursor to a fresh line, so that other output can follow."""
        if self._sanitiser is not None:
            await self._write(self._encode(self._sanitiser.leave()))

    async def end(self) -> None:
        """Write the text held back until the end of the log."""
        if self._sanitiser is not None:
            await self._write(self._encode(self._sanitiser.end()))

    def _encode(self, text: str) -> bytes:
        return text.encode(self._encoding, "replace")

    async def _write(self, data: bytes) -> None:
        while data:
            if sys.platform != "win32":
                await self._wait_until_writable()
            data = data[os.write(self._descriptor, data) :]

    async def _wait_until_writable(self) -> None:
        # not in a thread: a blocked thread would keep the program alive after the user detaches
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(0):
            await writable(self._descriptor)

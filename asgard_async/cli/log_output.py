"""Where a job's log goes: as it is into a file or a pipe, sanitised onto a terminal."""

import os
import select
import sys
from typing import TextIO

from asgard_async.cli.descriptors import writable
from asgard_async.cli.output import is_dumb, wants_colours
from asgard_async.cli.sanitiser import Sanitiser

PIECE = 4096
"""Bytes that a pipe takes at once when it takes any (PIPE_BUF), so that writing does not block."""


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
        """Write bytes of the log. Waits as long as nobody takes them, also on a stopped terminal.

        Raises:
            OSError: nobody will, as BrokenPipeError; or the disk is full.
        """
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            if self._sanitiser is not None:
                piece = self._encoded(self._sanitiser.feed(piece))
            await self._write(piece)

    async def leave(self) -> None:
        """On a terminal: go to a fresh line, so that something else can be written."""
        if self._sanitiser is not None:
            await self._write(self._encoded(self._sanitiser.leave()))

    async def end(self) -> None:
        """Write what was held back at the end of the log."""
        if self._sanitiser is not None:
            await self._write(self._encoded(self._sanitiser.end()))

    def _encoded(self, text: str) -> bytes:
        return text.encode(self._encoding, "replace")

    async def _write(self, data: bytes) -> None:
        while data:
            if sys.platform != "win32":
                await self._writable()
            data = data[os.write(self._descriptor, data) :]

    async def _writable(self) -> None:
        # not in a thread: a blocked one could not be left alone when the user wants to go
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(0):
            await writable(self._descriptor)

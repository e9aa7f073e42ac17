"""The `asgard` command in a terminal: a real pty and an emulator of the screen."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pyte

from tests.support.asgard_command import command, environment
from tests.support.eventually import eventually

COLUMNS, ROWS = 100, 30
CTRL_C = "\x03"


class Terminal:
    """A terminal that runs one command."""

    def __init__(self, child: "pexpect.spawn[Any]") -> None:
        self._child = child
        self._screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self.written = b""
        """All bytes written to it."""

    def _read(self) -> bool:
        """Process new output; return whether the command still runs."""
        try:
            while True:
                data = self._child.read_nonblocking(65536, timeout=0)
                self.written += data
                self._stream.feed(data)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False

    @property
    def lines(self) -> list[str]:
        """The visible lines and those that have scrolled away."""
        rows = [*self._screen.history.top, *(self._screen.buffer[y] for y in range(ROWS))]
        return ["".join(row[x].data for x in range(COLUMNS)).rstrip() for row in rows]

    @property
    def title(self) -> str:
        return self._screen.title

    @property
    def cursor_is_hidden(self) -> bool:
        return self._screen.cursor.hidden

    def colour_of(self, text: str) -> str:
        """The colour of the first letter of a text on the screen."""
        for y, line in enumerate(self._screen.display):
            if text in line:
                return self._screen.buffer[y][line.index(text)].fg
        raise AssertionError(f"{text!r} is not there")

    async def shows(self, text: str, *, times: int = 1) -> None:
        """Wait until so many lines contain a text."""

        def seen() -> bool:
            goes_on = self._read()
            there = sum(text in line for line in self.lines) >= times
            assert there or goes_on, "\n".join(filter(None, self.lines))
            return there

        await eventually(seen, what=f"the terminal shows {text!r}")

    def type(self, text: str) -> None:
        self._child.send(text)

    async def closed(self) -> int:
        """Close the terminal and wait until the command exits; return its exit code."""
        pty: Any = self._child.__dict__["ptyproc"]  # missing from the type stubs
        pty.fileobj.close()
        await eventually(lambda: bool(not pty.isalive()), what="the command ends")
        code: int = pty.exitstatus
        return code

    async def ended(self) -> int:
        """Wait until the command exits; return its exit code, or minus the signal."""
        await eventually(lambda: not self._read(), what="the command ends")
        self._child.close()
        if self._child.signalstatus is not None:
            return -self._child.signalstatus
        assert self._child.exitstatus is not None
        return self._child.exitstatus


@contextlib.contextmanager
def in_terminal(*arguments: str | Path, **environ: str) -> Iterator[Terminal]:
    """Run the command in a terminal; kill it at the end."""
    program, *words = command(*arguments)
    child = pexpect.spawn(
        program,
        words,
        env=environment(**{"TERM": "xterm-256color", "COLORTERM": "", **environ}),
        dimensions=(ROWS, COLUMNS),
        timeout=0,
    )
    # send input without delay
    child.delaybeforesend = None
    try:
        yield Terminal(child)
    finally:
        child.close(force=True)

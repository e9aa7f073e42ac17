"""Ctrl-C and its like while a job is followed.

On a terminal Ctrl-C asks, and twice detaches; SIGTERM and a hang-up detach, so a closed laptop ends
no training. Without one nobody can be asked, and who ends a CI job wants its training ended too:
SIGINT and SIGTERM cancel, and a second one does not wait for that; a hang-up detaches.
"""

import asyncio
import contextlib
import enum
import os
import signal
import sys
from collections.abc import Iterator

import click

from asgard_async.cli.descriptors import readable
from asgard_async.cli.job_view import JobView

QUESTION = "Cancel the job (c), detach and let it run (d), or go on (Enter)? "
LINE_BYTES = 1024


class Wish(enum.Enum):
    """What to do with the job that is followed."""

    GO_ON = enum.auto()
    CANCEL = enum.auto()
    DETACH = enum.auto()


class Interrupts:
    """Signals, as wishes."""

    def __init__(self, view: JobView) -> None:
        self._view = view
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._can_ask = sys.stdin.isatty() and sys.stderr.isatty()
        self._cancelled = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Within it signals do not end the program. Those that are ignored, as under nohup, stay
        ignored."""
        loop = asyncio.get_running_loop()
        caught = []
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the program
                loop.add_signal_handler(number, self._signals.put_nowait, number)
                caught.append(number)
        try:
            yield
        finally:
            for number in caught:
                loop.remove_signal_handler(number)

    async def next_wish(self) -> Wish:
        """Wait for a signal; what is wished then."""
        number = await self._signals.get()
        if number == getattr(signal, "SIGHUP", None):
            return Wish.DETACH
        if not self._can_ask or self._cancelled:
            wish = Wish.DETACH if self._cancelled else Wish.CANCEL
        elif number == signal.SIGTERM:
            wish = Wish.DETACH
        else:
            wish = await self._asked()
        self._cancelled |= wish is Wish.CANCEL
        return wish

    async def _asked(self) -> Wish:
        question = asyncio.create_task(self._ask())
        again = asyncio.create_task(self._signals.get())
        try:
            await asyncio.wait({question, again}, return_when=asyncio.FIRST_COMPLETED)
            return question.result() if question.done() else Wish.DETACH
        finally:
            question.cancel()
            again.cancel()
            await asyncio.gather(question, again, return_exceptions=True)

    async def _ask(self) -> Wish:
        async with self._view.undisturbed():
            click.echo(err=True)  # below the terminal's ^C
            try:
                while True:
                    _forget_what_was_typed()
                    click.echo(QUESTION, err=True, nl=False)
                    match (await _typed_line()).strip().lower():
                        case "c":
                            return Wish.CANCEL
                        case "d":
                            return Wish.DETACH
                        case "":
                            return Wish.GO_ON
            except asyncio.CancelledError:
                click.echo(err=True)
                raise


def _forget_what_was_typed() -> None:
    """A return key that was hit before the question was asked is no answer."""
    import termios  # not on Windows, where nothing is asked

    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _typed_line() -> str:
    """A line that is typed; empty at the end of the input."""
    descriptor = sys.stdin.fileno()
    await readable(descriptor)
    return os.read(descriptor, LINE_BYTES).decode(errors="replace")

"""Ctrl-C and other signals while a job is followed.

On a terminal, Ctrl-C asks what to do, and a second Ctrl-C detaches; SIGTERM and SIGHUP detach, so
that closing a laptop does not end a training. Without a terminal, there is no user to ask, and
stopping a CI job should also stop its training: SIGINT and SIGTERM cancel the job, a second signal
detaches without waiting for the cancellation, and SIGHUP detaches.
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

QUESTION = "Cancel the job (c), detach and leave it running (d), or continue (Enter)? "
MAX_ANSWER_BYTES = 1024


class Action(enum.Enum):
    """The user's decision about the job that is being followed."""

    CONTINUE = enum.auto()
    CANCEL = enum.auto()
    DETACH = enum.auto()


class Interrupts:
    """Turns signals into actions."""

    def __init__(self, view: JobView) -> None:
        self._view = view
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._can_ask = sys.stdin.isatty() and sys.stderr.isatty()
        self._is_cancelling = False

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals inside this context, so that they do not end the program.

        Signals that are ignored, as under nohup, stay ignored.
        """
        loop = asyncio.get_running_loop()
        handled_signals = []
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C ends the program
                loop.add_signal_handler(number, self._signals.put_nowait, number)
                handled_signals.append(number)
        try:
            yield
        finally:
            for number in handled_signals:
                loop.remove_signal_handler(number)

    async def next_action(self) -> Action:
        """Wait for a signal and return the resulting action."""
        number = await self._signals.get()
        if number == getattr(signal, "SIGHUP", None):
            return Action.DETACH
        if not self._can_ask or self._is_cancelling:
            action = Action.DETACH if self._is_cancelling else Action.CANCEL
        elif number == signal.SIGTERM:
            action = Action.DETACH
        else:
            action = await self._ask_unless_interrupted()
        self._is_cancelling |= action is Action.CANCEL
        return action

    async def _ask_unless_interrupted(self) -> Action:
        question = asyncio.create_task(self._ask())
        interrupt = asyncio.create_task(self._signals.get())
        try:
            await asyncio.wait({question, interrupt}, return_when=asyncio.FIRST_COMPLETED)
            return question.result() if question.done() else Action.DETACH
        finally:
            question.cancel()
            interrupt.cancel()
            await asyncio.gather(question, interrupt, return_exceptions=True)

    async def _ask(self) -> Action:
        async with self._view.paused():
            click.echo(err=True)  # leave the line on which the terminal echoed ^C
            try:
                while True:
                    _discard_typed_input()
                    click.echo(QUESTION, err=True, nl=False)
                    match (await _read_line()).strip().lower():
                        case "c":
                            return Action.CANCEL
                        case "d":
                            return Action.DETACH
                        case "":
                            return Action.CONTINUE
            except asyncio.CancelledError:
                click.echo(err=True)
                raise


def _discard_typed_input() -> None:
    """Discard keys pressed before the question, so that a stray Enter does not answer it."""
    import termios  # missing on Windows, where no question is asked

    termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


async def _read_line() -> str:
    """Read a line from the terminal; empty at the end of the input."""
    descriptor = sys.stdin.fileno()
    await readable(descriptor)
    return os.read(descriptor, MAX_ANSWER_BYTES).decode(errors="replace")

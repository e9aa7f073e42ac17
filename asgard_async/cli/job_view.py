"""What a person sees of a job while it is followed: phases, log, breaks of the connection.

The log goes to one stream, all else to stderr. Where both are the same terminal, neither writes
into the other's lines.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import click

from asgard_async.cli.log_output import LogOutput
from asgard_async.cli.output import console, duration, is_dumb, wants_colours
from asgard_async.cli.sanitiser import one_line
from asgard_async.client import AsgardError, Event, GapEvent, LogEvent, StatusEvent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

WORDS = {
    "environment": "building its environment",
    "stopping": "being stopped",
    "recording": "looking for its runs in MLflow",
}
FRAMES_PER_SECOND = 8


class JobView:
    """Shows what happens to one job. `close` must be called at the end."""

    def __init__(self, log: LogOutput, *, spins: bool = True) -> None:
        self._log = log
        self._spins = spins
        self._can_spin = spins and sys.stderr.isatty() and not is_dumb()
        self._one_terminal = log.is_terminal and sys.stderr.isatty()
        self._has_log = False
        self._away: asyncio.Task[None] | None = None
        self._phase = ""
        self._queue_position: int | None = None
        self._since = time.monotonic()
        self._spinner: Live | None = None
        # held while something is written, and while a question is asked
        self._turn = asyncio.Lock()

    async def show(self, event: Event) -> None:
        """Show what has happened."""
        await self.connected()
        match event:
            case LogEvent():
                async with self._turn:
                    self._has_log = True
                    if self._one_terminal:
                        self._stop_spinner()
                    await self._log.write(event.data)
            case GapEvent():
                await self.note(f"{event.next - event.offset} bytes of output are not kept.")
            case StatusEvent():
                await self._change(event)

    async def connected(self) -> None:
        """Something has come over the connection; told when it was broken."""
        if self._away is not None:
            await self._away
            self._away = None
            await self.note("The connection is back; nothing of the log is lost.")

    def broken(self, error: AsgardError) -> None:
        """The connection broke and will be made again."""
        if self._away is None:
            said = f"The connection broke, which does the job no harm. Trying again … ({error})"
            self._away = asyncio.create_task(self.note(said))

    async def note(self, text: str) -> None:
        """Say something beside the log."""
        async with self.undisturbed():
            say(text)

    @contextlib.asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[None]:
        """Within it nothing else is shown, and the cursor begins on a fresh line."""
        async with self._turn:
            self._stop_spinner()
            if self._one_terminal:
                await self._log.leave()
            try:
                yield
            finally:
                self._spin()

    async def close(self) -> None:
        """Show nothing more; what is written next begins on a fresh line."""
        async with self._turn:
            self._stop_spinner()
            self._phase = ""
            await self._log.end()

    async def _change(self, event: StatusEvent) -> None:
        async with self._turn:
            self._queue_position = event.queue_position
            if event.phase == self._phase:
                return
            self._phase, self._since = event.phase, time.monotonic()
            if self._can_spin:
                if self._one_terminal and event.phase == "recording":
                    await self._log.leave()
                self._spin()
            elif self._spins and event.phase == "environment":
                say(f"The job is {WORDS[event.phase]}.")

    def _spin(self) -> None:
        # as long as there is a log, what moves on the same terminal is the log
        busy = self._one_terminal and self._has_log and self._phase != "recording"
        if not self._can_spin or self._spinner or self._phase in {"", "finished"} or busy:
            return
        from rich.live import Live
        from rich.spinner import Spinner

        spinner = Spinner("dots")

        def frame() -> "RenderableType":
            spinner.update(text=self._doing())
            return spinner

        self._spinner = Live(
            get_renderable=frame,
            console=console(sys.stderr),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            refresh_per_second=FRAMES_PER_SECOND,
        )
        self._spinner.start()

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def _doing(self) -> str:
        words = one_line(WORDS.get(self._phase, self._phase))
        if self._phase == "queued" and self._queue_position is not None:
            words += f", number {self._queue_position} in the queue"
        return f"{words}  {duration(time.monotonic() - self._since)}"


def say(text: str) -> None:
    """One line to stderr, dim on a terminal."""
    line = one_line(f"asgard: {text}")
    with contextlib.suppress(OSError):  # the terminal may be gone
        click.echo(click.style(line, dim=True) if wants_colours(sys.stderr) else line, err=True)

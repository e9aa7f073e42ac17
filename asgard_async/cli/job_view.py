"""The display of a job that is being followed: its phases, its log, lost connections.

The log goes to one stream, everything else to stderr. If both are the same terminal, log
and messages start on separate lines.
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

PHASES = {
    "environment": "building the environment",
    "recording": "recording MLflow runs",
}
FRAMES_PER_SECOND = 8


class JobView:
    """Shows the events of one job. Call `close` at the end."""

    def __init__(self, log: LogOutput, *, spins: bool = True) -> None:
        self._log = log
        self._spins = spins
        self._can_spin = spins and sys.stderr.isatty() and not is_dumb()
        self._shares_terminal = log.is_terminal and sys.stderr.isatty()
        self._has_log = False
        self._outage_note: asyncio.Task[None] | None = None
        self._phase = ""
        self._queue_position: int | None = None
        self._phase_began = time.monotonic()
        self._spinner: Live | None = None
        # held while output is written, and while a question is asked
        self._lock = asyncio.Lock()

    async def show(self, event: Event) -> None:
        """Show an event."""
        await self.connection_works()
        match event:
            case LogEvent():
                async with self._lock:
                    self._has_log = True
                    if self._shares_terminal:
                        self._stop_spinner()
                    await self._log.write(event.data)
            case GapEvent():
                await self.note(f"{event.next - event.offset} bytes of output were dropped.")
            case StatusEvent():
                await self._change(event)

    async def connection_works(self) -> None:
        """Record that data has arrived, and report the end of an outage."""
        if self._outage_note is not None:
            await self._outage_note
            self._outage_note = None
            await self.note("Reconnected; the log is complete.")

    def connection_lost(self, error: AsgardError) -> None:
        """Report that the connection was lost; the client reconnects."""
        if self._outage_note is None:
            text = f"Connection lost; the job is unaffected. Reconnecting… ({error})"
            self._outage_note = asyncio.create_task(self.note(text))

    async def note(self, text: str) -> None:
        """Print a message, separate from the log."""
        async with self.paused():
            print_note(text)

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Pause the display inside this context, with the cursor on a fresh line."""
        async with self._lock:
            self._stop_spinner()
            if self._shares_terminal:
                await self._log.leave()
            try:
                yield
            finally:
                self._spin()

    async def close(self) -> None:
        """Stop showing events and move the cursor to a fresh line."""
        async with self._lock:
            self._stop_spinner()
            self._phase = ""
            await self._log.end()

    async def _change(self, event: StatusEvent) -> None:
        async with self._lock:
            self._queue_position = event.queue_position
            if event.phase == self._phase:
                return
            self._phase, self._phase_began = event.phase, time.monotonic()
            if self._can_spin:
                if self._shares_terminal and event.phase == "recording":
                    await self._log.leave()
                self._spin()
            elif self._spins and event.phase == "environment":
                print_note("Building the environment.")

    def _spin(self) -> None:
        # once there is a log on the same terminal, the log itself shows the progress
        log_moves = self._shares_terminal and self._has_log and self._phase != "recording"
        if not self._can_spin or self._spinner or self._phase in {"", "finished"} or log_moves:
            return
        from rich.live import Live
        from rich.spinner import Spinner

        spinner = Spinner("dots")

        def frame() -> "RenderableType":
            spinner.update(text=self._progress())
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

    def _progress(self) -> str:
        text = one_line(PHASES.get(self._phase, self._phase))
        if self._phase == "queued" and self._queue_position is not None:
            text += f", number {self._queue_position} in the queue"
        return f"{text}  {duration(time.monotonic() - self._phase_began)}"


def print_note(text: str) -> None:
    """Print a line to stderr, dim on a terminal."""
    line = one_line(f"asgard: {text}")
    with contextlib.suppress(OSError):  # the terminal may have closed
        click.echo(click.style(line, dim=True) if wants_colours(sys.stderr) else line, err=True)

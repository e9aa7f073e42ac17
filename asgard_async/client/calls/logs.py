"""Reading and following a job's log."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from asgard_async.client import follow as following
from asgard_async.client import log
from asgard_async.client.calls.connection import Connection
from asgard_async.client.errors import AsgardError, LogNotKept
from asgard_async.client.events import Event
from asgard_async.client.jobs import Job, id_of
from asgard_async.client.retry_budget import RetryBudget


class LogCalls(Connection):
    """/mlops/training/jobs/{job_id}/logs and …/logs/ws."""

    def follow(self, job: Job | str, offset: int = 0) -> AsyncGenerator[Event, None]:
        """Yield a job's events until it ends, with its log starting at byte `offset`.

        The last event is an `EndEvent`. Reconnects after a lost connection or a restart of the
        service; no byte is lost or repeated.

        Raises:
            NotFound: there is no such job, or it was deleted.
            ConnectionFailed: the service was unreachable for longer than `reconnect_for` seconds.
        """
        return self._follow(id_of(job), offset)

    def _follow(
        self,
        job_id: str,
        offset: int,
        budget: RetryBudget | None = None,
        on_break: Callable[[AsgardError], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        return following.follow(
            self._transport,
            job_id,
            offset,
            reconnect_for=self._reconnect_for,
            budget=budget,
            on_break=on_break,
        )

    async def log_events(
        self,
        job: Job | str,
        *,
        follow: bool = False,
        offset: int = 0,
        tail: int | None = None,
        on_break: Callable[[AsgardError], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Yield a job's log with offsets; with `follow=True`, all events that `follow` yields.

        Args:
            job: the job.
            follow: continue until the job ends; otherwise stop at the log's present end.
            offset: the first byte to read.
            tail: start with this many of the last lines.
            on_break: called with the error after each lost connection, before reconnecting.

        Raises:
            LogNotKept: without `follow`, the log is no longer stored. With it, the `EndEvent` says
                so.
        """
        job_id = id_of(job)
        if tail is not None:
            if offset:
                raise ValueError("Pass either offset= or tail=, not both.")
            try:
                end = await log.read_tail(self._transport, job_id, tail)
            except LogNotKept:
                if not follow:
                    raise
            else:
                yield end
                offset = end.next
        events: AsyncGenerator[Event, None] | None = None
        if follow:
            events = self._follow(job_id, offset, on_break=on_break)
        elif tail is None:
            events = log.read_up_to_now(self._transport, job_id, offset)
        if events is not None:
            async with aclosing(events):
                async for event in events:
                    yield event

    def log_bytes(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a job's log as exact bytes, skipping gaps. See `logs` for the arguments."""
        return log.as_bytes(self.log_events(job, follow=follow, offset=offset, tail=tail))

    def logs(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield a job's log as text, in pieces as they arrive: `print(text, end="")`.

        Args:
            job: the job.
            follow: continue until the job ends; otherwise stop at the log's present end.
            offset: the first byte to read.
            tail: start with this many of the last lines.
        """
        return log.as_text(self.log_events(job, follow=follow, offset=offset, tail=tail))

    def log_lines(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """Yield a job's log line by line, without line ends. See `logs` for the arguments."""
        return log.as_lines(
            log.as_text(self.log_events(job, follow=follow, offset=offset, tail=tail))
        )

"""A job's log, and what happens to it while it is followed."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from asgard_async.client import follow as following
from asgard_async.client import log
from asgard_async.client.calls.connection import Connection
from asgard_async.client.errors import AsgardError
from asgard_async.client.events import Event
from asgard_async.client.jobs import Job, id_of
from asgard_async.client.patience import Patience


class LogCalls(Connection):
    """/mlops/training/jobs/{job_id}/logs and …/logs/ws."""

    def follow(self, job: Job | str, offset: int = 0) -> AsyncGenerator[Event, None]:
        """What happens to a job from now on, with its log from byte `offset` on, up to its end.

        Ends after an `EndEvent`. Connections that break, also by a restart of the service, are made
        again by themselves: no byte is lost or comes twice.

        Raises:
            NotFound: there is no such job (any more).
            ConnectionFailed: the service was away for too long (`reconnect_for`).
        """
        return self._follow(id_of(job), offset)

    def _follow(
        self,
        job_id: str,
        offset: int,
        patience: Patience | None = None,
        on_break: Callable[[AsgardError], None] | None = None,
    ) -> AsyncGenerator[Event, None]:
        return following.follow(
            self._transport,
            job_id,
            offset,
            reconnect_for=self._reconnect_for,
            patience=patience,
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
        """A job's log with its offsets; with `follow`, all that `follow` tells. See `logs`.

        Args:
            job: whose log.
            follow: go on up to the job's end, else up to where the log ends now.
            offset: the first byte that is wanted.
            tail: begin with that many of the last lines.
            on_break: called with the reason each time that a connection failed, before the next.
        """
        job_id = id_of(job)
        if tail is not None:
            if offset:
                raise ValueError("Give either an offset or tail.")
            end = await log.read_tail(self._transport, job_id, tail)
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
        """A job's log in pieces, byte for byte, without what is not kept; see `logs`."""
        return log.as_bytes(self.log_events(job, follow=follow, offset=offset, tail=tail))

    def logs(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """A job's log as text, in pieces as they come: `print(text, end="")`.

        Args:
            job: whose log.
            follow: go on up to the job's end, else up to where the log ends now.
            offset: the first byte that is wanted.
            tail: begin with that many of the last lines.
        """
        return log.as_text(self.log_events(job, follow=follow, offset=offset, tail=tail))

    def log_lines(
        self, job: Job | str, *, follow: bool = False, offset: int = 0, tail: int | None = None
    ) -> AsyncGenerator[str, None]:
        """A job's log line by line, without line ends; see `logs`."""
        return log.as_lines(
            log.as_text(self.log_events(job, follow=follow, offset=offset, tail=tail))
        )

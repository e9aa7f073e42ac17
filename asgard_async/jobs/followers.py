"""Followers of jobs: they wait for changes to a job's log, status and position in the queue."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from asgard_async.domain.job import Job
from asgard_async.domain.status import Phase, Status
from asgard_async.logs.feed import Feed, Feeds
from asgard_async.store.changes import ANY
from asgard_async.store.jobs import JobStore


@dataclass(frozen=True, kw_only=True)
class State:
    """The state of a job at one moment."""

    status: Status
    phase: Phase
    queue_position: int | None
    """Set only for the current state of a queued job."""


class Follower:
    """Follows one job: read `states` and `feed`, then `wait`. Changes in between are not missed."""

    def __init__(self, store: JobStore, job_id: str, feed: Feed) -> None:
        self._store = store
        self._job_id = job_id
        self._event = asyncio.Event()
        self._job_changed = True
        self._moves_seen = 0
        self._last: State | None = None
        self.feed = feed
        self.is_over = False
        """True if the job had finished when its states were last read: its log is complete."""
        self.is_stopped = False
        """True if following must stop: the service is stopping, or the client has left."""

    async def states(self) -> Sequence[State]:
        """Return the states of the job since the last call; on the first call the current one.

        Raises:
            JobNotFound: the job was deleted.
        """
        if not self._job_changed:
            return ()
        self._job_changed = False  # before reading: a change meanwhile sets it again
        moves = await self._store.history(self._job_id)
        job = await self._store.get(self._job_id)  # last, to notice a deletion
        states = [
            State(status=move.status, phase=move.phase, queue_position=None)
            for move in moves[max(self._moves_seen, 1) - 1 :]
        ]
        # the first state was returned before, unless its position in the queue has changed
        current = states[-1]
        if current.phase is Phase.QUEUED:
            states[-1] = current = State(
                status=current.status,
                phase=current.phase,
                queue_position=await self._store.queue_position(job),
            )
        if self._moves_seen == 0:
            states = [current]
        elif len(states) > 1 or current == self._last:
            states = states[1:]
        self._moves_seen, self._last = len(moves), current
        self.is_over = current.phase is Phase.FINISHED
        return states

    async def job(self) -> Job:
        """Return the job as it is now."""
        return await self._store.get(self._job_id)

    async def wait(self) -> None:
        """Wait for a change."""
        await self._event.wait()

    def look(self) -> None:
        """Mark the start of a read: changes from now on end the next `wait`."""
        self._event.clear()

    def wake(self) -> None:
        """Note that the log has changed."""
        self._event.set()

    def job_changed(self) -> None:
        """Note that the job has changed."""
        self._job_changed = True
        self._event.set()

    def queue_changed(self) -> None:
        """Note that some job has changed, which may change this job's position in the queue."""
        if self._last is not None and self._last.phase is Phase.QUEUED:
            self.job_changed()

    def stop(self) -> None:
        """Stop the follower."""
        self.is_stopped = True
        self._event.set()


class Followers:
    """All current followers."""

    def __init__(self, *, store: JobStore, feeds: Feeds) -> None:
        self._store = store
        self._feeds = feeds
        self._followers: set[Follower] = set()
        self._is_closed = False

    @contextmanager
    def following(self, job_id: str) -> Iterator[Follower]:
        """Follow a job inside the context."""

        def wake() -> None:
            follower.wake()

        with self._feeds.following(job_id, wake) as feed:
            follower = Follower(self._store, job_id, feed)
            changes = self._store.changes
            with (
                changes.watching(job_id, follower.job_changed),
                changes.watching(ANY, follower.queue_changed),
            ):
                self._followers.add(follower)
                try:
                    if self._is_closed:
                        follower.stop()
                    yield follower
                finally:
                    self._followers.discard(follower)

    def close(self) -> None:
        """Stop all current and future followers."""
        self._is_closed = True
        for follower in self._followers:
            follower.stop()

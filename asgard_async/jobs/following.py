"""What somebody who follows a job waits for: its log grows, it moves, its place in the queue."""

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
    """Where a job stood at some moment."""

    status: Status
    phase: Phase
    queue_position: int | None
    """Only of the present state, and while it waits."""


class Follower:
    """Follows one job. Look (`states`, `feed`), then `wait`: nothing is missed in between."""

    def __init__(self, store: JobStore, job_id: str, feed: Feed) -> None:
        self._store = store
        self._job_id = job_id
        self._event = asyncio.Event()
        self._job_changed = True
        self._moves_seen = 0
        self._last: State | None = None
        self.feed = feed
        self.is_over = False
        """Whether the job had finished when last looked at: its log grows no more."""
        self.is_stopped = False
        """Whether to follow no longer: the service stops, or the reader has gone."""

    async def states(self) -> Sequence[State]:
        """The states of the job since the last call, at first the present one alone.

        Raises:
            JobNotFound: it was deleted.
        """
        if not self._job_changed:
            return ()
        self._job_changed = False  # before looking: what comes meanwhile sets it again
        moves = await self._store.history(self._job_id)
        job = await self._store.get(self._job_id)  # afterwards: it tells of a deletion
        states = [
            State(status=move.status, phase=move.phase, queue_position=None)
            for move in moves[max(self._moves_seen, 1) - 1 :]
        ]
        # the first of them is told already, unless its place in the queue has changed
        present = states[-1]
        if present.phase is Phase.QUEUED:
            states[-1] = present = State(
                status=present.status,
                phase=present.phase,
                queue_position=await self._store.queue_position(job),
            )
        if self._moves_seen == 0:
            states = [present]
        elif len(states) > 1 or present == self._last:
            states = states[1:]
        self._moves_seen, self._last = len(moves), present
        self.is_over = present.phase is Phase.FINISHED
        return states

    async def job(self) -> Job:
        """The job as it stands."""
        return await self._store.get(self._job_id)

    async def wait(self) -> None:
        """Wait until there is something to look at."""
        await self._event.wait()

    def look(self) -> None:
        """Begin to look: what changes from now on ends the next `wait`."""
        self._event.clear()

    def wake(self) -> None:
        """The log has changed."""
        self._event.set()

    def job_changed(self) -> None:
        """The job has changed."""
        self._job_changed = True
        self._event.set()

    def queue_changed(self) -> None:
        """Some job has changed."""
        if self._last is not None and self._last.phase is Phase.QUEUED:
            self.job_changed()

    def stop(self) -> None:
        """Have the follower give up."""
        self.is_stopped = True
        self._event.set()


class Followers:
    """All who follow jobs at this moment."""

    def __init__(self, *, store: JobStore, feeds: Feeds) -> None:
        self._store = store
        self._feeds = feeds
        self._followers: set[Follower] = set()
        self._is_closed = False

    @contextmanager
    def following(self, job_id: str) -> Iterator[Follower]:
        """Follow a job inside of the context."""

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
        """Have all of them give up, and those who come."""
        self._is_closed = True
        for follower in self._followers:
            follower.stop()

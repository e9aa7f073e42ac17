"""Notifications of job changes within this process, so waiting code does not poll."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wake = Callable[[], None]

ANY = ""
"""Matches all jobs."""


class JobChanges:
    """Notifies subscribers after each committed change of a job; they read the job themselves."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Wake]] = defaultdict(list)

    def publish(self, job_id: str) -> None:
        """Notify the subscribers of this job and those of ANY."""
        for key in (job_id, ANY):
            for wake in tuple(self._subscribers.get(key, ())):
                wake()

    @contextmanager
    def watching(self, job_id: str, wake: Wake) -> Iterator[None]:
        """Within the context, call `wake` on each change of that job, or of ANY.

        `wake` runs in the event loop and must neither block nor raise.
        """
        self._subscribers[job_id].append(wake)
        try:
            yield
        finally:
            self._subscribers[job_id].remove(wake)
            if not self._subscribers[job_id]:
                del self._subscribers[job_id]

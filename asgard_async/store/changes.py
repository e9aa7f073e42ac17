"""Tells in this process that a job has changed, so that who waits for one need not keep asking."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Wake = Callable[[], None]

ANY = ""
"""Stands for all jobs."""


class JobChanges:
    """Publishes the id of a job after each committed change; what has changed, the store tells."""

    def __init__(self) -> None:
        self._subscribers: dict[str, list[Wake]] = defaultdict(list)

    def publish(self, job_id: str) -> None:
        """Call all who watch this job, or any."""
        for key in (job_id, ANY):
            for wake in tuple(self._subscribers.get(key, ())):
                wake()

    @contextmanager
    def watching(self, job_id: str, wake: Wake) -> Iterator[None]:
        """Inside of the context `wake` is called when that job, or ANY, has changed.

        It is called in the event loop and must neither block nor raise.
        """
        self._subscribers[job_id].append(wake)
        try:
            yield
        finally:
            self._subscribers[job_id].remove(wake)
            if not self._subscribers[job_id]:
                del self._subscribers[job_id]

"""Whether the service takes jobs, and if not, why."""

from collections.abc import Sequence


class Readiness:
    """Not ready at first, ready while jobs are taken, and never again once draining."""

    def __init__(self) -> None:
        self._reason: str | None = "The service is starting."

    def ready(self) -> None:
        """Jobs are taken from now on."""
        self._reason = None

    def drain(self) -> None:
        """No jobs are taken any more."""
        self._reason = "The service is stopping and takes no new jobs."

    def reasons(self) -> Sequence[str]:
        """Why no jobs are taken; empty when they are."""
        return [] if self._reason is None else [self._reason]

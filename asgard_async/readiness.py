"""Whether the service takes jobs, and if not, why."""

from collections.abc import Callable, Sequence


class Readiness:
    """Not ready at first, ready while jobs are taken, and never again once draining."""

    def __init__(self) -> None:
        self._reason: str | None = "The service is starting."
        self._obstacles: list[Callable[[], str | None]] = []

    def ready(self) -> None:
        """Jobs are taken from now on."""
        self._reason = None

    def drain(self) -> None:
        """No jobs are taken any more."""
        self._reason = "The service is stopping and takes no new jobs."

    def unless(self, obstacle: Callable[[], str | None]) -> None:
        """Ask `obstacle` each time: while it names a reason, no jobs are taken."""
        self._obstacles.append(obstacle)

    def reasons(self) -> Sequence[str]:
        """Why no jobs are taken; empty when they are."""
        found = (self._reason, *(obstacle() for obstacle in self._obstacles))
        return [reason for reason in found if reason is not None]

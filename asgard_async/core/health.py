"""Whether the service takes jobs, and if not, why."""

from collections.abc import Callable, Sequence


class Readiness:
    """Not ready at first, ready while jobs are taken, and never again once draining."""

    def __init__(self) -> None:
        self._reason: str | None = "The service is starting."
        self._obstacles: list[Callable[[], str | None]] = []
        self._watched: list[Callable[[], str]] = []

    def ready(self) -> None:
        """Jobs are taken from now on."""
        self._reason = None

    def drain(self) -> None:
        """No jobs are taken any more."""
        self._reason = "The service is stopping and takes no new jobs."

    def unless(self, obstacle: Callable[[], str | None]) -> None:
        """Ask `obstacle` each time: while it names a reason, no jobs are taken."""
        self._obstacles.append(obstacle)

    def watch(self, problem: Callable[[], str]) -> None:
        """Have `problem` asked for `warnings`: a sentence, or nothing."""
        self._watched.append(problem)

    def warnings(self) -> Sequence[str]:
        """What an administrator should mend, though jobs are taken."""
        return [warning for problem in self._watched if (warning := problem())]

    def reasons(self) -> Sequence[str]:
        """Why no jobs are taken; empty when they are."""
        found = (self._reason, *(obstacle() for obstacle in self._obstacles))
        return [reason for reason in found if reason is not None]

"""Readiness of the service: the reasons why it accepts no jobs, and warnings."""

from collections.abc import Callable, Sequence


class ServiceReadiness:
    """Tracks whether the service accepts jobs, which it does not while it starts or drains."""

    def __init__(self) -> None:
        self._reason: str | None = "The service is starting."
        self._obstacles: list[Callable[[], str | None]] = []
        self._problems: list[Callable[[], str]] = []

    def ready(self) -> None:
        """Mark the service as accepting jobs."""
        self._reason = None

    def drain(self) -> None:
        """Mark the service as stopping; it does not become ready again."""
        self._reason = "The service is stopping and accepts no new jobs."

    def unless(self, obstacle: Callable[[], str | None]) -> None:
        """Call `obstacle` on every check; the service is not ready while it returns a reason."""
        self._obstacles.append(obstacle)

    def watch(self, problem: Callable[[], str]) -> None:
        """Call `problem` on every check for a warning; an empty text means none."""
        self._problems.append(problem)

    def warnings(self) -> Sequence[str]:
        """Return problems that an administrator should fix, even if the service accepts jobs."""
        return [warning for problem in self._problems if (warning := problem())]

    def reasons(self) -> Sequence[str]:
        """Return why the service accepts no jobs; empty if it does."""
        reasons = (self._reason, *(obstacle() for obstacle in self._obstacles))
        return [reason for reason in reasons if reason is not None]

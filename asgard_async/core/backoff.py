"""Pauses between repeated tries, which grow with each failure."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Pauses between a failure and the next start; each is twice the previous one, up to a limit.

    A run that lasts longer than `healthy_seconds` resets the pause.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    healthy_seconds: float = 60.0

    def next_pause(self, last_pause: float | None, run_seconds: float) -> float:
        """Return the pause after a run of this length; `last_pause` is None for the first one."""
        if last_pause is None or run_seconds > self.healthy_seconds:
            return self.first_seconds
        return min(last_pause * 2, self.longest_seconds)

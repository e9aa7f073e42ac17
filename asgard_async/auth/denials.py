"""Denied requests in the audit log: counted and sampled, at a bounded rate.

The first denial of a client for a reason is written at once, the number of further ones once a
minute. Beyond a budget of entries, the denials of all further clients share one entry.
"""

import time
from collections.abc import Callable

from asgard_async.auth.audit import AuditLog
from asgard_async.auth.windowed_entries import WINDOW_SECONDS, RequestTally, WindowedEntries
from asgard_async.core.timestamps import now, rfc3339

MAX_ENTRIES = 30
"""Entries at once; one is regained with each window."""
MAX_PATH = 200


class Denials(WindowedEntries):
    """Writes denied requests into the audit log."""

    def __init__(
        self,
        log: AuditLog,
        *,
        counted: Callable[[str], None] = lambda reason: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._log = log
        self.counted = counted
        """Called with the reason of each denial."""
        self._clock = clock
        self._budget = float(MAX_ENTRIES)
        self._refilled_at = clock()
        self._tallies: dict[tuple[str, str], RequestTally] = {}
        self._others: RequestTally | None = None

    def note(
        self, *, reason: str, token: str | None, remote: str | None, method: str, path: str
    ) -> None:
        """Count a denied request; write it, if its client was not denied within the window."""
        self.counted(reason)
        sample = {
            "token": token,
            "remote": remote,
            "action": "denied",
            "reason": reason,
            "method": method[:20],
            "path": path[:MAX_PATH],
        }
        client = f"token {token}" if token is not None else f"address {remote}"
        tally = self._tallies.get((client, reason))
        if tally is not None:
            tally.count, tally.entry = tally.count + 1, sample
        elif self._take_budget():
            self._tallies[client, reason] = RequestTally(count=0, entry=sample)
            self._write(RequestTally(count=1, entry=sample))
        else:
            others = self._others
            self._others = RequestTally(count=1 + (others.count if others else 0), entry=sample)
        self._noted.set()

    def flush(self) -> None:
        tallies = [tally for tally in self._tallies.values() if tally.count]
        others, self._tallies, self._others = self._others, {}, None
        for tally in tallies:
            self._write(tally)
        if others is not None:
            self._write(others, clients="others")

    def _take_budget(self) -> bool:
        moment = self._clock()
        gained = (moment - self._refilled_at) / WINDOW_SECONDS
        self._budget = min(MAX_ENTRIES, self._budget + gained)
        self._refilled_at = moment
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _write(self, tally: RequestTally, **extra: str) -> None:
        self._log.write(at=rfc3339(now()), **tally.entry, count=tally.count, **extra)

"""Failed requests in the audit log: repeated ones are counted, so that a loop does not fill it.

They have changed nothing. The first of its kind is written at once, the number of further ones once
a minute. A client with many kinds of failures within a minute shares one entry for the rest.
"""

from collections import Counter
from typing import Any

from asgard_async.auth.audit import AuditLog
from asgard_async.auth.windowed_entries import RequestTally, WindowedEntries
from asgard_async.core.timestamps import now, rfc3339

MAX_KINDS = 60
"""Entries that each client may cause at once within a window."""
MAX_CLIENTS = 1000
REFUSED = frozenset({503, 507})
CLIENT_CLOSED_REQUEST = 499
"""Logged for a request that the client aborts; no status was sent (nginx uses the same number)."""


class RepeatedFailures(WindowedEntries):
    """Writes failed requests into the audit log."""

    def __init__(self, log: AuditLog) -> None:
        super().__init__()
        self._log = log
        self._tallies: dict[tuple[Any, ...], RequestTally] = {}
        self._kinds: Counter[tuple[Any, ...]] = Counter()
        """The number of tallies by client."""

    def write(self, **entry: Any) -> None:
        """Write a request; only count one that failed just as another within the window."""
        if may_have_had_effect(entry["status"]):
            self._log.write(at=rfc3339(now()), **entry)
            return
        client: tuple[Any, ...] = (entry["token"], entry["remote"])
        kind: tuple[Any, ...] = (*client, entry["action"], entry["of"], entry["status"])
        if kind not in self._tallies:
            is_written = self._kinds[client] < MAX_KINDS and len(self._kinds) <= MAX_CLIENTS
            if is_written:
                self._kinds[client] += 1
                self._tallies[kind] = RequestTally(count=0, entry=entry)
                self._log.write(at=rfc3339(now()), **entry)
                self._noted.set()
                return
            kind = client if len(self._kinds) <= MAX_CLIENTS else ()
        tally = self._tallies.setdefault(kind, RequestTally(count=0, entry=entry))
        tally.count, tally.entry = tally.count + 1, entry
        self._noted.set()

    def flush(self) -> None:
        tallies, self._tallies = self._tallies, {}
        self._kinds.clear()
        for kind, tally in tallies.items():
            if tally.count:
                others = {} if len(kind) > 2 else {"failures": "others"}
                self._log.write(at=rfc3339(now()), **tally.entry, count=tally.count, **others)


def may_have_had_effect(status: int) -> bool:
    """Return whether a request with this status may have taken effect."""
    return status not in REFUSED and (not 400 <= status < 500 or status == CLIENT_CLOSED_REQUEST)

"""A migration that is killed: `migrating_program FILE N` dies before the N-th statement.

It counts every statement that SQLite starts, including those of triggers. If it is not killed, it
prints their number.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path

from asgard_async.store import database


class Dying(sqlite3.Connection):
    """A connection that kills its process before a statement."""

    left = int(sys.argv[2])

    def count(self, _statement: str) -> None:
        """Called by SQLite before each statement."""
        Dying.left -= 1
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    connect = sqlite3.connect

    def dying(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection = connect(*args, factory=Dying, **kwargs)  # type: ignore[call-overload]  # as given
        assert isinstance(connection, Dying)
        connection.set_trace_callback(connection.count)
        return connection

    sqlite3.connect = dying  # type: ignore[assignment]  # of this program alone
    database.bring_up_to_date(Path(sys.argv[1]))
    print(int(sys.argv[2]) - Dying.left)  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()

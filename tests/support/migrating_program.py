"""Migrations that are killed: `migrating_program FILE DIRECTORY` prints databases they leave.

The N-th is a copy of FILE whose migration died before its N-th statement; one of the statements
that SQLite starts, including those of triggers. Each dies in a process forked from this one, which
has imported everything once.
"""

import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path

from asgard_async.store import database


class Dying(sqlite3.Connection):
    """A connection that kills its process before a statement."""

    left = 0

    def count(self, _statement: str) -> None:
        """Called by SQLite before each statement."""
        Dying.left -= 1
        if Dying.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def migrate(file: Path, dies_before: int) -> int:
    """Migrate a database in a process that dies before a statement; return how it ended."""
    child = os.fork()
    if child == 0:
        Dying.left = dies_before
        code = 1
        try:
            database.bring_up_to_date(file)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    connect = sqlite3.connect

    def dying(*args: object, **kwargs: object) -> sqlite3.Connection:
        connection = connect(*args, factory=Dying, **kwargs)  # type: ignore[call-overload]  # as given
        assert isinstance(connection, Dying)
        connection.set_trace_callback(connection.count)
        return connection

    sqlite3.connect = dying  # type: ignore[assignment]  # of this program alone
    old, directory = Path(sys.argv[1]), Path(sys.argv[2])
    for number in range(1, 10_000):
        file = directory / f"killed-{number}.db"
        shutil.copyfile(old, file)
        code = migrate(file, number)
        if code == 0:  # it has fewer statements
            return
        if code != -signal.SIGKILL:
            sys.exit(f"The migration killed before statement {number} exited with {code}.")
        print(file)  # noqa: T201  # what the test reads


if __name__ == "__main__":
    main()

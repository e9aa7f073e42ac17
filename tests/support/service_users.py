"""The users that services under test run as."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.service import WORKER

REPOSITORY = Path(__file__).parent.parent.parent
ORDINARY_UID = 57_999 - WORKER
"""A user id that nobody has, below those of jobs of a root service."""
IS_ROOT = os.geteuid() == 0


def launcher_for_ordinary_user(data_dir: Path) -> Sequence[str]:
    """The command prefix that starts a service as an ordinary user, for a data directory."""
    if not IS_ROOT:
        return ()  # an ordinary user runs the tests
    data_dir.mkdir(parents=True)
    os.chown(data_dir, ORDINARY_UID, ORDINARY_UID)
    return launcher(ORDINARY_UID, data_dir)


def launcher(uid: int, data_dir: Path) -> Sequence[str]:
    """The command prefix with which root starts a service as a user with access to its files."""
    data_dir.parent.chmod(0o777)
    seen = (sys.prefix, sys.base_prefix, REPOSITORY, data_dir.parent)
    return (
        *(sys.executable, "-m", "tests.support.as_user", str(uid)),
        *map(str, dict.fromkeys(seen)),
        "--",
    )

"""The users that a service is tried as."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.service import WORKER

REPOSITORY = Path(__file__).parent.parent.parent
ORDINARY_UID = 57_999 - WORKER
"""Nobody's; below the ranges that jobs of root get."""
IS_ROOT = os.geteuid() == 0


def launcher_for_ordinary_user(data_dir: Path) -> Sequence[str]:
    """What a service is to be started through, to be no root; made for a data directory."""
    if not IS_ROOT:
        return ()  # the tests are run by such a user
    data_dir.mkdir(parents=True)
    os.chown(data_dir, ORDINARY_UID, ORDINARY_UID)
    return launcher(ORDINARY_UID, data_dir)


def launcher(uid: int, data_dir: Path) -> Sequence[str]:
    """What starts a service as a user who reaches what it needs; the tests are run by root."""
    data_dir.parent.chmod(0o777)
    seen = (sys.prefix, sys.base_prefix, REPOSITORY, data_dir.parent)
    return (
        *(sys.executable, "-m", "tests.support.as_user", str(uid)),
        *map(str, dict.fromkeys(seen)),
        "--",
    )

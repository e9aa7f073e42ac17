"""The users that services under test run as."""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.support.service import WITHOUT_MLFLOW, WORKER, Service, running_service

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


@contextlib.asynccontextmanager
async def isolating_service(
    level: str, who: str, directory: Path, **settings: str
) -> AsyncIterator[Service]:
    """A service of root or of an "ordinary" user that isolates jobs at a level."""
    data_dir = directory / "service" / "data"
    data_dir.parent.mkdir()
    start = launcher_for_ordinary_user(data_dir) if who == "ordinary" else launcher(0, data_dir)
    isolation = {"ASGARD_ISOLATION__LEVEL": level, "ASGARD_ISOLATION__READ_WRITE": "[]"}
    async with running_service(data_dir, WITHOUT_MLFLOW | isolation | settings, start) as service:
        yield service

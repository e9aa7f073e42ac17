"""Commands that root runs in a stranger's data directory do not serve the stranger.

The stranger owns the directory and may put anything there at any moment, also during a command.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asgard_async.config.data_directory import DataDirectory
from asgard_async.store.database import bring_up_to_date
from asgard_async.store.rows import spec_to_row
from tests.store.conftest import new_job
from tests.support.preloaded_command import asgard
from tests.support.public_directory import public_directory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

STRANGER = 65534
SECRET = "of root alone"
ENDED = "2020-01-01T00:00:00.000000Z"
JOB = "00000000"
ARCHIVE = f"{'0' * 32}.zip"


class Place:
    """A stranger's data directory beside a directory of root with secrets."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.home = top / "home"
        self.home.mkdir()
        self.data = DataDirectory(root=self.home / "data").make()
        bring_up_to_date(self.data.database)
        give(self.home)
        self.of_root = top / "of-root"
        # named like a job, an environment, a cache and an archive
        names = (JOB, "a" * 20, f"jobs/base/{'b' * 16}")
        self.secret = self.of_root / "secret"
        for file in (*(self.of_root / name / "lock" for name in names), self.secret, self.archive):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(SECRET)
            file.chmod(0o600)
            os.utime(file, (1, 1))
        self._count = len(list(self.of_root.rglob("*")))

    @property
    def archive(self) -> Path:
        return self.of_root / ARCHIVE

    def check(self) -> None:
        """Nothing of root was changed, given away or copied for the stranger."""
        paths = list(self.of_root.rglob("*"))
        assert len(paths) == self._count, paths
        for path in (self.of_root, *paths):
            assert path.lstat().st_uid == 0, path
            assert path.is_dir() or path.read_text() == SECRET
        for path in self.home.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert SECRET.encode() not in path.read_bytes(), path


def give(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def replace(path: Path, target: Path) -> None:
    """The stranger puts a link in a path's place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.fixture
def place() -> Iterator[Place]:
    with public_directory("asgard-stranger-") as top:
        yield Place(top)


@contextlib.contextmanager
def as_stranger(act: Callable[[], None]) -> Iterator[None]:
    """The stranger repeats something as fast as possible, in a process of his own."""
    if (child := os.fork()) == 0:
        os.setgroups([])
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
        while True:
            with contextlib.suppress(OSError):
                act()
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


CONTESTED = ("environments", "mlflow-server", "probe", "uids", "warm")


def race_for_new_directories(place: Place, tries: int) -> None:
    pairs = [(place.data.root / name, place.data.root / f"{name}-aside") for name in CONTESTED]

    def swap() -> None:
        for new, aside in pairs:
            with contextlib.suppress(OSError):
                new.rename(aside)
                new.symlink_to(place.of_root)

    for _ in range(tries):
        for path in itertools.chain(*pairs):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()
        with as_stranger(swap):
            asgard("token", "create", "--data-dir", place.data.root)
        place.check()


def test_a_race_for_new_directories_gains_nothing(place: Place) -> None:
    race_for_new_directories(place, 3)


@pytest.mark.soak
def test_a_long_race_for_new_directories_gains_nothing(place: Place) -> None:
    race_for_new_directories(place, 60)


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_a_backup_follows_no_links(place: Place, where: str) -> None:
    target = place.data.root / "backup" if where == "inside" else place.top / "backup"
    (place.data.archives / f"{'0' * 32}.zip").symlink_to(place.secret)
    asgard("db", "backup", target, "--data-dir", place.data.root)
    (place.data.archives / f"{'0' * 32}.zip").unlink()
    replace(place.data.tokens, place.secret)
    asgard("db", "backup", target, "--data-dir", place.data.root)
    replace(place.data.archives, place.of_root)
    asgard("db", "backup", target, "--data-dir", place.data.root)
    place.check()
    for path in target.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_a_backup_elsewhere_copies_everything(place: Place) -> None:
    archive = place.data.archives / f"{'0' * 32}.zip"
    with archive.open("wb") as file:
        file.truncate(1 << 40)  # must not fill the disk
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle")
    place.data.tokens.write_text("[]")
    give(place.home)
    target = place.top / "backup"
    done = asgard("db", "backup", target, "--data-dir", place.data.root)
    assert done.returncode == 0, done.stderr
    copy = target / "archives" / archive.name
    assert copy.stat().st_size == 1 << 40
    assert copy.stat().st_blocks < 1000
    with copy.open("rb") as file:
        assert file.read(5) == b"begin"
    assert (target / "tokens.json").read_text() == "[]"
    with contextlib.closing(sqlite3.connect(target / "asgard.db")) as database:
        assert database.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    assert {path.stat().st_uid for path in target.rglob("*")} == {0}
    assert not list(place.data.root.glob(".backup*"))


def test_no_backup_of_root_goes_to_a_stranger(place: Place) -> None:
    own = DataDirectory(root=place.top / "own").make()
    bring_up_to_date(own.database)
    target = place.home / "backup"
    done = asgard("db", "backup", target, "--data-dir", own.root)
    assert (done.returncode, target.exists()) == (1, False)
    assert f"is in a directory of uid {STRANGER}" in done.stderr


def insert_job(place: Place, job_id: str, archive: str | None) -> None:
    with contextlib.closing(sqlite3.connect(place.data.database)) as database, database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        columns: dict[str, str | int | None] = {
            row[1]: "" if row[2] == "TEXT" else 0
            for row in database.execute("PRAGMA table_info(jobs)")
            if row[3] and row[4] is None and not row[5]
        }
        columns |= spec_to_row(new_job().spec)
        columns |= {"job_id": job_id, "status": "completed", "phase": "finished"}
        columns |= {"reason": "succeeded", "archive": archive}
        columns |= {"ended_at": ENDED, "created_at": ENDED}
        places = ", ".join("?" * len(columns))
        database.execute(
            f"INSERT INTO jobs ({', '.join(columns)}) VALUES ({places})",  # noqa: S608
            list(columns.values()),
        )


LEADING_OUTSIDE = [
    ("../../../of-root", None),
    ("00000001", "../../../of-root/secret"),
    ("..", None),
    ("00000000\n", "..\n"),
]
"""Ids of jobs with their archives."""


@pytest.mark.parametrize("who", ["stranger", "root"])
def test_gc_deletes_nothing_outside(place: Place, who: str) -> None:
    for job_id, archive in LEADING_OUTSIDE:
        insert_job(place, job_id, archive)
    if who == "root":  # the checks hold by themselves, too
        for path in (place.home, *place.home.rglob("*")):
            os.chown(path, 0, 0)
    done = asgard(
        *("gc", "--data-dir", place.data.root),
        ASGARD_RETENTION__JOBS_DAYS="1",
        ASGARD_RETENTION__ARCHIVES_DAYS="1",
    )
    assert done.returncode == 0, done.stderr
    assert place.data.database.exists()
    place.check()
    assert done.stderr.count("is not a valid") == len(LEADING_OUTSIDE)


@pytest.mark.parametrize("name", ["jobs", "archives", "environments", "cache"])
def test_linked_directories_lead_nowhere(place: Place, name: str) -> None:
    insert_job(place, JOB, ARCHIVE)
    replace(place.data.root / name, place.of_root)
    for arguments in (("env", "prune", "--max-mb", "0"), ("env", "list"), ("gc",), ("doctor",)):
        asgard(*arguments, "--data-dir", place.data.root, ASGARD_RETENTION__JOBS_DAYS="1")
    place.check()


def test_a_linked_data_directory_is_the_strangers(place: Place) -> None:
    own = DataDirectory(root=place.top / "own").make()
    bring_up_to_date(own.database)
    own.root.chmod(0o755)
    replace(place.data.root, own.root)
    done = asgard("token", "create", "--data-dir", place.data.root)
    assert (done.returncode, own.tokens.exists()) == (1, False)


def test_a_missing_directory_is_made_by_its_parents_owner(place: Place) -> None:
    new = place.home / "new" / "data"
    assert asgard("token", "create", "--data-dir", new).returncode == 0
    assert new.stat().st_uid == new.parent.stat().st_uid == STRANGER


def test_roots_directory_in_a_strangers_is_refused(place: Place) -> None:
    for path in (place.data.root, *place.data.root.rglob("*")):
        os.chown(path, 0, 0)
    done = asgard("token", "create", "--data-dir", place.data.root)
    assert done.returncode == 1
    assert f"lies in a directory of uid {STRANGER}" in done.stderr


NAMES = ("tokens.json", "tokens.json.lock", "tokens.json.new", "asgard.db", "service.lock")
COMMANDS = (
    ("token", "create"),
    ("token", "list"),
    ("gc",),
    ("db", "migrate"),
    ("env", "list"),
    ("doctor",),
)


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_special_files_stop_no_command(place: Place, kind: str) -> None:
    for name in NAMES:
        path = place.data.root / name
        path.unlink(missing_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as special:
                special.bind(str(path))
        os.chown(path, STRANGER, STRANGER)
    for arguments in COMMANDS:
        asgard(*arguments, "--data-dir", place.data.root)  # has a deadline
    asgard("db", "backup", place.top / "backup", "--data-dir", place.data.root)
    place.check()


def test_a_unit_is_not_written_through_a_link(place: Place) -> None:
    folder = place.home / "units"
    folder.mkdir()
    (folder / "asgard.service").symlink_to(place.secret)
    give(place.home)
    assert asgard("service", "install", "--folder", folder).returncode == 1
    place.check()


SHOW = """
import os, sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from asgard_async.core.files.ownership import become_owner_of
become_owner_of(Path({data!r}))
print(os.getresuid(), os.getresgid(), os.getgroups())
for regain in (lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setgroups([0])):
    try:
        regain()
        print("root again")
    except PermissionError:
        pass
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")][1:3])
"""


def test_privileges_are_given_up_for_good(place: Place) -> None:
    repository = str(Path(__file__).parents[2])
    os.chown(place.data.root, STRANGER, 0)  # a group that the stranger is not in
    program = SHOW.format(repository=repository, data=str(place.data.root))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    same = (STRANGER, STRANGER, STRANGER)
    assert done.stdout.splitlines() == [
        f"{same} {same} [{STRANGER}]",
        "['0000000000000000', '0000000000000000']",
    ]

"""Commands that root runs in a stranger's data directory give the stranger no advantage.

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


class Stranger:
    """A stranger with a data directory, and a directory of root with secrets beside it."""

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
        """Check that no file of root was changed, given away or copied to the stranger."""
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
    """Replace a path with a link that belongs to the stranger."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    with public_directory("asgard-stranger-") as top:
        yield Stranger(top)


@contextlib.contextmanager
def as_stranger(act: Callable[[], None]) -> Iterator[None]:
    """Repeat an action as fast as possible, in a process of the stranger."""
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


def race_for_new_directories(stranger: Stranger, tries: int) -> None:
    pairs = [
        (stranger.data.root / name, stranger.data.root / f"{name}-aside") for name in CONTESTED
    ]

    def swap() -> None:
        for new, aside in pairs:
            with contextlib.suppress(OSError):
                new.rename(aside)
                new.symlink_to(stranger.of_root)

    for _ in range(tries):
        for path in itertools.chain(*pairs):
            with contextlib.suppress(FileNotFoundError):
                path.unlink() if path.is_symlink() else path.rmdir()
        with as_stranger(swap):
            asgard("token", "create", "--data-dir", stranger.data.root)
        stranger.check()


def test_a_race_for_new_directories_gains_nothing(stranger: Stranger) -> None:
    race_for_new_directories(stranger, 3)


@pytest.mark.soak
def test_a_long_race_for_new_directories_gains_nothing(stranger: Stranger) -> None:
    race_for_new_directories(stranger, 60)


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_a_backup_follows_no_links(stranger: Stranger, where: str) -> None:
    target = stranger.data.root / "backup" if where == "inside" else stranger.top / "backup"
    (stranger.data.archives / f"{'0' * 32}.zip").symlink_to(stranger.secret)
    asgard("db", "backup", target, "--data-dir", stranger.data.root)
    (stranger.data.archives / f"{'0' * 32}.zip").unlink()
    replace(stranger.data.tokens, stranger.secret)
    asgard("db", "backup", target, "--data-dir", stranger.data.root)
    replace(stranger.data.archives, stranger.of_root)
    asgard("db", "backup", target, "--data-dir", stranger.data.root)
    stranger.check()
    for path in target.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_a_backup_elsewhere_copies_everything(stranger: Stranger) -> None:
    archive = stranger.data.archives / f"{'0' * 32}.zip"
    with archive.open("wb") as file:
        file.truncate(1 << 40)  # must not fill the disk
        file.write(b"begin")
        file.seek(1 << 30)
        file.write(b"middle")
    stranger.data.tokens.write_text("[]")
    give(stranger.home)
    target = stranger.top / "backup"
    done = asgard("db", "backup", target, "--data-dir", stranger.data.root)
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
    assert not list(stranger.data.root.glob(".backup*"))


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_a_whole_backup_copies_no_planted_file(stranger: Stranger, where: str) -> None:
    target = (stranger.home if where == "inside" else stranger.top) / "backups"
    artifacts = stranger.data.mlflow / "artifacts"
    artifacts.mkdir()
    (artifacts / "model").write_text("a model")
    (artifacts / "link").symlink_to(stranger.secret)
    (artifacts / "directory").symlink_to(stranger.of_root)
    os.mkfifo(artifacts / "fifo")
    give(stranger.home)
    done = asgard("backup", target, "--data-dir", stranger.data.root)
    assert done.returncode == 0, done.stderr
    for planted in (stranger.data.tokens, stranger.data.archives, stranger.data.mlflow):
        replace(planted, stranger.secret if planted.suffix else stranger.of_root)
        asgard("backup", target, "--data-dir", stranger.data.root)
    stranger.check()
    owner = STRANGER if where == "inside" else 0
    for path in target.rglob("*"):
        assert path.lstat().st_uid == owner
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert next(path.read_text() for path in target.rglob("model")) == "a model"


def test_mlflows_user_gets_no_file_of_root_backed_up(stranger: Stranger) -> None:
    own = DataDirectory(root=stranger.top / "own").make()
    bring_up_to_date(own.database)
    artifacts = own.mlflow / "artifacts"
    artifacts.mkdir()
    os.link(stranger.secret, artifacts / "linked")  # if the kernel lets users link any file
    (artifacts / "link").symlink_to(stranger.secret)
    for path in (own.mlflow, artifacts):
        os.chown(path, STRANGER, STRANGER)
    done = asgard("backup", stranger.top / "backups", "--data-dir", own.root)
    assert done.returncode == 0, done.stderr
    assert "a hard link to a file of another user" in done.stderr
    assert not list((stranger.top / "backups").glob("*/mlflow/artifacts/*"))


def test_a_restored_directory_belongs_to_its_owner(stranger: Stranger) -> None:
    stranger.data.tokens.write_text("[]")
    give(stranger.home)
    done = asgard("backup", stranger.top / "backups", "--data-dir", stranger.data.root)
    assert done.returncode == 0, done.stderr
    restored = stranger.home / "restored"
    done = asgard("restore", done.stdout.strip(), "--data-dir", restored)
    assert done.returncode == 0, done.stderr
    assert (restored / "tokens.json").read_text() == "[]"
    assert {path.stat().st_uid for path in (restored, *restored.rglob("*"))} == {STRANGER}


def test_no_backup_of_root_goes_to_a_stranger(stranger: Stranger) -> None:
    own = DataDirectory(root=stranger.top / "own").make()
    bring_up_to_date(own.database)
    target = stranger.home / "backup"
    for command in (("db", "backup"), ("backup",)):
        done = asgard(*command, target, "--data-dir", own.root)
        assert (done.returncode, target.exists()) == (1, False)
        assert f"is in a directory of uid {STRANGER}" in done.stderr


def insert_job(stranger: Stranger, job_id: str, archive: str | None) -> None:
    with contextlib.closing(sqlite3.connect(stranger.data.database)) as database, database:
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
def test_gc_deletes_nothing_outside(stranger: Stranger, who: str) -> None:
    for job_id, archive in LEADING_OUTSIDE:
        insert_job(stranger, job_id, archive)
    if who == "root":  # the checks must work on their own, too
        for path in (stranger.home, *stranger.home.rglob("*")):
            os.chown(path, 0, 0)
    done = asgard(
        *("gc", "--data-dir", stranger.data.root),
        ASGARD_RETENTION__JOBS_DAYS="1",
        ASGARD_RETENTION__ARCHIVES_DAYS="1",
    )
    assert done.returncode == 0, done.stderr
    assert stranger.data.database.exists()
    stranger.check()
    assert done.stderr.count("is not a valid") == len(LEADING_OUTSIDE)


@pytest.mark.parametrize("name", ["jobs", "archives", "environments", "cache"])
def test_linked_directories_lead_nowhere(stranger: Stranger, name: str) -> None:
    insert_job(stranger, JOB, ARCHIVE)
    replace(stranger.data.root / name, stranger.of_root)
    for arguments in (("env", "prune", "--max-mb", "0"), ("env", "list"), ("gc",), ("doctor",)):
        asgard(*arguments, "--data-dir", stranger.data.root, ASGARD_RETENTION__JOBS_DAYS="1")
    stranger.check()


def test_a_linked_data_directory_is_the_strangers(stranger: Stranger) -> None:
    own = DataDirectory(root=stranger.top / "own").make()
    bring_up_to_date(own.database)
    own.root.chmod(0o755)
    replace(stranger.data.root, own.root)
    done = asgard("token", "create", "--data-dir", stranger.data.root)
    assert (done.returncode, own.tokens.exists()) == (1, False)


def test_a_missing_directory_is_made_by_its_parents_owner(stranger: Stranger) -> None:
    new = stranger.home / "new" / "data"
    assert asgard("token", "create", "--create", "--data-dir", new).returncode == 0
    assert new.stat().st_uid == new.parent.stat().st_uid == STRANGER


def test_roots_directory_in_a_strangers_is_refused(stranger: Stranger) -> None:
    for path in (stranger.data.root, *stranger.data.root.rglob("*")):
        os.chown(path, 0, 0)
    done = asgard("token", "create", "--data-dir", stranger.data.root)
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
def test_special_files_stop_no_command(stranger: Stranger, kind: str) -> None:
    for name in NAMES:
        path = stranger.data.root / name
        path.unlink(missing_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as special:
                special.bind(str(path))
        os.chown(path, STRANGER, STRANGER)
    for arguments in COMMANDS:
        asgard(*arguments, "--data-dir", stranger.data.root)  # has a deadline
    asgard("db", "backup", stranger.top / "backup", "--data-dir", stranger.data.root)
    stranger.check()


def test_a_unit_is_not_written_through_a_link(stranger: Stranger) -> None:
    folder = stranger.home / "units"
    folder.mkdir()
    (folder / "asgard.service").symlink_to(stranger.secret)
    give(stranger.home)
    assert asgard("service", "install", "--folder", folder).returncode == 1
    stranger.check()


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


def test_privileges_are_given_up_for_good(stranger: Stranger) -> None:
    repository = str(Path(__file__).parents[2])
    os.chown(stranger.data.root, STRANGER, 0)  # a group that the stranger is not in
    program = SHOW.format(repository=repository, data=str(stranger.data.root))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    same = (STRANGER, STRANGER, STRANGER)
    assert done.stdout.splitlines() == [
        f"{same} {same} [{STRANGER}]",
        "['0000000000000000', '0000000000000000']",
    ]

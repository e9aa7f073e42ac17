"""Backups and restores of a data directory without a service, with what others may plant there."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from asgard_async.config import ConfigError
from asgard_async.config.data_directory import DataDirectory
from asgard_async.store.database import bring_up_to_date
from tests.support.asgard_command import command, environment
from tests.support.eventually import DEADLINE_SECONDS
from tests.support.hostile_trees import comb
from tests.support.preloaded_command import asgard

JOB = "0123abcd"
A_LOG = "FROM files WHERE CAST(path AS TEXT) LIKE '%log'"
MODEL = Path("1/models/m-1/artifacts/model.pkl")


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    """A data directory with a job's log and a model."""
    data = DataDirectory(root=tmp_path / "data").make()
    bring_up_to_date(data.database)
    (data.jobs / JOB / "attempts" / "1" / "work").mkdir(parents=True)
    (data.jobs / JOB / "attempts" / "1" / "work" / "large").write_bytes(b"x")
    log_of(data).write_text("output\n")
    model_of(data).parent.mkdir(parents=True)
    model_of(data).write_text("a model")
    return data


def log_of(data: DataDirectory) -> Path:
    return data.jobs / JOB / "job.log"


def model_of(data: DataDirectory) -> Path:
    return data.mlflow / "artifacts" / MODEL


def back_up(data: DataDirectory, *options: str) -> Path:
    """Make a backup beside the data directory; return its path, which the command prints."""
    done = asgard("backup", *options, data.root.parent / "backups", "--data-dir", data.root)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def restore(backup: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return asgard("restore", backup, "--data-dir", target)


def refused(backup: Path, target: Path, words: str) -> None:
    done = restore(backup, target)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr


def test_logs_and_models_are_restored(data: DataDirectory, tmp_path: Path) -> None:
    backup = back_up(data)
    restored = DataDirectory(root=tmp_path / "restored")
    done = restore(backup, restored.root)
    assert done.returncode == 0, done.stderr
    assert f"asgard serve --data-dir {restored.root}" in done.stdout
    assert log_of(restored).read_text() == "output\n"
    assert model_of(restored).read_text() == "a model"
    assert not (log_of(restored).parent / "attempts").exists()
    assert not restored.restoring.exists()
    for path in (restored.root, *restored.root.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
        assert path.stat().st_nlink == 1 or path.is_dir()


def test_unchanged_files_are_shared_with_the_last_backup(data: DataDirectory) -> None:
    first = back_up(data)
    with log_of(data).open("a") as log:
        log.write("more\n")
    second, full = back_up(data), back_up(data, "--full")
    model = Path("mlflow/artifacts") / MODEL
    assert (first / model).samefile(second / model)
    assert not (second / model).samefile(full / model)
    for backup, text in ((first, "output\n"), (second, "output\nmore\n"), (full, "output\nmore\n")):
        assert (backup / "jobs" / JOB / "job.log").read_text() == text


def test_a_change_that_keeps_size_and_time_is_copied(data: DataDirectory) -> None:
    back_up(data)
    status = model_of(data).stat()
    model_of(data).write_text("b model")
    os.utime(model_of(data), ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (back_up(data) / "mlflow" / "artifacts" / MODEL).read_text() == "b model"


def test_planted_entries_are_left_out(data: DataDirectory, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for backups")
    artifacts = data.mlflow / "artifacts"
    (artifacts / "link").symlink_to(secret)
    (artifacts / "directory").symlink_to(tmp_path)
    os.mkfifo(artifacts / "fifo")
    (artifacts / "deep").mkdir()
    comb(artifacts / "deep", 300)
    (log_of(data).parent / "job.log.hole").symlink_to(secret)
    os.mkfifo(log_of(data).parent / "job.log.times")
    (data.jobs / "0000aaaa").symlink_to(tmp_path)
    (data.archives / f"{'0' * 32}.zip").symlink_to(secret)
    done = asgard("backup", tmp_path / "backups", "--data-dir", data.root)
    assert done.returncode == 0, done.stderr
    backup = Path(done.stdout.strip())
    assert "Left out 9 entries" in done.stderr
    assert "link: not a regular file" in done.stderr
    assert "too many levels of directories" in done.stderr
    for path in backup.rglob("*"):
        assert path.is_dir() or (path.is_file() and not path.is_symlink())
        assert path.is_dir() or b"not for backups" not in path.read_bytes()
    assert restore(backup, tmp_path / "restored").returncode == 0


@pytest.mark.parametrize("place", ["backups", "jobs/backups", "link"])
def test_a_backup_inside_the_data_directory_is_refused(
    data: DataDirectory, place: str, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(data.root)
    destination = tmp_path / "link" / "new" if place == "link" else data.root / place
    done = asgard("backup", destination, "--data-dir", data.root)
    assert done.returncode == 2
    assert "is inside the data directory" in done.stderr
    assert not destination.exists()


@pytest.mark.slow
def test_a_killed_backup_leaves_none_that_looks_whole(data: DataDirectory, tmp_path: Path) -> None:
    for number in range(2000):
        (data.mlflow / "artifacts" / f"file-{number}").write_bytes(os.urandom(20_000))
    backups = tmp_path / "backups"
    process = subprocess.Popen(
        command("backup", str(backups), "--data-dir", str(data.root)), env=environment()
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not list(backups.glob(".partial-*/mlflow/artifacts/file-*")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait(DEADLINE_SECONDS)
    (partial,) = backups.iterdir()
    assert partial.name.startswith(".partial-")
    refused(partial, tmp_path / "restored", "is an unfinished backup")
    refused(backups, tmp_path / "restored", "is not a backup")
    assert not (tmp_path / "restored").exists()
    backup = back_up(data)  # which removes what the killed one left
    assert list(backups.iterdir()) == [backup]
    assert not list(data.root.glob(".snapshot-*"))


def test_a_second_backup_does_not_disturb_the_first(data: DataDirectory, tmp_path: Path) -> None:
    from asgard_async.backups.staging import staging_directory

    with staging_directory(tmp_path, ".partial-") as first:
        with staging_directory(tmp_path, ".partial-"):
            assert first.exists()
        assert first.exists()
    assert not first.exists()


def test_a_restore_needs_an_empty_directory(data: DataDirectory, tmp_path: Path) -> None:
    backup = back_up(data)
    refused(backup, data.root, "is not empty")
    (tmp_path / "disk" / "lost+found").mkdir(parents=True)
    assert restore(backup, tmp_path / "disk").returncode == 0


def rewrite(backup: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(backup / "files.db")) as files, files:
        files.execute(statement)


def describe(backup: Path, **changes: object) -> None:
    file = backup / "backup.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def damage(backup: Path) -> None:
    file = backup / "mlflow" / "artifacts" / MODEL
    file.chmod(0o600)
    file.write_text("c model")


def replace_by_link(backup: Path) -> None:
    file = backup / "tokens.json" if (backup / "tokens.json").exists() else backup / "asgard.db"
    file.rename(backup.parent / "elsewhere")
    file.symlink_to(backup.parent / "elsewhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda backup: describe(backup, schema=10_000), "install Asgard"),
        (lambda backup: describe(backup, format=2), "newer format"),
        (lambda backup: describe(backup, mlflow="99.0"), "install mlflow==99.0"),
        (lambda backup: describe(backup, files="x"), "damaged"),
        (damage, "damaged"),
        (replace_by_link, "Not a regular file"),
        (lambda backup: (backup / "asgard.db").unlink(), "cannot be read"),
        (lambda backup: (backup / "files.db").write_bytes(b"x" * 5000), "damaged"),
        (
            lambda backup: rewrite(
                backup, "DELETE FROM files WHERE CAST(path AS TEXT) LIKE '%log'"
            ),
            "lists",
        ),
        (
            lambda backup: rewrite(
                backup, f"INSERT INTO files SELECT CAST('../../x' AS BLOB), 0, digest, '' {A_LOG}"
            ),
            "lists '../../x'",
        ),
    ],
    ids=[
        *("schema", "format", "mlflow", "description", "content", "link", "missing", "files.db"),
        *("fewer", "traversal"),
    ],
)
def test_a_damaged_or_newer_backup_restores_nothing(
    data: DataDirectory, tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    backup = back_up(data)
    change(backup)
    (tmp_path / "restored").mkdir()
    refused(backup, tmp_path / "restored", words)
    assert list((tmp_path / "restored").iterdir()) == []


def test_other_directories_are_named_for_what_they_are(data: DataDirectory, tmp_path: Path) -> None:
    backup = back_up(data)
    refused(backup.parent, tmp_path / "restored", f"such as {backup}")
    refused(data.root, tmp_path / "restored", "Copy it")
    refused(tmp_path / "none", tmp_path / "restored", "There is no directory")


def test_an_interrupted_restore_starts_no_service(data: DataDirectory, tmp_path: Path) -> None:
    backup = back_up(data)
    restored = DataDirectory(root=tmp_path / "restored").make()
    restored.restoring.touch()
    with pytest.raises(ConfigError, match="is incomplete"):
        restored.lock()
    refused(backup, restored.root, "was interrupted")

"""Measuring and deleting the files of jobs, whatever jobs put in their place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asgard_async.config.data_directory import DataDirectory
from asgard_async.core.files.foreign_tree import MAX_DEPTH, MAX_ENTRIES
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.domain.attempt import AttemptId
from asgard_async.executors.local.job_files import LocalJobFiles
from asgard_async.supervisor.disk_usage import size_of

JOB = "0123abcd"


@pytest.mark.parametrize("replaced", [JOB, f"{JOB}/attempts", f"{JOB}/attempts/1"])
def test_a_link_replacing_a_job_directory_is_not_followed(tmp_path: Path, replaced: str) -> None:
    jobs, outside = tmp_path / "jobs", tmp_path / "outside"
    precious = [outside / name for name in ("job.log", "work/x", "1/work/x", "attempts/1/work/x")]
    for file in precious:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("precious")
    (jobs / replaced).parent.mkdir(parents=True)
    (jobs / replaced).symlink_to(outside)
    files = LocalJobFiles(DataDirectory(root=tmp_path))

    assert files.directory_bytes(JOB) == 0
    assert files.log_bytes(JOB) == 0
    files.remove_directory(JOB, why="expired")
    files.remove_log(JOB)
    files.remove_all(JOB)

    assert all(file.exists() for file in precious)
    assert not (jobs / JOB).exists()


def test_the_list_of_files_follows_no_link_and_is_bounded(tmp_path: Path) -> None:
    files, attempt = LocalJobFiles(DataDirectory(root=tmp_path)), AttemptId(job_id=JOB, number=1)
    assert files.paths(attempt) is None
    work = tmp_path / "jobs" / JOB / "attempts" / "1" / "work"
    (work / "src").mkdir(parents=True)
    (work / "src" / "train.py").touch()
    (work / "etc").symlink_to("/etc")
    assert sorted(files.paths(attempt) or ()) == ["etc", "src/train.py"]

    deepest = work.joinpath(*["d"] * MAX_DEPTH)
    deepest.mkdir(parents=True)
    (deepest / "file").touch()
    assert len(files.paths(attempt) or ()) == 3
    (deepest / "deeper").mkdir()
    assert files.paths(attempt) is None
    deepest.joinpath("deeper").rmdir()
    for number in range(MAX_ENTRIES):
        (work / f"{number}").touch()
    assert files.paths(attempt) is None


def test_a_working_directory_that_is_a_link_has_no_files(tmp_path: Path) -> None:
    (tmp_path / JOB / "attempts" / "1").mkdir(parents=True)
    (tmp_path / JOB / "attempts" / "1" / "work").symlink_to("/etc")
    assert (
        LocalJobFiles(DataDirectory(root=tmp_path)).paths(AttemptId(job_id=JOB, number=1)) is None
    )


def test_foreign_files_beside_the_jobs_are_ignored(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for name in (JOB, "lost+found", "0123ABCD", "0123abcd.old"):
        (jobs / name).mkdir()
    (jobs / "README").touch()
    assert LocalJobFiles(DataDirectory(root=tmp_path)).job_ids() == {JOB}


def test_a_renamed_log_is_removed(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    (jobs / JOB / "job.log.d" / "deeper").mkdir(parents=True)
    (jobs / JOB / "job.log").write_text("text")
    files = LocalJobFiles(DataDirectory(root=tmp_path))
    files.remove_log(JOB)
    assert files.log_bytes(JOB) == 0
    assert list((jobs / JOB).iterdir()) == []


def test_very_deep_directories_are_removed(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    work = jobs / JOB / "attempts" / "1" / "work"
    work.mkdir(parents=True)
    here = os.open(work, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)  # pathlib has no descriptors
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    files = LocalJobFiles(DataDirectory(root=tmp_path))
    assert files.directory_bytes(JOB) > 0
    files.remove_directory(JOB, why="expired")
    assert not work.exists()


def test_directories_deeper_than_path_max_are_measured(tmp_path: Path) -> None:
    program = """
import os
import subprocess
import sys
for number in range(50):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
os.posix_fallocate(os.open("file", os.O_CREAT | os.O_WRONLY), 0, 4 << 20)
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert 4 << 20 <= size_of(tmp_path) < 8 << 20
    remove_tree(tmp_path)

"""Uploads of directories: the files that are sent, and those reported as left out."""

import os
import tarfile
from pathlib import Path

import pytest

from asgard_async.client.directory import write_archive


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text("print()")
    return directory


def fill(directory: Path, *names: str) -> None:
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def sent(directory: Path) -> tuple[dict[str, str | None], list[str]]:
    """The content of each file that is sent, None for folders; and what was left out."""
    with (directory.parent / "a.tar.gz").open("wb") as file:
        left_out = write_archive(directory, file)
    with tarfile.open(directory.parent / "a.tar.gz") as archive:
        contents: dict[str, str | None] = {}
        for member in archive:
            data = archive.extractfile(member) if member.isfile() else None
            assert member.isfile() or member.isdir()
            contents[member.name] = data.read().decode() if data is not None else None
    return contents, left_out


def test_hidden_files_environments_and_bytecode_are_not_sent(project: Path) -> None:
    fill(project, ".git/config", ".env", "venv/pyvenv.cfg", "venv/lib/x.py", "a/__pycache__/b.pyc")
    assert sent(project) == ({"train.py": "print()", "a": None}, [])


def test_empty_folders_are_sent(project: Path) -> None:
    (project / "outputs").mkdir()
    fill(project, "kept/.gitkeep")
    assert sent(project)[0] == {"train.py": "print()", "outputs": None, "kept": None}


def test_links_inside_are_sent_as_what_they_point_to(project: Path) -> None:
    fill(project, "wandb/run-1/log.txt")
    (project / "wandb/latest-run").symlink_to("run-1")
    (project / "copy.py").symlink_to(project / "train.py")
    contents, left_out = sent(project)
    assert contents["wandb/latest-run/log.txt"] == "wandb/run-1/log.txt"
    assert contents["copy.py"] == "print()"
    assert left_out == []


def test_other_links_and_special_files_are_left_out_and_named(project: Path) -> None:
    fill(project, "../outside.txt", ".env", "a/b/c.txt")
    (project / "out").symlink_to("../outside.txt")
    (project / "gone").symlink_to("nothing")
    (project / "secret").symlink_to(".env")
    (project / "a/b/up").symlink_to("..")
    (project / "loop").symlink_to("loop")
    os.mkfifo(project / "pipe")
    contents, left_out = sent(project)
    assert set(contents) == {"train.py", "a", "a/b", "a/b/c.txt"}
    assert left_out == [
        "a/b/up (a link to a folder that contains it)",
        "gone (a link to nothing)",
        "loop (a link to nothing)",
        "out (a link that leads out of the directory)",
        "pipe (neither a file nor a directory)",
        "secret (a link to a hidden file)",
    ]


def test_links_that_lead_to_each_other_end(project: Path) -> None:
    fill(project, "a/x.txt", "b/y.txt")
    (project / "a/b").symlink_to("../b")
    (project / "b/a").symlink_to("../a")
    contents, left_out = sent(project)
    assert contents["a/b/y.txt"] == "b/y.txt"
    assert left_out == [
        "a/b/a (a link to a folder that contains it)",
        "b/a/b (a link to a folder that contains it)",
    ]


def test_ignored_files_are_left_out_ignored_folders_are_empty(project: Path) -> None:
    fill(project, "data/big.csv", "models/m.bin", "a/x.log", "a/keep.log", "a/build/y.txt")
    (project / ".gitignore").write_bytes(b"\xef\xbb\xbf# data\r\ndata/\r\n*.log\r\n/build\r\n")
    (project / "a/.gitignore").write_text("!keep.log\n")
    contents, left_out = sent(project)
    assert set(contents) == {
        *("train.py", "data", "models", "models/m.bin"),
        *("a", "a/build", "a/build/y.txt", "a/keep.log"),
    }
    assert left_out == ["a/x.log (.gitignore)", "data/ (.gitignore)"]


def test_asgardignore_comes_before_gitignore(project: Path) -> None:
    fill(project, "data/train.csv", "data/raw.bin", "notes.md", "a/data/x.csv")
    (project / ".gitignore").write_text("data/\n")
    (project / ".asgardignore").write_text("!/data/\n*.bin\n*.md\n")
    contents, left_out = sent(project)
    assert set(contents) == {"train.py", "data", "data/train.csv", "a", "a/data"}
    assert left_out == [
        "a/data/ (.gitignore)",
        "data/raw.bin (.asgardignore)",
        "notes.md (.asgardignore)",
    ]


def test_an_ignored_link_is_ignored_without_a_reason_of_its_own(project: Path) -> None:
    (project / "out").symlink_to("/etc/hostname")
    (project / ".gitignore").write_text("out\n")
    assert sent(project) == ({"train.py": "print()"}, ["out (.gitignore)"])

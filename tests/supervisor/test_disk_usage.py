"""Measuring trees, whatever jobs have made of them."""

import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.supervisor.disk_usage import size_of, usage_of
from asgard_async.supervisor.shim import walk
from asgard_async.supervisor.shim.walk import Walk
from tests.support.hostile_trees import comb
from tests.support.public_directory import public_directory

KB = 1024


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "tree"
    directory.mkdir()
    yield directory
    remove_tree(directory)


def names_of_descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_deep_trees_need_few_descriptors(tree: Path) -> None:
    comb(tree, 300, name="d" * 250, siblings=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = names_of_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(before) + 60, hard))
    try:
        usage = usage_of(tree)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert usage.is_complete
    assert usage.size_bytes >= 300 * 4 * KB
    assert names_of_descriptors() == before


def test_an_exhausted_process_measures_a_part(tree: Path) -> None:
    comb(tree, 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(names_of_descriptors()) + 3, hard))
    try:
        assert not usage_of(tree).is_complete
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_wide_directories_are_listed_in_batches(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "BATCH", 3)
    monkeypatch.setattr(walk, "MAX_BATCHED", 2)
    monkeypatch.setattr(walk, "KEPT_ABOVE", 2)
    monkeypatch.setattr(walk, "KEPT_BELOW", 2)
    comb(tree, 30, siblings=7)
    tops = Walk([str(tree)])
    assert sum(stat.S_ISDIR(status.st_mode) for status in tops) == 30 * 8
    assert tops.is_complete


def test_too_many_directories_are_noticed(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_MEMORY", 50 * walk.BYTES_PER_NAME)
    monkeypatch.setattr(walk, "MAX_BATCHED", 0)
    comb(tree, 1, siblings=100)
    tops = Walk([str(tree)])
    assert sum(1 for _ in tops) == 102, "the entries themselves count"
    assert tops.is_too_large
    usage = usage_of(tree)
    assert not usage.is_complete
    assert usage.size_bytes >= 102 * 4 * KB


@pytest.fixture
def reachable_tree() -> Iterator[Path]:
    """A directory that other users can reach too."""
    with public_directory("asgard-tree-") as top:
        (top / "tree").mkdir()
        yield top / "tree"
        remove_tree(top / "tree")


def test_closed_directories_are_measured(reachable_tree: Path) -> None:
    tree = reachable_tree
    comb(tree, 50)
    closed = [tree / "d" / "d", tree / "d", tree]
    modes = [0o000, 0o400, 0o100]
    expected = size_of(tree)
    for path, mode in zip(closed, modes, strict=True):
        path.chmod(mode)
    result: list[int] = []

    def measure() -> None:
        if os.geteuid() == 0:
            _become(65_534)  # of this thread alone
        result.append(size_of(tree))

    if os.geteuid() == 0:
        for folder, names, files in os.walk(tree):
            for name in (".", *names, *files):
                os.lchown(Path(folder, name), 65_534, 65_534)
    thread = threading.Thread(target=measure)
    thread.start()
    thread.join()
    assert result == [expected]
    for path, mode in zip(reversed(closed), reversed(modes), strict=True):
        assert stat.S_IMODE(path.lstat().st_mode) == mode
        path.chmod(0o700)


def _become(uid: int) -> None:
    """Change the user of this thread only, by the system call itself."""
    import ctypes

    setresuid = 117
    assert ctypes.CDLL(None, use_errno=True).syscall(setresuid, uid, uid, uid) == 0


def test_links_and_special_files_are_not_opened(tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"x" * 100 * KB)
    (tree / "link").symlink_to(outside)
    os.mkfifo(tree / "fifo")
    (tree / os.fsdecode(b"\xff\xfe")).mkdir()
    (tree / os.fsdecode(b"\xff\xfe") / os.fsdecode(b"\x80")).write_bytes(b"x" * 8 * KB)
    with (tree / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    (tree / "once").write_bytes(b"x" * 40 * KB)
    os.link(tree / "once", tree / "twice")
    assert 48 * KB <= size_of(tree) < 90 * KB
    assert usage_of(tree / "link").size_bytes <= 4 * KB
    assert usage_of(tree / "fifo").size_bytes == 0
    assert usage_of(tree / "missing").size_bytes == 0


def test_a_walk_of_an_endless_tree_is_abandoned(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asgard_async.supervisor.disk_usage.CHECK_EVERY", 1)
    comb(tree, 10)
    usage = usage_of(tree, max_seconds=0)
    assert not usage.is_complete


def test_a_moved_directory_hides_only_itself(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "KEPT_ABOVE", 2)
    monkeypatch.setattr(walk, "KEPT_BELOW", 1)
    for name in ("a", "b"):
        (tree / name).mkdir()
        comb(tree / name, 8)
    moving = Walk([str(tree)])
    seen = 0
    for seen, _ in enumerate(moving, 1):
        for name in ("a", "b"):
            deep = tree / name / "d/d/d/d/d/d"
            if seen == 12 and deep.exists() and not (tree / "elsewhere").exists():
                deep.rename(tree / "elsewhere")
    assert seen >= 12 + 2

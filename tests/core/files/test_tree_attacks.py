"""Removal and changes of owner in trees that another user made or is changing."""

import contextlib
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from asgard_async.core.files.chown_tree import chown_tree
from asgard_async.core.files.descent import MAX_DESCRIPTORS
from asgard_async.core.files.remove_tree import entries_within, remove_tree

IS_ROOT = os.geteuid() == 0
BY_ROOT = pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")


def nest(top: Path, levels: int) -> None:
    """Create nested directories, deeper than any path may be, with a file in the last."""
    directory = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    os.close(directory)


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 50, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.parametrize("levels", [5000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_a_deep_tree_is_removed_with_few_descriptors(tmp_path: Path, levels: int) -> None:
    top = tmp_path / "top"
    top.mkdir()
    nest(top, levels)
    with few_descriptors():
        remove_tree(top)
    assert not top.exists()


def test_a_deep_tree_changes_its_owner(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    nest(top, 2000)
    uid = 57_000 if IS_ROOT else os.geteuid()
    with few_descriptors():
        chown_tree(top, uid)
    path = top
    for _ in range(100):
        path /= "d"
        assert path.stat().st_uid == uid
    remove_tree(top)


def test_links_and_special_files_are_removed_themselves(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (outside / "below" / "file").write_text("kept")
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    (top / "link").symlink_to(outside)
    (top / "below" / "dangling").symlink_to("/nowhere")
    os.link(outside / "below" / "file", top / "hard")
    os.mkfifo(top / "fifo")
    (top / "line\nbreak").touch()
    (top / "\udcff").touch()
    remove_tree(top)
    link = tmp_path / "link"
    link.symlink_to(outside)
    remove_tree(link)
    remove_tree(tmp_path / "missing")
    remove_tree(tmp_path / "missing" / "below")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "below" / "file").read_text() == "kept"


def test_no_link_is_followed_within_a_directory(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "1").mkdir(parents=True)
    root.mkdir()
    (root / "attempts").symlink_to(outside)
    remove_tree(root / "attempts" / "1", within=root)
    assert (outside / "1").exists()
    assert entries_within(root, "attempts") == []
    assert entries_within(root) == ["attempts"]


def test_inaccessible_directories_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").touch()
    (top / "empty").mkdir()
    for path, mode in ((top / "a" / "b", 0o500), (top / "a", 0), (top / "empty", 0), (top, 0o100)):
        path.chmod(mode)
    if IS_ROOT:
        for path in (tmp_path, top, top / "a", top / "empty", top / "a" / "b"):
            os.chown(path, 57_000, 57_000)
        before = Path.cwd()
        os.chdir(tmp_path)
        os.seteuid(57_000)
    else:
        before = Path.cwd()
        os.chdir(tmp_path)
    try:
        remove_tree(Path("top"))
    finally:
        if IS_ROOT:
            os.seteuid(0)
        os.chdir(before)
    assert not top.exists()


Attack = Callable[[], object]


def attack_before(monkeypatch: pytest.MonkeyPatch, call: str, name: str, attack: Attack) -> None:
    """Attack a walk once, immediately before its system call `call` for an entry called `name`."""
    real, attacks = getattr(os, call), [attack]

    def call_after_attack(path: object, *arguments: object, **options: object) -> object:
        if path == name and attacks:
            attacks.pop()()
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, call, call_after_attack)


def replace_by_link(entry: Path, target: Path) -> None:
    entry.rename(entry.parent.parent / "aside")
    entry.symlink_to(target)


@pytest.mark.parametrize("is_removal", [True, pytest.param(False, marks=BY_ROOT)])
def test_a_directory_replaced_by_a_link_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_removal: bool
) -> None:
    outside, entry = tmp_path / "outside", tmp_path / "top" / "entry"
    (outside / "below").mkdir(parents=True)
    (outside / "file").touch()
    entry.mkdir(parents=True)
    attack_before(monkeypatch, "open", entry.name, partial(replace_by_link, entry, outside))
    if is_removal:
        remove_tree(tmp_path / "top")
        assert not (tmp_path / "top").exists()
    else:
        with pytest.raises(NotADirectoryError):
            chown_tree(tmp_path / "top", 57_000)
        assert entry.is_symlink()
    assert {path.name for path in outside.iterdir()} == {"below", "file"}
    assert {path.stat().st_uid for path in (outside, *outside.iterdir())} == {os.geteuid()}


@BY_ROOT
def test_a_file_replaced_by_a_link_is_not_given_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, entry = tmp_path / "outside", tmp_path / "top" / "entry"
    outside.touch()
    entry.parent.mkdir()
    entry.touch()
    attack_before(monkeypatch, "chown", entry.name, partial(replace_by_link, entry, outside))
    chown_tree(tmp_path / "top", 57_000)
    assert entry.is_symlink()
    assert outside.stat().st_uid == 0


@BY_ROOT
def test_a_directory_is_given_away_after_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise its new owner could replace files that are still to be given away."""
    directories = tmp_path / "top", tmp_path / "top" / "below"
    directories[1].mkdir(parents=True)
    (directories[1] / "file").touch()
    owners: list[int] = []

    def look() -> None:
        owners.extend(owner_of(path) for path in directories)

    attack_before(monkeypatch, "open", "below", look)
    attack_before(monkeypatch, "chown", "file", look)
    chown_tree(directories[0], 57_000)
    assert owners == [0, 0, 0, 0]
    assert [owner_of(path) for path in directories] == [57_000, 57_000]


def owner_of(path: Path) -> int:
    return path.stat().st_uid


@pytest.mark.parametrize("is_removal", [True, pytest.param(False, marks=BY_ROOT)])
def test_a_moved_directory_ends_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_removal: bool
) -> None:
    """The walk has closed the directories far above, and finds them again by `..`."""
    outside, top = tmp_path / "outside", tmp_path / "top"
    outside.mkdir()
    top.mkdir()
    nest(top, MAX_DESCRIPTORS + 2)
    moved = top / "d"
    attack_before(monkeypatch, "open", "..", lambda: moved.rename(outside / "d"))
    if is_removal:
        remove_tree(top)
    else:
        with pytest.raises(OSError, match="moved during the walk"):
            chown_tree(top, 57_000)
    assert [path.name for path in outside.iterdir()] == ["d"]
    assert owner_of(outside) == os.geteuid()


def swap_for_a_while(top: Path, outside: Path, done: threading.Event) -> None:
    """Repeatedly replace a directory with a link and back."""
    aside = top.parent / "aside"
    while not done.is_set():
        with contextlib.suppress(OSError):
            (top / "swapped").rename(aside)
            (top / "swapped").symlink_to(outside)
            (top / "swapped").unlink()
            aside.rename(top / "swapped")


@pytest.mark.soak
@pytest.mark.parametrize("is_removal", [True, False])
def test_endless_swaps_mislead_no_walk(tmp_path: Path, *, is_removal: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(20):
        (outside / str(number)).touch()
    owner = outside.stat().st_uid
    uid = 57_000 if IS_ROOT else owner
    for number in range(3000):
        top = tmp_path / f"top{number}"
        for name in ("swapped", *(f"other{i}" for i in range(10))):
            (top / name / "below").mkdir(parents=True)
            (top / name / "file").touch()
        done = threading.Event()
        thread = threading.Thread(target=swap_for_a_while, args=(top, outside, done))
        thread.start()
        try:
            with contextlib.suppress(OSError):
                remove_tree(top) if is_removal else chown_tree(top, uid)
        finally:
            done.set()
            thread.join()
        assert len(list(outside.iterdir())) == 20
        assert {path.stat().st_uid for path in (outside, *outside.iterdir())} == {owner}
        for left in (top, tmp_path / "aside"):
            shutil.rmtree(left, ignore_errors=True)


@BY_ROOT
def test_a_file_with_another_name_is_not_given_away(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    (tmp_path / "file").touch()
    os.link(tmp_path / "file", tmp_path / "top" / "hard")
    (tmp_path / "top" / "link").symlink_to(tmp_path / "file")
    chown_tree(tmp_path / "top", 57_000)
    assert (tmp_path / "file").stat().st_uid == 0
    assert (tmp_path / "top").stat().st_uid == 57_000

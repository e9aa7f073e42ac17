"""Listing and reading of a tree that a hostile job made, or is changing at this moment."""

import contextlib
import io
import os
import socket
import tarfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from asgard_async.core.files.foreign_tree import (
    Bounds,
    Kind,
    Listing,
    Reader,
    Unreadable,
    list_tree,
    open_file,
    open_folder,
)
from asgard_async.core.files.remove_tree import remove_tree
from asgard_async.core.files.tar_stream import tar_of
from tests.support.hostile_trees import comb

BY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
SECRET = "a secret of another user"
JOB, FOREIGN = 57_001, 57_002


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def listed(path: Path, reader: Reader | None = None, bounds: Bounds | None = None) -> Listing:
    with opened(path) as top:
        return list_tree(top, reader or Reader.oneself(), bounds or Bounds())


def kinds(listing: Listing) -> dict[str, Kind]:
    return {entry.path: entry.kind for entry in listing.entries}


def content(path: Path, names: Sequence[str], reader: Reader | None = None) -> bytes:
    with opened(path) as top:
        file = open_file(top, names, reader or Reader.oneself())
        try:
            return file.read(0, 1 << 20)
        finally:
            file.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree beside a secret."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text(SECRET)
    top = tmp_path / "work"
    (top / "out").mkdir(parents=True)
    (top / "out" / "model").write_bytes(b"weights")
    (top / "b").touch()
    (top / "a").touch()
    return top


def test_folders_are_listed_before_their_contents(tree: Path) -> None:
    listing = listed(tree)
    assert [entry.path for entry in listing.entries] == ["a", "b", "out", "out/model"]
    assert listing.is_complete
    assert listing.entries[-1].size == 7
    assert list(kinds(listed(tree, bounds=Bounds(is_recursive=False)))) == ["a", "b", "out"]
    assert content(tree, ["out", "model"]) == b"weights"


def test_links_are_listed_but_never_followed(tree: Path) -> None:
    (tree / "file").symlink_to(tree.parent / "outside" / "secret")
    (tree / "folder").symlink_to(tree.parent / "outside")
    (tree / "itself").symlink_to("itself")
    assert kinds(listed(tree)) == {
        "a": Kind.FILE,
        "b": Kind.FILE,
        "file": Kind.LINK,
        "folder": Kind.LINK,
        "itself": Kind.LINK,
        "out": Kind.DIRECTORY,
        "out/model": Kind.FILE,
    }
    for name in ("file", "itself", "folder"):
        with pytest.raises(Unreadable, match="link"):
            content(tree, [name])
    with pytest.raises(NotADirectoryError):
        content(tree, ["folder", "secret"])
    with opened(tree) as top, pytest.raises(NotADirectoryError):
        open_folder(top, ["folder"], Reader.oneself())


def test_special_files_are_not_opened(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "fifo")
    before = Path.cwd()
    os.chdir(tree)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
    finally:
        os.chdir(before)
    found = kinds(listed(tree))
    assert (found["fifo"], found["socket"]) == (Kind.OTHER, Kind.OTHER)
    for name in ("fifo", "socket"):
        with pytest.raises(Unreadable, match="regular"):
            content(tree, [name])
    with pytest.raises(IsADirectoryError):
        content(tree, ["out"])


@BY_ROOT
def test_a_file_linked_from_elsewhere_is_not_read(tree: Path) -> None:
    secret = tree.parent / "outside" / "secret"
    os.chown(secret, FOREIGN, FOREIGN)
    secret.chmod(0o600)
    os.link(secret, tree / "hard")
    os.chown(tree / "a", JOB, JOB)
    (tree / "a").chmod(0o600)
    job = Reader(uids=range(JOB, JOB + 1))
    assert content(tree, ["a"], job) == b""
    with pytest.raises(Unreadable, match="job itself"):
        content(tree, ["hard"], job)
    secret.chmod(0o604)  # the job can read it as well
    assert content(tree, ["hard"], job) == SECRET.encode()


@BY_ROOT
def test_a_folder_moved_from_elsewhere_is_not_entered(tree: Path) -> None:
    outside = tree.parent / "outside"
    os.chown(outside, FOREIGN, FOREIGN)
    outside.chmod(0o700)
    os.chown(tree / "out", JOB, JOB)
    outside.rename(tree / "moved")
    job = Reader(uids=range(JOB, JOB + 1))
    listing = listed(tree, job)
    assert "moved" in kinds(listing)
    assert "moved/secret" not in kinds(listing)
    assert not listing.is_complete
    with pytest.raises(Unreadable, match="closed"):
        content(tree, ["moved", "secret"], job)


def test_what_the_owner_cannot_read_is_not_read(tree: Path) -> None:
    (tree / "a").chmod(0)
    (tree / "out").chmod(0o300)
    with pytest.raises((Unreadable, PermissionError)):
        content(tree, ["a"])
    listing = listed(tree)
    (tree / "out").chmod(0o700)
    assert list(kinds(listing)) == ["a", "b", "out"]
    assert not listing.is_complete


@pytest.mark.slow
def test_a_walk_is_bounded(tmp_path: Path) -> None:
    deep, wide = tmp_path / "deep", tmp_path / "wide"
    deep.mkdir()
    comb(deep, 2000)
    listing = listed(deep)
    assert listing.is_cut
    assert max(entry.path.count("/") for entry in listing.entries) <= 64
    assert len(listed(deep, bounds=Bounds(depth=5000, path_characters=5000)).entries) < 500
    remove_tree(deep)  # pytest could not
    wide.mkdir()
    for number in range(300):
        (wide / f"{number:03}").touch()
    listing = listed(wide, bounds=Bounds(entries=100))
    assert (len(listing.entries), listing.is_cut) == (100, True)
    assert listed(wide, bounds=Bounds(seconds=-1)).entries == []


def test_any_name_and_any_time_is_listed(tree: Path) -> None:
    for name in ("line\nbreak", "\udcff", "\x1b[2J", " "):
        (tree / name).touch()
        assert content(tree, [name]) == b""
    os.utime(tree / "a", (0, -(1 << 40)))
    assert {"line\nbreak", "\udcff", "\x1b[2J", " "} < kinds(listed(tree)).keys()


def test_swapped_links_lead_nowhere(tree: Path) -> None:
    """While a thread swaps a folder and a file with links, only the tree's own bytes are read."""
    (tree / "out" / "secret").write_text("own")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            (tree / "out").rename(tree / "kept")
            (tree / "out").symlink_to("../outside")
            (tree / "out").unlink()
            (tree / "kept").rename(tree / "out")
            stop.wait(0.0001)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        read: set[bytes] = set()
        tries = 0
        while tries < 1000 or not read:
            tries += 1
            with contextlib.suppress(OSError):
                read.add(content(tree, ["out", "secret"]))
            assert kinds(listed(tree)).get("out/secret", Kind.FILE) is Kind.FILE
    finally:
        stop.set()
        thread.join()
    assert read == {b"own"}


def tar(path: Path) -> bytes:
    listing = listed(path)
    with opened(path) as top:
        return b"".join(
            tar_of(listing.entries, lambda name: open_file(top, name.split("/"), Reader.oneself()))
        )


def test_a_tar_has_the_files_and_nothing_else(tree: Path) -> None:
    (tree / "link").symlink_to("../outside/secret")
    os.mkfifo(tree / "fifo")
    (tree / "line\nbreak").write_bytes(b"x" * 700)
    (tree / "\udcff").touch()
    (tree / ("long" * 50)).touch(mode=0o755)
    with tarfile.open(fileobj=io.BytesIO(tar(tree))) as archive:
        names = archive.getnames()
        assert set(names) == {"a", "b", "out", "out/model", "line\nbreak", "\udcff", "long" * 50}
        model = archive.extractfile("out/model")
        assert model is not None
        assert model.read() == b"weights"
        assert archive.getmember("long" * 50).mode == 0o755


def test_a_file_that_shrinks_breaks_the_tar_off(tree: Path) -> None:
    (tree / "a").write_bytes(b"x" * (1 << 20))
    listing = listed(tree)
    with opened(tree) as top:
        pieces = tar_of(
            listing.entries, lambda name: open_file(top, name.split("/"), Reader.oneself())
        )
        next(pieces)
        os.truncate(tree / "a", 1)
        with pytest.raises(EOFError):
            list(pieces)


def test_a_sparse_file_is_read_in_pieces(tree: Path) -> None:
    os.truncate(tree / "a", 1 << 40)
    listing = listed(tree)
    assert listing.entries[0].size == 1 << 40
    with opened(tree) as top:
        pieces = tar_of(
            listing.entries, lambda name: open_file(top, name.split("/"), Reader.oneself())
        )
        assert len(next(pieces)) < 1 << 20
        pieces.close()

"""Copies have the content and the digest of the original, whatever its holes."""

import os
from pathlib import Path

import pytest

from asgard_async.backups.copying import BLOCK_BYTES, Content, copy_content

DATA = os.urandom(1000)


def copied(source: Path) -> tuple[Content, bytes]:
    target = source.with_name(source.name + ".copy")
    with source.open("rb") as original, target.open("x+b") as copy:
        content = copy_content(original.fileno(), copy.fileno())
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    return content, target.read_bytes()


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [(0, DATA)],
        [(0, DATA), (5 * BLOCK_BYTES - 10, DATA)],
        [(3 * BLOCK_BYTES, DATA), (9 * BLOCK_BYTES, b"\0")],
    ],
    ids=["empty", "small", "across-blocks", "zeros-at-the-end"],
)
def test_holes_change_neither_content_nor_digest(
    tmp_path: Path, pieces: list[tuple[int, bytes]]
) -> None:
    sparse, dense = tmp_path / "sparse", tmp_path / "dense"
    with sparse.open("wb") as file:
        for start, data in pieces:
            file.seek(start)
            file.write(data)
    dense.write_bytes(sparse.read_bytes())
    content, copy = copied(sparse)
    assert copy == sparse.read_bytes()
    assert copied(dense) == (content, copy)


def test_a_hole_of_a_terabyte_costs_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "log", tmp_path / "copy"
    with source.open("wb") as file:
        file.write(DATA)
        file.seek(1 << 40)
        file.write(DATA)
    with source.open("rb") as original, target.open("x+b") as copy:
        assert copy_content(original.fileno(), copy.fileno()).size == (1 << 40) + len(DATA)
    assert target.stat().st_size == (1 << 40) + len(DATA)
    assert target.stat().st_blocks * 512 <= 4 * BLOCK_BYTES


def test_moved_blocks_change_the_digest(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(DATA.ljust(BLOCK_BYTES, b"\0") + bytes(BLOCK_BYTES))
    second.write_bytes(bytes(BLOCK_BYTES) + DATA.ljust(BLOCK_BYTES, b"\0"))
    assert copied(first)[0].digest != copied(second)[0].digest

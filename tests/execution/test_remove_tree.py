"""What cannot be removed stays, and stops nothing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.execution.local import remove_tree

NOBODY = 65534


@pytest.fixture
def directory() -> Iterator[Path]:
    # not tmp_path: nobody else can go there
    directory = Path(tempfile.mkdtemp())
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="takes two users")
def test_what_belongs_to_another_user_is_left(directory: Path) -> None:
    foreign = directory / "made-by-root"
    foreign.mkdir()
    (foreign / "file").touch()
    (directory / "own").touch()
    os.chown(directory, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        remove_tree(directory)
    finally:
        os.seteuid(0)
    assert [path.name for path in directory.iterdir()] == ["made-by-root"]

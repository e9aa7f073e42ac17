"""Removal continues past files that cannot be removed."""

import os
from pathlib import Path

import pytest

from asgard_async.core.files.remove_tree import remove_tree

NOBODY = 65534


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_files_of_another_user_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "job"
    foreign = directory / "made-by-root"
    foreign.mkdir(parents=True)
    (foreign / "file").touch()
    (directory / "own").touch()
    os.chown(directory, NOBODY, NOBODY)
    # by a relative path, since only root may traverse the absolute one
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    os.seteuid(NOBODY)
    try:
        remove_tree(Path("job"))
    finally:
        os.seteuid(0)
    assert [path.name for path in directory.iterdir()] == ["made-by-root"]

"""`asgard get`, against a real service."""

import json
from pathlib import Path

import pytest

from tests.support.preloaded_command import asgard
from tests.support.service import Service
from tests.support.terminal import in_terminal

pytestmark = pytest.mark.service

LEAVES = """
import os
os.makedirs("out")
open("out/a", "w").write("new")
open("m.json", "w").write("{}")
open("\\x1b[2Jx", "w")
os.symlink("/etc/passwd", "link")
"""


async def left(shared: Service) -> str:
    job_id = await shared.submit(LEAVES)
    assert (await shared.finished(job_id))["status"] == "completed"
    return job_id


async def test_files_of_a_job_are_fetched(
    shared: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job_id = await left(shared)
    listed = asgard("get", job_id[:6], "--list", ASGARD_URL=shared.url)
    assert "\x1b" not in listed.stdout
    rows = [line.split()[-1] for line in listed.stdout.splitlines()[1:]]
    assert rows == [r"\x1b[2Jx", "(link)", "m.json", "out/", "out/a", "train.py"]
    done = asgard("get", job_id, ASGARD_URL=shared.url)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {
        f"{job_id}/{name}" for name in (r"\x1b[2Jx", "m.json", "out/a", "train.py")
    }
    assert (tmp_path / job_id / "out" / "a").read_text() == "new"
    some = asgard("get", job_id, "m.json", "out", "--json", ASGARD_URL=shared.url)
    assert json.loads(some.stdout) == ["m.json", "out/a"]
    other = asgard("get", job_id, "out/a", "-o", "new/directory", ASGARD_URL=shared.url)
    assert other.returncode == 0, other.stderr
    assert (tmp_path / "new/directory/a").read_text() == "new"


async def test_existing_files_are_overwritten_only_on_request(
    shared: Service, tmp_path: Path
) -> None:
    job_id = await left(shared)
    (tmp_path / "a").write_text("old")
    arguments = ("get", job_id, "out/a", "-o", str(tmp_path))
    done = asgard(*arguments, ASGARD_URL=shared.url)
    assert done.returncode == 1
    assert "exists" in done.stderr
    assert "--force" in done.stderr
    assert (tmp_path / "a").read_text() == "old"
    with in_terminal(*arguments, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("Overwrite?")
        terminal.type("n\r")
        assert await terminal.ended() == 1
    assert (tmp_path / "a").read_text() == "old"
    with in_terminal(*arguments, ASGARD_URL=shared.url) as terminal:
        await terminal.shows("Overwrite?")
        terminal.type("y\r")
        assert await terminal.ended() == 0
    assert (tmp_path / "a").read_text() == "new"
    (tmp_path / "a").write_text("old")
    assert asgard(*arguments, "--force", ASGARD_URL=shared.url).returncode == 0
    assert (tmp_path / "a").read_text() == "new"


async def test_what_is_missing_is_said(shared: Service, tmp_path: Path) -> None:
    job_id = await left(shared)
    for arguments, message in (
        ((job_id, "nothing"), "no file nothing"),
        ((job_id, "link"), "a link"),
        (("00000000",), "no job 00000000"),
    ):
        done = asgard("get", *arguments, "-o", str(tmp_path), ASGARD_URL=shared.url)
        assert done.returncode == 1
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []

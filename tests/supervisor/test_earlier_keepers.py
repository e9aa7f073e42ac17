"""Keepers that an earlier version started are found by their command line, without their files."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgard_async.domain.attempt import End
from asgard_async.supervisor.attempt import SHIM_START, SHIM_STARTS, Attempt
from asgard_async.supervisor.shim import command_line
from tests.support.eventually import eventually

SLEEP = "import time; time.sleep(600)\n"
PADDING = "-" * 1000


@pytest.fixture(params=SHIM_STARTS)
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A program at a shim's path, in an installation of its own."""
    path = tmp_path / "lib with spaces" / str(request.param)
    path.parent.mkdir(parents=True)
    path.write_text(SLEEP)
    return path


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def is_found_and_stopped(attempt: Attempt, process: subprocess.Popen[bytes]) -> None:
    await eventually(attempt.is_alive, what="the keeper is found")
    await attempt.stop()
    assert process.wait(10) == -signal.SIGTERM
    assert (await attempt.wait()).end is End.LOST


def test_the_path_of_this_versions_shim_is_listed() -> None:
    assert str(SHIM_START).endswith(f"/{SHIM_STARTS[0]}")


async def test_a_spawned_keeper_is_found(program: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "job" / "attempts" / "1")
    command = [sys.executable, "-I", "-S", str(program), str(attempt.directory)]
    with running(*command) as process:
        await is_found_and_stopped(attempt, process)


async def test_a_forked_keeper_is_found(program: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "job" / "attempts" / "1")
    shown = [sys.executable, "-I", "-S", str(program), str(attempt.directory)]
    # as a keeper server's children do, whose command line is followed by zeros
    script = f"""
import sys
sys.path.insert(0, {str(Path(command_line.__file__).parents[3])!r})
from asgard_async.supervisor.shim.command_line import show_command_line
show_command_line({shown!r})
{SLEEP}"""
    with running(sys.executable, "-I", "-c", script, PADDING) as process:
        await is_found_and_stopped(attempt, process)


def test_other_command_lines_are_not_taken_for_keepers(program: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path / "job" / "attempts" / "1")
    other = program.with_name("other.py")
    other.write_text(SLEEP)
    directory = str(attempt.directory)
    with (
        running(sys.executable, str(other), directory),
        running(sys.executable, str(program), f"{directory}0"),
        running(sys.executable, str(program), directory, "more"),
    ):
        time.sleep(0.2)
        assert not attempt.is_alive()

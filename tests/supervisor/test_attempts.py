"""Numbered attempts: a running one is adopted, else the next one is started."""

import signal
from datetime import datetime
from pathlib import Path

import pytest

from asgard_async.domain.attempt import End
from asgard_async.supervisor.attempt import Attempt
from asgard_async.supervisor.attempts import AttemptSeries
from asgard_async.supervisor.process_spec import process_spec, service_python


@pytest.fixture
def series(tmp_path: Path) -> AttemptSeries:
    return AttemptSeries(tmp_path / "attempts")


async def start(attempt: Attempt, script: str = "import time; time.sleep(600)") -> datetime | None:
    directory = attempt.directory
    spec = process_spec(
        directory=directory,
        argv=service_python("-c", script),
        log=directory.parent / "log",
        working_directory=directory,
    )
    return await attempt.start(spec)


async def never(attempt: Attempt) -> None:
    """Fail to start an attempt, as a service does that is killed before it can."""


def test_a_series_without_attempts_has_no_latest(series: AttemptSeries) -> None:
    assert (series.latest(), series.running()) == (None, None)


async def test_the_latest_has_the_highest_number(series: AttemptSeries) -> None:
    for name in ("2", "10", "9", "11.log", "x"):
        (series.directory / name).mkdir(parents=True)
    latest = series.latest()
    assert latest is not None
    assert latest.directory == series.directory / "10"
    assert (await series.start_next(never)).directory == series.directory / "11"
    assert (series.directory / "11").stat().st_mode & 0o777 == 0o700


async def test_a_running_attempt_is_adopted(series: AttemptSeries) -> None:
    first = await series.start_next(start)
    # as a restarted service does, which knows nothing but the directory
    adopted = AttemptSeries(series.directory).running()
    assert adopted is not None
    assert adopted.directory == first.directory
    await adopted.stop()
    ended = await first.wait()
    assert (ended.end, ended.signal) == (End.EXITED, signal.SIGTERM)


async def test_an_ended_attempt_is_followed_by_the_next(series: AttemptSeries) -> None:
    first = await series.start_next(lambda attempt: start(attempt, "pass"))
    await first.wait()
    assert series.running() is None
    second = await series.start_next(start)
    assert (first.directory.name, second.directory.name) == ("1", "2")
    await second.stop()
    await second.wait()


async def test_an_attempt_that_nobody_started_is_ruled_out(series: AttemptSeries) -> None:
    abandoned = await series.start_next(never)
    assert series.running() is None
    assert await start(abandoned) is None
    assert (await abandoned.wait()).end is End.NOT_STARTED


async def test_earlier_attempts_can_be_removed(series: AttemptSeries) -> None:
    attempts = [await series.start_next(never) for _ in range(3)]
    (series.directory / "1.log").touch()
    series.remove_before(attempts[1])
    names = {path.name for path in series.directory.iterdir()}
    assert names == {"1.log", "2", "3"}

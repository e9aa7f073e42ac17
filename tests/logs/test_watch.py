"""Notification of changed logs, with inotify and by polling."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgard_async.logs import inotify
from asgard_async.logs import watch as watch_module
from asgard_async.logs.watch import LogWatch


class Notification:
    """A callback that waits for its next call."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self._event.set()

    @property
    def was_called(self) -> bool:
        return self._event.is_set()

    async def next(self) -> None:
        async with asyncio.timeout(30):
            await self._event.wait()
        self._event.clear()


@pytest.fixture(params=["inotify", "polling"])
async def watch(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LogWatch]:
    if request.param == "polling":

        def refuse() -> int:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(inotify, "open_inotify", refuse)
        monkeypatch.setattr(watch_module, "POLL_SECONDS", 0.01)
    made = LogWatch(tmp_path)
    made.open()
    yield made
    made.close()


async def test_growth_is_notified(watch: LogWatch, tmp_path: Path) -> None:
    log, notified = tmp_path / "job" / "job.log", Notification()
    log.parent.mkdir()
    with watch.watching(log, notified):
        log.write_bytes(b"one")
        await notified.next()
        with log.open("ab") as file:
            file.write(b"two")
        await notified.next()


async def test_a_log_in_a_later_directory_is_notified(watch: LogWatch, tmp_path: Path) -> None:
    log, notified = tmp_path / "job" / "job.log", Notification()
    with watch.watching(log, notified):
        log.parent.mkdir()
        await notified.next()
        log.write_bytes(b"one")
        await notified.next()


async def test_all_readers_of_a_log_are_notified(watch: LogWatch, tmp_path: Path) -> None:
    log, first, second = tmp_path / "job" / "job.log", Notification(), Notification()
    log.parent.mkdir()
    with watch.watching(log, first), watch.watching(log, second):
        log.write_bytes(b"one")
        await first.next()
        await second.next()


async def test_a_departing_reader_does_not_affect_others(watch: LogWatch, tmp_path: Path) -> None:
    log, notified = tmp_path / "job" / "job.log", Notification()
    log.parent.mkdir()
    with watch.watching(log, notified):
        with watch.watching(log, Notification()):
            pass
        log.write_bytes(b"one")
        await notified.next()


async def test_a_recreated_directory_is_watched(watch: LogWatch, tmp_path: Path) -> None:
    log, notified = tmp_path / "job" / "job.log", Notification()
    log.parent.mkdir()
    with watch.watching(log, notified):
        log.parent.rmdir()
        await notified.next()
        log.parent.mkdir()
        await notified.next()
        log.write_bytes(b"one")
        await notified.next()


async def test_a_lost_event_is_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an overflow of the kernel's queue any log may have changed."""
    watch = LogWatch(tmp_path)
    watch.open()
    log, notified = tmp_path / "job" / "job.log", Notification()
    overflow = inotify.Event(watch=-1, mask=inotify.IN_Q_OVERFLOW, name="")
    monkeypatch.setattr(inotify, "read_events", lambda _: iter([overflow]))
    with watch.watching(log, notified):
        watch._read_events()
        assert notified.was_called
    watch.close()


async def test_closing_leaves_no_watches(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    watch = LogWatch(tmp_path)
    watch.open()
    with watch.watching(tmp_path / "job" / "job.log", Notification()):
        pass
    watch.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before

"""Notifications of growing logs, with one inotify instance for all followers.

This watches the directory of a log, because the log itself may not exist yet, and the directory's
parent, because the directory may not exist either.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asgard_async.logs import inotify
from asgard_async.logs.source import Wake

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
"""Polling interval of logs that inotify does not watch."""


class LogWatch:
    """Notifies followers when a log (`directory`/<any>/<log>) changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inotify: int | None = None
        self._wakes: dict[Path, list[Wake]] = defaultdict(list)
        self._watches: dict[Path, int] = {}
        self._parents: dict[int, Path] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Start watching, or polling if inotify is not available."""
        mask = inotify.IN_CREATE | inotify.IN_MOVED_TO
        try:
            self._inotify = inotify.open_inotify()
            inotify.add_watch(self._inotify, str(self._directory), mask)
        except OSError as error:
            self._report(error)
            self._close_inotify()
        else:
            asyncio.get_running_loop().add_reader(self._inotify, self._read_events)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify)
            self._close_inotify()

    def _close_inotify(self) -> None:
        if self._inotify is not None:
            os.close(self._inotify)
            self._inotify = None

    @contextmanager
    def watching(self, log: Path, wake: Wake) -> Iterator[None]:
        """Call `wake` inside the context when the log has changed; it may be called more often."""
        self._wakes[log].append(wake)
        self._watch(log.parent)
        try:
            yield
        finally:
            self._wakes[log].remove(wake)
            if not self._wakes[log]:
                del self._wakes[log]
                self._unwatch(log.parent)

    def _watch(self, parent: Path) -> None:
        if parent in self._watches:
            return
        try:
            if self._inotify is None:
                raise OSError
            mask = inotify.IN_MODIFY | inotify.IN_CREATE
            watch = inotify.add_watch(self._inotify, str(parent), mask)
        except FileNotFoundError:
            return  # its creation is an event of `_directory`
        except OSError as error:
            if self._inotify is not None:
                self._report(error)
            self._poll_soon()
            return
        self._watches[parent] = watch
        self._parents[watch] = parent

    def _unwatch(self, parent: Path) -> None:
        watch = self._watches.pop(parent, None)
        if watch is not None and self._inotify is not None:
            del self._parents[watch]
            inotify.remove_watch(self._inotify, watch)

    def _read_events(self) -> None:
        assert self._inotify is not None  # noqa: S101  # called only while it is open
        changed: dict[Path, None] = {}
        for event in inotify.read_events(self._inotify):
            if event.mask & inotify.IN_Q_OVERFLOW:  # events were lost: any log may have changed
                changed.update(dict.fromkeys(self._wakes))
            elif (parent := self._parents.get(event.watch)) is not None:
                if event.mask & inotify.IN_IGNORED:  # the directory was removed
                    del self._parents[event.watch], self._watches[parent]
                    changed.update(
                        dict.fromkeys(log for log in self._wakes if log.parent == parent)
                    )
                else:
                    changed[parent / event.name] = None
            else:
                changed.update(self._created(self._directory / event.name))
        for log in changed:
            self._wake(log)

    def _created(self, parent: Path) -> dict[Path, None]:
        """Watch a new directory if it will contain followed logs, and return these logs."""
        logs = [log for log in self._wakes if log.parent == parent]
        if logs:
            self._watch(parent)
        return dict.fromkeys(logs)

    def _wake(self, log: Path) -> None:
        for wake in tuple(self._wakes.get(log, ())):
            wake()

    # --- polling, if inotify is not available -------------------------------------------------

    def _report(self, error: OSError) -> None:
        logger.warning("inotify is unavailable; polling logs every %g s: %s", POLL_SECONDS, error)

    def _poll_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(POLL_SECONDS, self._poll)

    def _poll(self) -> None:
        self._timer = None
        unwatched = [log for log in self._wakes if log.parent not in self._watches]
        for log in unwatched:
            self._wake(log)
            self._watch(log.parent)  # schedules the next poll if needed

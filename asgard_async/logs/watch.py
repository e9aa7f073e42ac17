"""Tells at once when a log has grown. One inotify for all of them, whoever reads.

What is watched is the directory of a log, since the log itself may not exist yet, and where that
does not exist either, its parent.
"""

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from asgard_async.logs import inotify

logger = logging.getLogger(__name__)

Wake = Callable[[], None]

LOOK_SECONDS = 0.5
"""How often those logs are looked at that the kernel does not watch for us."""


class LogWatch:
    """Calls back when one of the logs below `directory` changes: `directory`/<any>/<log>."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._inotify: int | None = None
        self._readers: dict[Path, list[Wake]] = defaultdict(list)
        self._watches: dict[Path, int] = {}
        self._parents: dict[int, Path] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to watch; where the kernel refuses, logs are looked at from time to time."""
        try:
            self._inotify = descriptor = inotify.open_inotify()
            inotify.add_watch(
                descriptor, str(self._directory), inotify.IN_CREATE | inotify.IN_MOVED_TO
            )
        except OSError as error:
            self._report(error)
        if self._inotify is not None:
            asyncio.get_running_loop().add_reader(self._inotify, self._read_events)

    def close(self) -> None:
        """Watch nothing any longer."""
        if self._timer is not None:
            self._timer.cancel()
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = None

    @contextmanager
    def watching(self, log: Path, wake: Wake) -> Iterator[None]:
        """Inside of the context `wake` is called when the log has changed, perhaps more often."""
        self._readers[log].append(wake)
        self._watch(log.parent)
        try:
            yield
        finally:
            self._readers[log].remove(wake)
            if not self._readers[log]:
                del self._readers[log]
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
            return  # when it is made, `_directory` changes
        except OSError as error:
            if self._inotify is not None:
                self._report(error)
            self._look_again()
            return
        self._watches[parent] = watch
        self._parents[watch] = parent

    def _unwatch(self, parent: Path) -> None:
        watch = self._watches.pop(parent, None)
        if watch is not None and self._inotify is not None:
            del self._parents[watch]
            inotify.remove_watch(self._inotify, watch)

    def _read_events(self) -> None:
        assert self._inotify is not None  # noqa: S101  # it is read only while it is open
        changed: dict[Path, None] = {}
        for event in inotify.read_events(self._inotify):
            if event.mask & inotify.IN_Q_OVERFLOW:  # some were lost: it may have been any
                changed.update(dict.fromkeys(self._readers))
            elif (parent := self._parents.get(event.watch)) is not None:
                if event.mask & inotify.IN_IGNORED:  # the directory was removed
                    del self._parents[event.watch], self._watches[parent]
                    changed.update(
                        dict.fromkeys(log for log in self._readers if log.parent == parent)
                    )
                else:
                    changed[parent / event.name] = None
            else:
                changed.update(self._made(self._directory / event.name))
        for log in changed:
            self._wake(log)

    def _made(self, parent: Path) -> dict[Path, None]:
        """The logs that are awaited in a directory that was just made."""
        logs = [log for log in self._readers if log.parent == parent]
        if logs:
            self._watch(parent)
        return dict.fromkeys(logs)

    def _wake(self, log: Path) -> None:
        for wake in tuple(self._readers.get(log, ())):
            wake()

    # --- where the kernel does not help ------------------------------------------------------

    def _report(self, error: OSError) -> None:
        logger.warning(
            "logs are looked at every %g s, since inotify refuses: %s", LOOK_SECONDS, error
        )

    def _look_again(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        unwatched = [log for log in self._readers if log.parent not in self._watches]
        for log in unwatched:
            self._wake(log)
            self._watch(log.parent)  # asks for the next look where that is needed

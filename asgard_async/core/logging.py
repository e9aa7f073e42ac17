"""The service's log on stderr: one event per line, as text for people or JSON for machines.

The amount of text is limited, whatever repeats or how long a message is: see `RepeatLimit`. Whoever
receives stderr stores it, such as systemd's journal, and decides how much to keep.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

EXTRAS = ("job_id", "request_id")
"""Optional fields of an event, besides its message."""


MAX_MESSAGE_CHARACTERS = 8192
MAX_TRACEBACK_CHARACTERS = 32_768
MAX_SUMMARY_CHARACTERS = 200

WINDOW_SECONDS = 60.0
MAX_SAME = 5
"""Events with the same text per window."""
MAX_PROBLEMS = 60
"""Warnings and errors from the same line of code per window, whatever their text."""
MAX_WINDOWS = 4096
"""Texts and lines of code that are counted at the same time."""


def set_up_logging(*, level: str, format: Literal["text", "json"]) -> None:
    """Log events of at least `level` ("debug", "info", …) to stderr."""
    handler = LimitedHandler()
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class LimitedHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes events to stderr, with a limit on repeated ones."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(sys.stderr)
        self._limit = RepeatLimit(clock)

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event unless it is suppressed, and the counts of earlier suppressed ones."""
        for summary in self._limit.ended_windows():
            super().emit(summary)
        if self._limit.admits(record):
            super().emit(record)

    def close(self) -> None:
        """Write the counts of all suppressed events."""
        for summary in self._limit.all_windows():
            super().emit(summary)
        super().close()


@dataclass
class _Window:
    summary: logging.LogRecord
    ends_at: float
    limit: int
    count: int = 0

    def end(self) -> Iterator[logging.LogRecord]:
        """Yield an event with the number of suppressed ones, if there were any."""
        if self.count > self.limit:
            self.summary.args = (self.count - self.limit, *(self.summary.args or ()))
            yield self.summary


class RepeatLimit:
    """Decides which events to write: a few with the same text, and some more of each problem.

    An error that occurs again and again, or one that a client or a job can cause at will, would
    otherwise fill the disk. Each suppressed event is counted in a later one.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        # in the order of their ends, since all windows are equally long
        self._windows: dict[object, _Window] = {}

    def admits(self, record: logging.LogRecord) -> bool:
        """Count an event; return whether to write it."""
        line = (record.pathname, record.lineno)
        if not self._count((*line, hash(message_of(record))), record, MAX_SAME):
            return False
        return record.levelno < logging.WARNING or self._count(line, record, MAX_PROBLEMS)

    def ended_windows(self) -> Iterator[logging.LogRecord]:
        """Yield the counts of suppressed events whose window has ended."""
        now = self._clock()
        while self._windows:
            key, window = next(iter(self._windows.items()))
            if window.ends_at > now and len(self._windows) <= MAX_WINDOWS:
                return
            del self._windows[key]
            yield from window.end()

    def all_windows(self) -> Iterator[logging.LogRecord]:
        """Yield the counts of all suppressed events."""
        windows = list(self._windows.values())
        self._windows.clear()
        for window in windows:
            yield from window.end()

    def _count(self, key: object, record: logging.LogRecord, limit: int) -> bool:
        window = self._windows.get(key)
        if window is None:
            window = _Window(_summary_of(record), self._clock() + WINDOW_SECONDS, limit)
            self._windows[key] = window
        window.count += 1
        return window.count <= window.limit


def _summary_of(record: logging.LogRecord) -> logging.LogRecord:
    # not the event itself, whose traceback refers to all variables of the failed functions
    return logging.LogRecord(
        *(record.name, record.levelno, record.pathname, record.lineno),
        msg="suppressed %d events like: %s",
        args=(shortened(message_of(record), MAX_SUMMARY_CHARACTERS),),
        exc_info=None,
    )


def message_of(record: logging.LogRecord) -> str:
    """Return an event's message, without an error if its arguments do not match."""
    try:
        return record.getMessage()
    except Exception:
        return str(record.msg)


def shortened(text: str, characters: int) -> str:
    """Return `text`, without its middle if it is longer than `characters`."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters … {text[-half:]}"


class TextFormatter(logging.Formatter):
    """Formats each event as one line; a traceback follows on separate lines.

    A message may contain text from clients and jobs. Escaping keeps such text from forging an event
    on a new line and from sending control sequences to the reader's terminal.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        record.message = shortened(record.message, MAX_MESSAGE_CHARACTERS)
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's name
        text = super().formatException(ei)  # type: ignore[arg-type]  # as logging passes it
        text = shortened(text, MAX_TRACEBACK_CHARACTERS)
        # indented, since a message may contain lines that look like events
        return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Formats each event as one line with a JSON object, traceback included."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shortened(record.getMessage(), MAX_MESSAGE_CHARACTERS),
        }
        event |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info:
            text = self.formatException(record.exc_info)
            event["traceback"] = shortened(text, MAX_TRACEBACK_CHARACTERS)
        # names of files need not be text
        valid = {
            name: str(value).encode(errors="backslashreplace") for name, value in event.items()
        }
        return msgspec.json.encode({n: v.decode() for n, v in valid.items()}).decode()


def escaped(text: str) -> str:
    """Return `text` with unprintable characters escaped as in a Python literal: `\\x1b`, `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )

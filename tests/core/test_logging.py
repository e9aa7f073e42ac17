"""The service's log: one line for each event, whatever its text."""

import io
import json
import logging
import os
import sys

import pytest

from asgard_async.core import logging as service_log
from asgard_async.core.logging import JsonFormatter, LimitedHandler, TextFormatter, escaped

HOSTILE = "a\nb\x1b]0;title\x07\r\x9b2J\u202eend\u2028"


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("asgard", logging.INFO, "", 0, message, (), None)
    made.__dict__ |= extra
    return made


def failed() -> logging.LogRecord:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        return logging.LogRecord("asgard", logging.ERROR, "", 0, "no", (), sys.exc_info())


def test_a_message_is_one_line_without_control_characters() -> None:
    line = TextFormatter().format(record(HOSTILE))
    assert line.isprintable()
    assert line.endswith(r"INFO asgard a\nb\x1b]0;title\x07\r\x9b2J\u202eend\u2028")


def test_a_traceback_follows_on_its_own_lines() -> None:
    first, *rest = TextFormatter().format(failed()).split("\n")
    assert first.endswith("ERROR asgard no")
    assert rest[0] == "  Traceback (most recent call last):"
    assert all(line.isprintable() for line in rest)


def test_each_event_is_one_json_object() -> None:
    event = json.loads(JsonFormatter().format(record(HOSTILE, job_id="0123abcd", other=1)))
    assert event.pop("at").startswith("20")
    assert event == {
        "level": "info",
        "logger": "asgard",
        "message": HOSTILE,
        "job_id": "0123abcd",
    }
    text = JsonFormatter().format(failed())
    assert "\n" not in text
    assert "ValueError" in json.loads(text)["traceback"]


@pytest.mark.parametrize("text", ["", "plain", "größer ≥ 🏃", r"back\slash"])
def test_other_text_is_unchanged(text: str) -> None:
    assert escaped(text) == text


class Log:
    """The service's log, with a clock that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handler = LimitedHandler(clock=lambda: self.now)
        self.handler.setStream(io.StringIO())
        self.handler.setFormatter(TextFormatter())

    def write(self, message: str, *args: object, level: int = logging.ERROR, line: int = 1) -> None:
        self.handler.handle(logging.LogRecord("asgard", level, "f", line, message, args, None))

    def lines(self) -> list[str]:
        """The messages so far."""
        lines = self.handler.stream.getvalue().splitlines()
        return [line.split(" asgard ", 1)[1] for line in lines]


def test_repeated_events_are_suppressed_and_counted() -> None:
    log = Log()
    for _ in range(1000):
        log.write("task %s failed", "retention")
        log.now += 0.01
    assert log.lines() == ["task retention failed"] * service_log.MAX_SAME
    log.now += 60
    log.write("other", line=2)
    assert log.lines()[-2:] == ["suppressed 995 events like: task retention failed", "other"]
    log.write("task %s failed", "retention")
    assert log.lines()[-1] == "task retention failed"


def test_problems_of_one_line_are_limited_whatever_they_say() -> None:
    log = Log()
    for number in range(500):
        log.write("name %d is refused", number, level=logging.WARNING)
        log.write("job %d ended", number, level=logging.INFO, line=2)
    warnings = [line for line in log.lines() if "refused" in line]
    assert len(warnings) == service_log.MAX_PROBLEMS
    assert sum("ended" in line for line in log.lines()) == 500, "ordinary events are not limited"
    log.handler.close()
    assert log.lines()[-1] == "suppressed 440 events like: name 0 is refused"


def test_the_memory_for_suppression_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_log, "MAX_WINDOWS", 10)
    log = Log()
    for number in range(100):
        log.write("job %d ended", number, level=logging.INFO)
    assert len(log.handler._limit._windows) <= 11


def test_long_messages_are_shortened() -> None:
    huge = "a" * 1_000_000
    assert len(TextFormatter().format(record(huge))) < 10_000
    assert len(JsonFormatter().format(record(huge))) < 10_000
    try:
        raise ValueError(huge)
    except ValueError:
        error = logging.LogRecord("asgard", logging.ERROR, "", 0, huge, (), sys.exc_info())
    assert len(TextFormatter().format(error)) < 60_000
    assert len(JsonFormatter().format(error)) < 60_000


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_file_names_need_not_be_text(formatter: logging.Formatter) -> None:
    line = formatter.format(record("cannot delete %s" % os.fsdecode(b"\xff\xfe")))  # noqa: UP031
    assert "udcff" in line
    line.encode()

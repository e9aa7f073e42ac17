"""The service's log: one line for each event, whatever its text."""

import json
import logging
import sys

import pytest

from asgard_async.core.logging import JsonFormatter, TextFormatter, escaped

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

"""The service's own log cannot be written by what a job, or a client, calls itself."""

import io
import logging

from asgard_async.cli.log_format import EscapingFormatter


def logged(message: str, *args: object, error: BaseException | None = None) -> str:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EscapingFormatter("%(levelname)s %(message)s"))
    record = logging.LogRecord("x", logging.INFO, "", 0, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, None)
    handler.handle(record)
    return stream.getvalue()


def test_plain_text_stays_as_it_is() -> None:
    assert logged("job %s ended: é €", "3f9c01ab") == "INFO job 3f9c01ab ended: é €\n"


def test_nothing_moves_the_cursor_or_begins_a_line() -> None:
    hostile = "a\nINFO forged\r\x1b[2J\x1b]0;title\x07\x9b1m\u202e\u2028\0"
    escaped = r"a\nINFO forged\r\x1b[2J\x1b]0;title\x07\x9b1m\u202e\u2028\x00"
    assert logged("said %s", hostile) == f"INFO said {escaped}\n"


def test_lines_of_a_traceback_are_indented_so_that_none_looks_like_an_event() -> None:
    text = logged("failed", error=ValueError("bad\x1b[2J\nINFO forged"))
    assert text == "INFO failed\n  ValueError: bad\\x1b[2J\n  INFO forged\n"

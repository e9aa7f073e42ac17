"""The service's own log on stderr: one event per line, as text for people or JSON for machines."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

EXTRAS = ("job_id", "request_id")
"""What events may carry beside their message."""


def set_up_logging(*, level: str, format: Literal["text", "json"]) -> None:
    """Log to stderr, from `level` ("debug", "info", …) on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class TextFormatter(logging.Formatter):
    """A line for each event; a traceback follows on lines of its own.

    What clients and jobs wrote may be part of a message: it can neither begin a line that looks
    like an event, nor send sequences to the terminal of whoever reads the log.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's name
        text = super().formatException(ei)  # type: ignore[arg-type]  # as logging hands it over
        # indented, since a message may have lines that look like events of their own
        return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """An object for each event, traceback included, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        event |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(event, enc_hook=str).decode()


def escaped(text: str) -> str:
    """`text` with everything that is not printable as in a Python literal: `\\x1b`, `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )

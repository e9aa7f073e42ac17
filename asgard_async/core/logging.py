"""The service's log on stderr: one event per line, as text for people or JSON for machines."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

EXTRAS = ("job_id", "request_id")
"""Optional fields of an event, besides its message."""


def set_up_logging(*, level: str, format: Literal["text", "json"]) -> None:
    """Log events of at least `level` ("debug", "info", …) to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class TextFormatter(logging.Formatter):
    """Formats each event as one line; a traceback follows on separate lines.

    A message may contain text from clients and jobs. Escaping keeps such text from forging an event
    on a new line and from sending control sequences to the reader's terminal.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802  # logging's name
        text = super().formatException(ei)  # type: ignore[arg-type]  # as logging passes it
        # indented, since a message may contain lines that look like events
        return "\n".join(f"  {escaped(line)}" for line in text.split("\n"))


class JsonFormatter(logging.Formatter):
    """Formats each event as one line with a JSON object, traceback included."""

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
    """Return `text` with unprintable characters escaped as in a Python literal: `\\x1b`, `\\n`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )
